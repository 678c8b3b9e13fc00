import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import process from "node:process";
import type { Adapter, OpenedLibrary } from "./adapter.ts";
import { platform } from "./platform.ts";
import { pointerOfNumber } from "./pointer.ts";
import type {
  CallbackOf,
  CallbackPrototype,
  CType,
  FunctionsOf,
  Pointer,
  PrototypeTable,
  Trampoline,
} from "./types.ts";

// The part of bun:ffi used here, declared so that this file type-checks in every runtime's tools.
interface BunFfi {
  dlopen(
    path: string,
    symbols: Record<string, { args: string[]; returns: string }>,
  ): { symbols: Record<string, unknown>; close(): void };
  JSCallback: new (
    callback: unknown,
    definition: { args: string[]; returns: string },
  ) => { ptr: unknown; close(): void };
}

/** bun:ffi. A pointer is a number; NULL is null. */
export function bunAdapter(): Adapter {
  // Opening must not wait, and a static import of "bun:" would keep the other runtimes from loading this file.
  const { dlopen, JSCallback } = createRequire(import.meta.url)("bun:ffi") as BunFfi;
  const windows = process.platform === "win32";

  const parameters: Record<CType, string> = {
    pointer: "ptr",
    buffer: "ptr",
    i32: "i32",
    u32: "u32",
    size: "usize",
    long: windows ? "i32" : "i64",
    u64: "u64",
    void: "void",
  };
  // The fast types answer a number where it fits and a bigint only where it must.
  const results: Record<CType, string> = {
    ...parameters,
    size: "u64_fast",
    long: windows ? "i32" : "i64_fast",
    u64: "u64_fast",
  };

  return {
    runtime: "bun",
    platform: platform(),
    environment: (name) => process.env[name],
    canRead: () => true,
    open<T extends PrototypeTable>(path: string, table: T): OpenedLibrary<T> {
      // Bun tries the working directory after the system's folders; a library planted there must not be run.
      if (!/[\\/]/.test(path) && existsSync(path)) {
        throw new Error(`${path} lies in the working directory and would be opened in place of the system's`);
      }
      // Bun knows a function by its symbol. Two shapes of one symbol (a pointer here, a buffer there) are one to it.
      const definitions: Record<string, { args: string[]; returns: string }> = {};
      for (const [name, prototype] of Object.entries(table)) {
        definitions[prototype.symbol ?? name] = {
          args: prototype.parameters.map((type) => parameters[type]),
          returns: results[prototype.result],
        };
      }
      const library = dlopen(path, definitions);
      const functions: Record<string, unknown> = {};
      for (const [name, prototype] of Object.entries(table)) {
        functions[name] = library.symbols[prototype.symbol ?? name];
      }
      return { functions: functions as FunctionsOf<T>, close: () => library.close() };
    },
    trampoline<P extends CallbackPrototype>(prototype: P, callback: CallbackOf<P>): Trampoline {
      const unsafe = new JSCallback(callback, {
        args: prototype.parameters.map((type) => parameters[type]),
        returns: parameters[prototype.result],
      });
      return { pointer: unsafe.ptr as Pointer, close: () => unsafe.close() };
    },
    toPointer: (value) => pointerOfNumber(value),
    addressOf: (pointer) => pointer as unknown as number,
    pointerTo: (address) => Number(address) as unknown as Pointer,
  };
}
