import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { VerifyMode } from "./context_options.ts";

/** What decides on whose clients are let in. */
export interface Trust {
  readonly verify: VerifyMode;
  readonly rejectUnauthorized: boolean;
  /** The certificate authorities as PEM text. */
  readonly authorities: string | undefined;
  /** Their revocation lists as PEM text. */
  readonly revocationLists: string | undefined;
}

/**
 * A session id context of 32 bytes for a server's names and its trust: two servers resume each other's sessions if they
 * answer to the same names and let in the same clients. A session never gets its client in where that client would not
 * get in by itself (CVE-2025-23419 was that). A renewed certificate of the same names changes nothing.
 *
 * @param names the certificates' names in DER: the same in every runtime. It does not matter how many certificates have
 *   the same, nor their order
 * @param trust whose clients are let in
 */
export function deriveIdContext(names: readonly Uint8Array[], trust: Trust): Uint8Array {
  const { verify, rejectUnauthorized, authorities = "", revocationLists = "" } = trust;
  const hash = createHash("sha256").update("openssl-sessions");
  for (const name of new Set(names.map((name) => Buffer.from(name).toString("hex")).sort())) {
    hash.update(`\0names ${name.length / 2}\0`).update(name, "hex");
  }
  // Without a look at client certificates it does not matter who could have signed them.
  if (verify !== "none" && !rejectUnauthorized) hash.update("\0unverified");
  if (verify !== "none") hash.update(`\0verify ${verify}\0${blocksOf(authorities).join()}`);
  // Who is on a list that is newer than its session must not resume.
  if (verify !== "none" && revocationLists) hash.update(`\0revoked\0${blocksOf(revocationLists).join()}`);
  return hash.digest();
}

/** The certificates, or the lists, in PEM text, in an order that does not depend on the text's. */
function blocksOf(pem: string): string[] {
  const blocks = pem.match(/-----BEGIN ([A-Z0-9 ]*CERTIFICATE|X509 CRL)-----[^-]*-----END \1-----/g) ?? [];
  return blocks.map((block) => block.replace(/\s/g, "")).sort();
}
