import { createHash, X509Certificate } from "node:crypto";
import type { VerifyMode } from "./context_options.ts";

/**
 * A session id context of 32 bytes for a server's names and its trust: two servers resume each other's sessions if they
 * answer to the same names and let in the same clients. A session never gets its client in where that client would not
 * get in by itself (CVE-2025-23419 was that). A renewed certificate of the same names changes nothing.
 */
export function deriveIdContext(
  certificate: string | undefined,
  verify: VerifyMode,
  authorities: string | undefined,
): Uint8Array {
  const hash = createHash("sha256").update("openssl-sessions");
  const add = (text: string) => hash.update(`\0${text.length}\0${text}`);
  if (certificate !== undefined) {
    const { subjectAltName, subject } = new X509Certificate(certificate);
    add((subjectAltName ?? subject).split(", ").sort().join(", "));
  }
  // Without a look at client certificates it does not matter who could have signed them.
  if (verify !== "none") {
    add(verify);
    add(blocksOf(authorities ?? "").join());
  }
  return hash.digest();
}

function blocksOf(pem: string): string[] {
  const blocks = pem.match(/-----BEGIN ([A-Z0-9 ]*CERTIFICATE)-----[^-]*-----END \1-----/g) ?? [];
  // The text tells them apart as well as a fingerprint would, and also those that only OpenSSL can read.
  return blocks.map((block) => block.replace(/\s/g, "")).sort();
}
