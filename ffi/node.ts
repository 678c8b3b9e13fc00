import process from "node:process";
import type { Adapter, OpenedLibrary } from "./adapter.ts";
import { LibraryNotFoundError } from "./errors.ts";
import { requirePackage } from "./import_package.ts";
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

// The part of koffi used here, declared so that this file type-checks where koffi is not installed.
interface Koffi {
  load(path: string, options: { deep: boolean }): {
    func(name: string, result: string, parameters: string[]): unknown;
    unload(): void;
  };
  proto(result: string, parameters: string[]): unknown;
  pointer(type: unknown): unknown;
  register(callback: unknown, type: unknown): bigint;
  unregister(callback: bigint): void;
}

/** koffi. A pointer is a number; NULL is 0. */
export function nodeAdapter(): Adapter {
  const koffi = loadKoffi();

  // As a parameter, void * takes a number, null or a typed array; as a result, uintptr_t is a number and not a bigint.
  const parameters: Record<CType, string> = {
    pointer: "void *",
    buffer: "void *",
    i32: "int32_t",
    u32: "uint32_t",
    size: "size_t",
    long: "long",
    u64: "uint64_t",
    void: "void",
  };
  const results: Record<CType, string> = { ...parameters, pointer: "uintptr_t" };

  return {
    runtime: "node",
    platform: platform(),
    environment: (name) => process.env[name],
    canRead: () => true,
    open<T extends PrototypeTable>(path: string, table: T): OpenedLibrary<T> {
      // Node exports an OpenSSL of its own. Without RTLD_DEEPBIND libssl would call into that one and crash.
      const library = koffi.load(path, { deep: true });
      const functions: Record<string, unknown> = {};
      for (const [name, prototype] of Object.entries(table)) {
        functions[name] = library.func(
          prototype.symbol ?? name,
          results[prototype.result],
          prototype.parameters.map((type) => parameters[type]),
        );
      }
      return { functions: functions as FunctionsOf<T>, close: () => library.unload() };
    },
    trampoline<P extends CallbackPrototype>(prototype: P, callback: CallbackOf<P>): Trampoline {
      const type = koffi.proto(parameters[prototype.result], prototype.parameters.map((type) => results[type]));
      const registered = koffi.register(callback, koffi.pointer(type));
      return { pointer: Number(registered) as unknown as Pointer, close: () => koffi.unregister(registered) };
    },
    toPointer: (value) => pointerOfNumber(value),
    addressOf: (pointer) => pointer as unknown as number,
    pointerTo: (address) => Number(address) as unknown as Pointer,
  };
}

function loadKoffi(): Koffi {
  try {
    return requirePackage({ name: "koffi", without: "by Deno or Bun, which call libssl by themselves" }) as Koffi;
  } catch (error) {
    const { message, cause } = error as Error;
    throw new LibraryNotFoundError(message, { cause });
  }
}
