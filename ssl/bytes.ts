/**
 * Bytes that a user passes. What they are is asked of the engine alone: an object may have properties, methods, a prototype
 * or a constructor that say something else, and its memory may be shared, resized or gone.
 */

/** libssl counts bytes in a C int. */
const maxLength = 0x7fffffff;

type Bytes = Uint8Array<ArrayBufferLike>;

const prototype = Object.getPrototypeOf(Uint8Array.prototype);
const { at, set } = prototype;
const kindOf = getter<string | undefined>(prototype, Symbol.toStringTag);
const lengthOf = getter<number>(prototype, "length");
const offsetOf = getter<number>(prototype, "byteOffset");
const bufferOf = getter<ArrayBufferLike>(prototype, "buffer");
const isResizable = getter<boolean>(ArrayBuffer.prototype, "resizable");

function getter<T>(owner: object, name: PropertyKey): (this: unknown) => T {
  return Object.getOwnPropertyDescriptor(owner, name)!.get!;
}

/**
 * Refuses what is not a Uint8Array, and one whose memory is gone, before C is told where it lies.
 *
 * @returns its true length
 */
export function requireBytes(what: string, bytes: Bytes): number {
  if (!isBytes(bytes)) throw new TypeError(`Cannot use ${what}: it must be a Uint8Array`);
  const length = lengthOf.call(bytes);
  if (length > maxLength) throw new RangeError(`Cannot use ${what}: ${length} bytes are more than 2 GiB`);
  if (length === 0) requireMemory(what, bytes);
  return length;
}

/** Whether it is a Uint8Array, of whatever class; a Proxy of one is none. */
export function isBytes(value: unknown): value is Bytes {
  return typeof value === "object" && value !== null && kindOf.call(value) === "Uint8Array";
}

/** How many bytes a Uint8Array has now: 0 where its memory is gone. */
export function lengthNow(bytes: Bytes): number {
  return lengthOf.call(bytes);
}

/** An empty one may be one whose memory was transferred, or made smaller than where it begins. */
function requireMemory(what: string, bytes: Bytes): void {
  try {
    at.call(bytes, 0);
  } catch {
    throw gone(what);
  }
}

function gone(what: string): TypeError {
  return new TypeError(`Cannot use ${what}: its memory was transferred, or made smaller than it`);
}

/** A plain view of a part of it. Throws if it does not have that much any more. */
export function viewOf(what: string, bytes: Bytes, start: number, length: number): Bytes {
  if (start + length > lengthNow(bytes)) throw gone(what);
  return new Uint8Array(bufferOf.call(bytes), offsetOf.call(bytes) + start, length);
}

/** A plain copy. */
export function copyOf(what: string, bytes: Bytes): Uint8Array<ArrayBuffer> {
  const length = requireBytes(what, bytes);
  const copy = new Uint8Array(length);
  if (length > 0) set.call(copy, viewOf(what, bytes, 0, length));
  return copy;
}

/** Writes to it, from its beginning. The source is one of this library's own. */
export function writeInto(bytes: Bytes, source: Uint8Array): void {
  set.call(bytes, source);
}

/**
 * Whether C can be given the array itself, for a call that runs no callback: its memory is this thread's alone and stays as
 * long as it is.
 */
export function isLendable(bytes: Bytes): boolean {
  try {
    return !isResizable.call(bufferOf.call(bytes));
  } catch {
    // Shared memory is no ArrayBuffer's.
    return false;
  }
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

  /** Gives it back. Its first `used` bytes are cleared of what they held. */
  give(array: Uint8Array, used: number): void {
    if (used > 0) array.fill(0, 0, used);
    this.#spare = array;
  }
}
