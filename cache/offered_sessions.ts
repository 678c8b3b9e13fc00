import type { ClientHello } from "../ssl/client_hello.ts";
import { sameBytes } from "./hex.ts";

/** The sessions that a client offers to resume, by their ids, the preferred one first. */
export interface OfferedSessions {
  /** The protocol that they would be resumed with. */
  readonly protocol: "TLSv1.2" | "TLSv1.3";
  readonly ids: readonly Uint8Array[];
}

const extension = { preSharedKey: 41, supportedVersions: 43, pskKeyExchangeModes: 45 };
const tls13 = 0x0304;

/** A client may offer many, and each may cost a question to a store far away. libssl takes the first that is found. */
const mostIds = 4;

/** Of an extension that may have 64 KiB. Stateless tickets of other servers, some 200 bytes each, may come first. */
const mostBytes = 4096;

/**
 * Reads from a ClientHello which sessions libssl is going to ask for.
 *
 * With TLS 1.3 they are the PSK identities of 32 bytes (RFC 8446, section 4.2.11): a stateful ticket is the bare id.
 * Before, it is the legacy session id, which a client of TLS 1.3 fills with random bytes.
 *
 * @param acceptsTls13 whether the server negotiates TLS 1.3 with a client that offers it
 */
export function offeredSessions(hello: ClientHello, acceptsTls13: boolean): OfferedSessions {
  // A list of versions has 255 bytes at most.
  if (acceptsTls13 && offersTls13(hello.extension(extension.supportedVersions, 256))) {
    const offered = hello.extension(extension.preSharedKey, mostBytes);
    // Without a mode to use it in, a pre-shared key is no offer.
    const ids = offered && hello.extension(extension.pskKeyExchangeModes, 1) ? identities(offered) : [];
    return { protocol: "TLSv1.3", ids };
  }
  const id = hello.sessionId;
  return { protocol: "TLSv1.2", ids: id.length > 0 ? [id] : [] };
}

/** The list of versions: a length in one byte, then two bytes for each. RFC 8446, section 4.2.1. */
function offersTls13(versions: Uint8Array | undefined): boolean {
  if (!versions) return false;
  for (let at = 1; at + 1 < versions.length; at += 2) {
    if ((versions[at]! << 8 | versions[at + 1]!) === tls13) return true;
  }
  return false;
}

/**
 * The list of identities: a length in two bytes; then for each its length in two bytes, itself, four bytes of age. One
 * that is offered again is passed over.
 */
function identities(extension: Uint8Array): Uint8Array[] {
  const ids: Uint8Array[] = [];
  const end = Math.min(extension.length, 2 + (extension[0]! << 8 | extension[1]!));
  for (let at = 2; at + 2 <= end && ids.length < mostIds;) {
    const length = extension[at]! << 8 | extension[at + 1]!;
    const id = extension.subarray(at + 2, at + 2 + length);
    if (length === 32 && id.length === 32 && !ids.some((other) => sameBytes(other, id))) ids.push(id);
    at += 2 + length + 4;
  }
  return ids;
}
