import type { Adapter, OpenedLibrary } from "./adapter.ts";
import type {
  CallbackOf,
  CallbackPrototype,
  CType,
  FunctionsOf,
  Pointer,
  PrototypeTable,
  Trampoline,
} from "./types.ts";

// The part of Deno's namespace used here, declared so that this file type-checks in every runtime's tools.
interface DenoNamespace {
  build: { os: string };
  env: { get(name: string): string | undefined };
  permissions: {
    querySync(descriptor: { name: "env"; variable: string } | { name: "read"; path: string }): { state: string };
  };
  dlopen(path: string, symbols: Record<string, unknown>): { symbols: Record<string, unknown>; close(): void };
  UnsafeCallback: new (
    definition: { parameters: string[]; result: string },
    callback: unknown,
  ) => { pointer: unknown; close(): void };
  UnsafePointer: { value(pointer: unknown): bigint; create(address: bigint): unknown };
}

type AnyFunction = (...parameters: unknown[]) => unknown;

const deno = (globalThis as { Deno?: DenoNamespace }).Deno;

/** Deno.dlopen. A pointer is Deno's pointer object; NULL is null. */
export function denoAdapter(): Adapter {
  const { build, dlopen, UnsafeCallback, UnsafePointer, env, permissions } = deno!;
  const long = build.os === "windows" ? "i32" : "i64";

  const native: Record<CType, string> = {
    pointer: "pointer",
    buffer: "buffer",
    i32: "i32",
    u32: "u32",
    size: "usize",
    long,
    u64: "u64",
    void: "void",
  };

  // V8 calls a C function straight from optimised code ("fast call") and ends the process if that code is deoptimised
  // while the call is in a callback. Deno makes no such call of a function that is passed a struct: so the first pointer
  // goes as a struct of it alone, which C gets in the same register. The memory is read before C runs, so one will do.
  const structOfPointer = { struct: ["pointer"] };
  const address = new BigUint64Array(1);
  const struct = new Uint8Array(address.buffer);

  function byStruct(call: AnyFunction, parameters: number): AnyFunction {
    const lend = (pointer: unknown) => {
      address[0] = UnsafePointer.value(pointer);
      return struct;
    };
    switch (parameters) {
      case 1:
        return (a) => call(lend(a));
      case 2:
        return (a, b) => call(lend(a), b);
      case 3:
        return (a, b, c) => call(lend(a), b, c);
      default:
        return (a, ...others) => call(lend(a), ...others);
    }
  }

  return {
    runtime: "deno",
    platform: build.os === "linux" || build.os === "darwin" || build.os === "windows" ? build.os : "other",
    environment(name) {
      // Asking for the variable without permission would stop the program with a prompt.
      const granted = permissions.querySync({ name: "env", variable: name }).state === "granted";
      return granted ? env.get(name) : undefined;
    },
    canRead: (path) => permissions.querySync({ name: "read", path }).state === "granted",
    open<T extends PrototypeTable>(path: string, table: T): OpenedLibrary<T> {
      const definitions: Record<string, unknown> = {};
      for (const [name, prototype] of Object.entries(table)) {
        const parameters: unknown[] = prototype.parameters.map((type) => native[type]);
        if (prototype.callsBack) parameters[0] = structOfPointer;
        definitions[name] = { name: prototype.symbol ?? name, parameters, result: native[prototype.result] };
      }
      const library = dlopen(path, definitions);
      const functions: Record<string, unknown> = { ...library.symbols };
      for (const [name, { callsBack, parameters }] of Object.entries(table)) {
        if (callsBack) functions[name] = byStruct(functions[name] as AnyFunction, parameters.length);
      }
      return { functions: functions as FunctionsOf<T>, close: () => library.close() };
    },
    trampoline<P extends CallbackPrototype>(prototype: P, callback: CallbackOf<P>): Trampoline {
      const native_ = {
        parameters: prototype.parameters.map((type) => native[type]),
        result: native[prototype.result],
      };
      const unsafe = new UnsafeCallback(native_, callback);
      return { pointer: unsafe.pointer as Pointer, close: () => unsafe.close() };
    },
    toPointer: (value) => {
      try {
        const address = typeof value === "bigint" ? value : UnsafePointer.value(value);
        return address > 0n && address < 1n << 63n ? UnsafePointer.create(address) as Pointer : undefined;
      } catch {
        return undefined;
      }
    },
    addressOf: (pointer) => UnsafePointer.value(pointer),
    pointerTo: (address) => UnsafePointer.create(address) as Pointer,
  };
}
