import type { Adapter, OpenedLibrary } from "./adapter.ts";
import { bunAdapter } from "./bun.ts";
import { denoAdapter } from "./deno.ts";
import { LibraryNotFoundError, UnsupportedLibraryError } from "./errors.ts";
import { candidates, environmentVariable, type LibraryPaths, notFound } from "./find.ts";
import { identity, libc, libcrypto } from "./libcrypto.ts";
import { libssl } from "./libssl.ts";
import { Memory } from "./memory.ts";
import { nodeAdapter } from "./node.ts";
import type { FunctionsOf, Pointer, PrototypeTable } from "./types.ts";
import { requireOpenSsl } from "./version.ts";

/** libssl and libcrypto, open. */
export interface OpenSsl {
  readonly adapter: Adapter;
  /** The path that libssl was opened by. */
  readonly path: string;
  /** What the library calls itself: `OpenSSL 3.0.19 27 Jan 2026`. */
  readonly version: string;
  /** The same as a number: `0x30000130`. */
  readonly versionNumber: number;
  readonly ssl: FunctionsOf<typeof libssl>;
  readonly crypto: FunctionsOf<typeof libcrypto>;
  readonly memory: Memory;
  /** What `BIO_s_mem()` answers: always the same. */
  readonly memoryMethod: Pointer;
  close(): void;
}

/** Opens the libssl at `path`, or at the environment's path, or the platform's newest. */
export function openOpenSsl(path?: string): OpenSsl {
  const adapter = adapterOfThisRuntime();
  const fromEnvironment = adapter.environment(environmentVariable) || undefined;
  const asked = path ?? fromEnvironment;
  const tried: { path: string; reason: string }[] = [];
  for (const paths of candidates(adapter.platform, asked)) {
    try {
      return openAt(adapter, paths);
    } catch (error) {
      if (error instanceof UnsupportedLibraryError) throw error;
      tried.push({ path: paths.ssl, reason: reasonOf(error) });
    }
  }
  throw notFound(tried, path !== undefined ? "openLibrary({ path })" : fromEnvironment && environmentVariable);
}

function adapterOfThisRuntime(): Adapter {
  if ("Deno" in globalThis) return denoAdapter();
  if ("Bun" in globalThis) return bunAdapter();
  return nodeAdapter();
}

function openAt(adapter: Adapter, paths: LibraryPaths): OpenSsl {
  const opened: { close(): void }[] = [];
  function open<T extends PrototypeTable>(path: string, table: T): OpenedLibrary<T>["functions"] {
    const library = adapter.open(path, table);
    opened.push(library);
    return library.functions;
  }
  const close = () => {
    for (const library of opened.splice(0).reverse()) library.close();
  };
  try {
    // libcrypto first: in Node, libssl must find this one and not the one inside Node.
    const about = open(paths.crypto, identity);
    const memory = new Memory(adapter, open(adapter.platform === "windows" ? "ucrtbase.dll" : paths.crypto, libc));
    const version = memory.readString(about.OpenSSL_version(0))!;
    const versionNumber = Number(about.OpenSSL_version_num());
    requireOpenSsl(paths.crypto, version, versionNumber);
    const crypto = open(paths.crypto, ofVersion(libcrypto, versionNumber));
    keepWhileThreadsEnd(crypto);
    const ssl = open(paths.ssl, ofVersion(libssl, versionNumber));
    const memoryMethod = crypto.BIO_s_mem() as Pointer;
    return { adapter, path: paths.ssl, version, versionNumber, ssl, crypto, memory, memoryMethod, close };
  } catch (error) {
    close();
    throw error;
  }
}

/**
 * At its first use libcrypto has the process's exit tear down all that it has, which corrupts the heap where a thread that
 * used it is ending at the same moment. Nothing that it has needs to be torn down: the process ends.
 */
function keepWhileThreadsEnd({ OPENSSL_init_crypto }: OpenSsl["crypto"]): void {
  const noExitHandler = 0x80000; // OPENSSL_INIT_NO_ATEXIT
  if (OPENSSL_init_crypto(noExitHandler, null) !== 1) {
    throw new Error("libcrypto did not start: other code in this process has ended it");
  }
}

/** The part of a table that this version of the library has. */
function ofVersion<T extends PrototypeTable>(table: T, version: number): T {
  const present = Object.entries(table).filter(([_, { since = 0, until = Infinity }]) =>
    since <= version && version < until
  );
  return Object.fromEntries(present) as T;
}

/** The first line of what the runtime or the system's loader said. */
function reasonOf(error: unknown): string {
  const explanation = explained(error);
  if (explanation !== error) throw explanation;
  return error instanceof Error ? error.message.split("\n")[0]! : String(error);
}

/** What to say instead of an error: that Deno did not allow it, or the error itself. */
export function explained(error: unknown): unknown {
  if (!(error instanceof Error) || (error.name !== "NotCapable" && error.name !== "PermissionDenied")) return error;
  return new LibraryNotFoundError(
    "Cannot open libssl: Deno did not allow it. Run with --allow-ffi (a path after it is not enough: callbacks need all of it)",
    { cause: error },
  );
}
