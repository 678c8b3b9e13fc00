/**
 * The vocabulary in which the C prototypes are written, and the TypeScript types that follow from it.
 * Each runtime's adapter maps the vocabulary to its own FFI types once, when the library is opened.
 */

/**
 * An address in C's memory. Opaque: an object in Deno, a number in Bun and Node. Only `ffi/` looks inside.
 */
export interface Pointer {
  /** There only for the type checker: nothing else is a pointer. */
  readonly opensslSessionsPointer: never;
}

/**
 * C's NULL as it comes back from a call: `null` in Deno and Bun, `0` in Node. Test it with `!pointer`,
 * never with `=== null`; pass it as `null`.
 */
export type Null = null | 0;

/** What a C parameter or result may be. */
export type CType =
  | "pointer" // T *, from C or for C
  | "buffer" // T *, memory of a typed array lent for the time of the call
  | "i32" // int
  | "u32" // unsigned int, uint32_t
  | "size" // size_t
  | "long" // long: 64 bits, but 32 on Windows
  | "u64" // uint64_t
  | "void";

/** The memory of a typed array, lent to C for the time of one call. */
export type Buffer = Uint8Array | Int32Array | Uint32Array | BigUint64Array;

/** One C function as the tables in libcrypto.ts and libssl.ts describe it. */
export interface Prototype {
  readonly parameters: readonly CType[];
  readonly result: CType;
  /**
   * It may call a C function of ours before it returns, one in callbacks.ts or one that watches libssl's objects come and
   * go. Its first parameter is a pointer.
   */
  readonly callsBack?: true;
  /** The symbol's name where it is not the key in the table. */
  readonly symbol?: string;
  /** The first version that has it, as in `OpenSSL_version_num()`: `0x30000000`. */
  readonly since?: number;
  /** The first version that no longer has it. */
  readonly until?: number;
}

/** A table of C functions, by the names that TypeScript calls them by. */
export type PrototypeTable = Readonly<Record<string, Prototype>>;

interface Parameters {
  pointer: Pointer | Null;
  buffer: Buffer | null;
  i32: number;
  u32: number;
  size: number;
  long: number;
  u64: number | bigint;
  void: never;
}

interface Results {
  pointer: Pointer | Null;
  buffer: never;
  i32: number;
  u32: number;
  size: number | bigint;
  long: number | bigint;
  u64: number | bigint;
  void: void;
}

/** The TypeScript function that calls a C function of this prototype. */
export type FunctionOf<P extends Prototype> = (...parameters: ParametersOf<P["parameters"]>) => Results[P["result"]];

type ParametersOf<T extends readonly CType[]> = { -readonly [K in keyof T]: Parameters[T[K]] };

/** The functions of a table; those that only some versions have may be missing. */
export type FunctionsOf<T extends PrototypeTable> = {
  readonly [K in keyof T]: T[K] extends { since: number } | { until: number } ? FunctionOf<T[K]> | undefined
    : FunctionOf<T[K]>;
};

/** A C function pointer type that TypeScript can stand behind. Its parameters are pointers and integers only. */
export interface CallbackPrototype {
  readonly parameters: readonly ("pointer" | "i32" | "u32" | "long")[];
  readonly result: "pointer" | "i32" | "void";
}

interface CallbackParameters {
  pointer: Pointer | Null;
  i32: number;
  u32: number;
  long: number | bigint;
}

interface CallbackResults {
  pointer: Pointer | Null;
  i32: number;
  void: void;
}

/** The TypeScript function behind a C function pointer. */
export type CallbackOf<P extends CallbackPrototype> = (
  ...parameters: CallbackParametersOf<P["parameters"]>
) => CallbackResults[P["result"]];

type CallbackParametersOf<T extends readonly (keyof CallbackParameters)[]> = {
  -readonly [K in keyof T]: CallbackParameters[T[K]];
};

/** A C function pointer with a TypeScript function behind it. */
export interface Trampoline {
  readonly pointer: Pointer;
  close(): void;
}
