/** libssl counts bytes in a C int. */
const maxLength = 0x7fffffff;

// The engine's own, as an object may have a property of that name that says something else.
const lengthOf = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), "length")!.get!;

/**
 * Refuses what is not a Uint8Array, before C is told where it lies.
 *
 * @returns its true length
 */
export function requireBytes(what: string, bytes: Uint8Array): number {
  if (!(bytes instanceof Uint8Array)) throw new TypeError(`Cannot use ${what}: it must be a Uint8Array`);
  const length: number = lengthOf.call(bytes);
  if (length > maxLength) throw new RangeError(`Cannot use ${what}: ${length} bytes are more than 2 GiB`);
  return length;
}

/**
 * Lends an array that no callback can reach: while C writes to it or reads from it, callbacks may run, and may take a
 * user's array away.
 */
export class PrivateArray {
  readonly length: number;
  #spare: Uint8Array | undefined;

  constructor(length: number) {
    this.length = length;
  }

  /** Takes it, or a new one where it is in use. */
  take(): Uint8Array {
    const array = this.#spare ?? new Uint8Array(this.length);
    this.#spare = undefined;
    return array;
  }

  /** Gives it back. */
  give(array: Uint8Array): void {
    this.#spare = array;
  }
}
