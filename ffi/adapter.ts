import type { CallbackOf, CallbackPrototype, FunctionsOf, Pointer, PrototypeTable, Trampoline } from "./types.ts";

/** What this library asks of a runtime's FFI. deno.ts, bun.ts and node.ts each export one. */
export interface Adapter {
  readonly runtime: "deno" | "bun" | "node";
  readonly platform: "linux" | "darwin" | "windows" | "other";
  /** An environment variable, where the runtime lets us read it without asking. */
  environment(name: string): string | undefined;
  /** Whether the runtime lets us look at a file without asking. */
  canRead(path: string): boolean;
  /** Opens the shared library at `path` with these functions. Throws what the runtime throws. */
  open<T extends PrototypeTable>(path: string, table: T): OpenedLibrary<T>;
  /** Makes a C function pointer of a TypeScript function. The function must not throw. */
  trampoline<P extends CallbackPrototype>(prototype: P, callback: CallbackOf<P>): Trampoline;
  /** A pointer that a user got from this runtime's FFI; undefined for NULL and for what is no pointer. */
  toPointer(value: unknown): Pointer | undefined;
  /** The pointer's address, as a key for maps and as the content of a C variable. */
  addressOf(pointer: Pointer): bigint | number;
  /** The pointer to an address read from a C variable. Not for address 0. */
  pointerTo(address: bigint): Pointer;
}

/** A shared library and the functions found in it. */
export interface OpenedLibrary<T extends PrototypeTable> {
  readonly functions: FunctionsOf<T>;
  close(): void;
}
