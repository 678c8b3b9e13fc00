import { Buffer } from "node:buffer";

/** Bytes as text, for stores that keep text, or keep bytes only if told so in their own way. */
export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

/**
 * The bytes that a text stands for; undefined for no text.
 *
 * @throws {TypeError} if it is anything else: this store has not put it there
 */
export function fromBase64(text: unknown): Uint8Array | undefined {
  if (text === undefined || text === null) return undefined;
  // Some clients can be told to answer with bytes.
  if (text instanceof Uint8Array) return fromBase64(Buffer.from(text).toString("latin1"));
  const bytes = typeof text === "string" ? Buffer.from(text, "base64") : undefined;
  // Buffer reads anything, and leaves out what is not base64. Writing it again is faster than looking at each character.
  if (bytes?.toString("base64") !== text) {
    throw new TypeError("There is something under the key that this store has not put there");
  }
  // A copy: Buffer's own memory is shared with others'.
  return new Uint8Array(bytes!);
}
