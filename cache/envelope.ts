import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { copyOf } from "../ssl/bytes.ts";
import type { KeyRing } from "./key_ring.ts";

/** What a store keeps of a session. */
export interface Contents {
  /** The session's DER form, and whatever goes with it. */
  readonly der: Uint8Array;
  /** When the full handshake was made that this line of sessions began with, in milliseconds since 1970. */
  readonly firstHandshake: number;
}

// version (1), then of the first handshake its time (8); sealed: the key's id (4) and the nonce (12) in between and the
// tag (16) at the end.
const unsealed = 0;
const sealed = 1;
const nonceLength = 12;
const tagLength = 16;
const sealedHeader = 1 + 4 + 8 + nonceLength;
const unsealedHeader = 1 + 8;

/** A value that cannot be opened: of an unknown key, changed, or moved. */
export class SealError extends Error {
  override name = "SealError";
}

/**
 * Packs a session for a store, sealed with the current secret.
 *
 * @param key the store's, an HMAC of the session's id: moved to another, the value does not open
 */
export function seal(ring: KeyRing, contents: Contents, key: string): Uint8Array {
  const header = Buffer.alloc(sealedHeader);
  header[0] = sealed;
  header.set(ring.current.id, 1);
  header.writeDoubleBE(contents.firstHandshake, 5);
  const nonce = randomBytes(nonceLength);
  header.set(nonce, sealedHeader - nonceLength);
  const cipher = createCipheriv("aes-256-gcm", ring.current.sealing, nonce);
  cipher.setAAD(associatedData(header, key));
  return joined([header, cipher.update(contents.der), cipher.final(), cipher.getAuthTag()]);
}

/** Packs a session for a store as it is. */
export function wrap(contents: Contents): Uint8Array {
  const header = Buffer.alloc(unsealedHeader);
  header[0] = unsealed;
  header.writeDoubleBE(contents.firstHandshake, 1);
  return joined([header, contents.der]);
}

/**
 * Unpacks what a store kept.
 *
 * @throws {SealError} if it is sealed and does not open, or is not sealed where it must be
 */
export function open(ring: KeyRing | undefined, value: Uint8Array, key: string): Contents {
  const bytes = Buffer.from(copyOf("what the store answered", value).buffer);
  if (bytes[0] === unsealed && bytes.length > unsealedHeader) {
    if (ring) throw new SealError("the value is not sealed");
    return { firstHandshake: bytes.readDoubleBE(1), der: bytes.subarray(unsealedHeader) };
  }
  if (bytes[0] !== sealed || bytes.length < sealedHeader + tagLength) {
    throw new TypeError("it answered with something that is no session");
  }
  const keys = ring?.named(bytes.subarray(1, 5));
  if (!keys) throw new SealError("the value is sealed with a secret that is not known here");
  const header = bytes.subarray(0, sealedHeader);
  const decipher = createDecipheriv("aes-256-gcm", keys.sealing, header.subarray(sealedHeader - nonceLength));
  decipher.setAAD(associatedData(header, key));
  decipher.setAuthTag(bytes.subarray(bytes.length - tagLength));
  try {
    const part = decipher.update(bytes.subarray(sealedHeader, -tagLength));
    try {
      return { firstHandshake: header.readDoubleBE(5), der: Buffer.concat([part, decipher.final()]) };
    } finally {
      part.fill(0);
    }
  } catch {
    throw new SealError("the value was changed, or moved from another key");
  }
}

/**
 * The parts in memory of their own. A Buffer's memory is shared with other things, which would go to the store as well
 * where that copies the whole of it, as a structured clone does.
 */
function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

// Not the session id context: the session has it, and whoever goes through all that a store keeps does not know it.
function associatedData(header: Buffer, key: string): Buffer {
  return Buffer.concat([header, Buffer.from(key)]);
}
