/** libssl counts bytes in a C int. */
export const maxLength = 0x7fffffff;

/** Refuses what is not a Uint8Array, before C is told where it lies. */
export function requireBytes(what: string, bytes: Uint8Array): void {
  if (!(bytes instanceof Uint8Array)) throw new TypeError(`Cannot use ${what}: it must be a Uint8Array`);
  if (bytes.length > maxLength) throw new RangeError(`Cannot use ${what}: ${bytes.length} bytes are more than 2 GiB`);
}
