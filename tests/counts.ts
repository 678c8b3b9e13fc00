/** Counts libssl's objects to the last one: libcrypto tells of each that is made and each that is freed. */

import { assertEquals } from "@std/assert";
// All of the library, before it is opened.
import "../mod.ts";
import { candidates } from "../ffi/find.ts";
import type { CallbackPrototype, Null, Pointer, PrototypeTable } from "../ffi/types.ts";
import { held, library } from "../ssl/library.ts";

/** How many of libssl's objects live, of those made since this file was loaded. */
export interface Counts {
  readonly connections: number;
  readonly contexts: number;
  readonly sessions: number;
}

// CRYPTO_EX_INDEX_SSL, CRYPTO_EX_INDEX_SSL_CTX, CRYPTO_EX_INDEX_SSL_SESSION
const classes = { connections: 0, contexts: 1, sessions: 2 };
const living = { connections: new Set(), contexts: new Set(), sessions: new Set() };

const table = {
  // int CRYPTO_get_ex_new_index(int class_index, long argl, void *argp, CRYPTO_EX_new *new_func,
  //   CRYPTO_EX_dup *dup_func, CRYPTO_EX_free *free_func)
  CRYPTO_get_ex_new_index: {
    parameters: ["i32", "long", "pointer", "pointer", "pointer", "pointer"],
    result: "i32",
  },
  // int CRYPTO_free_ex_index(int class_index, int idx)
  CRYPTO_free_ex_index: { parameters: ["i32", "i32"], result: "i32" },
} as const satisfies PrototypeTable;

// void CRYPTO_EX_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp), and CRYPTO_EX_new
const observer = {
  parameters: ["pointer", "pointer", "pointer", "i32", "long", "pointer"],
  result: "void",
} as const satisfies CallbackPrototype;

const { adapter, memory, path } = library();
const { functions } = adapter.open(candidates(adapter.platform, path)[0]!.crypto, table);

for (const kind of ["connections", "contexts", "sessions"] as const) {
  // Both are installed once, for as long as the process lasts.
  const born = adapter.trampoline(observer, (object: Pointer | Null) => {
    if (object) living[kind].add(memory.keyOf(object));
  });
  const freed = adapter.trampoline(observer, (object: Pointer | Null) => {
    if (object) living[kind].delete(memory.keyOf(object));
  });
  const index = functions.CRYPTO_get_ex_new_index(classes[kind], 0, null, born.pointer, null, freed.pointer);
  // `deno test` ends a file's thread and goes on with the next file's, in the same process.
  globalThis.addEventListener?.("unload", () => void functions.CRYPTO_free_ex_index(classes[kind], index));
}

/** The live objects as they stand. */
export function counts(): Counts {
  return { connections: living.connections.size, contexts: living.contexts.size, sessions: living.sessions.size };
}

/** What C has and what TypeScript holds: to be taken before a test and compared after it. */
export interface Standing {
  readonly living: Counts;
  readonly held: typeof held;
}

/** Where things stand now. */
export function standing(): Standing {
  return { living: counts(), held: { ...held } };
}

/** Asserts that all that was made since has been freed, and that no error is left in OpenSSL's queue. */
export function assertNothingLeft(before: Standing): void {
  assertEquals(standing(), before);
  assertEquals(library().crypto.ERR_peek_error(), 0, "An error was left in OpenSSL's queue");
}

/** Runs a test and asserts that it left nothing behind. */
export function leavingNothing(test: () => void): () => void {
  return () => {
    const before = standing();
    test();
    assertNothingLeft(before);
  };
}
