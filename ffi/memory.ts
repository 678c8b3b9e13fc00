import type { Adapter } from "./adapter.ts";
import type { libc } from "./libcrypto.ts";
import type { Buffer, FunctionsOf, Null, Pointer } from "./types.ts";

/** Moves bytes between C's memory and TypeScript's. Every read is a copy: nothing here outlives C's memory. */
export class Memory {
  readonly #adapter: Adapter;
  readonly #c: FunctionsOf<typeof libc>;
  readonly #integer = new Int32Array(1);
  readonly #small = new Uint8Array(64);

  constructor(adapter: Adapter, c: FunctionsOf<typeof libc>) {
    this.#adapter = adapter;
    this.#c = c;
  }

  /** A copy of `length` bytes at `pointer`. */
  readBytes(pointer: Pointer | Null, length: number): Uint8Array {
    if (!pointer || length === 0) return new Uint8Array(0);
    if (length <= this.#small.length) {
      // An id. C costs an array of its own more than the copy does.
      this.#c.copyFromC(this.#small, pointer, size(length));
      return this.#small.slice(0, length);
    }
    const bytes = new Uint8Array(length);
    this.#c.copyFromC(bytes, pointer, size(length));
    return bytes;
  }

  /** The NUL-terminated UTF-8 string at `pointer`, or undefined for NULL. */
  readString(pointer: Pointer | Null): string | undefined {
    if (!pointer) return undefined;
    return decoder.decode(this.readBytes(pointer, Number(this.#c.strlen(pointer))));
  }

  /** Writes a C int. */
  writeInt(pointer: Pointer, value: number): void {
    this.#integer[0] = value;
    this.#c.copyToC(pointer, this.#integer, size(4));
  }

  /** Writes the first `length` bytes of an array to memory of C's that is large enough. */
  writeBytes(pointer: Pointer, bytes: Buffer, length: number): void {
    this.#c.copyToC(pointer, bytes, size(length));
  }

  /** The pointer in a C variable that a call has just filled, or undefined for NULL. */
  pointerIn(variable: BigUint64Array): Pointer | undefined {
    const address = variable[0]!;
    return address === 0n ? undefined : this.#adapter.pointerTo(address);
  }

  /** The pointer's address as a key for maps. */
  keyOf(pointer: Pointer): bigint | number {
    return this.#adapter.addressOf(pointer);
  }
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/**
 * A NUL-terminated copy of a string, to lend to C. Anything else is refused: to make text of it is to run its own code, in
 * the middle of a call on what that code could dispose.
 */
export function cString(text: string): Uint8Array {
  if (typeof text !== "string") throw new TypeError(`A string for C cannot be made of ${typeof text}: give text`);
  if (text.includes("\0")) throw new TypeError(`A string for C cannot hold a NUL character: ${JSON.stringify(text)}`);
  return encoder.encode(text + "\0");
}

// Deno passes a size_t without conversion only as a bigint; Bun and Node take either.
const sizes = Array.from({ length: 4097 }, (_, n) => BigInt(n));
function size(length: number): number {
  if (length < 0) throw new RangeError("C cannot move a negative number of bytes");
  return (sizes[length] ?? BigInt(length)) as unknown as number;
}
