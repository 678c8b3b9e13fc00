import { explained, openOpenSsl, type OpenSsl } from "../ffi/open.ts";
import { text } from "./option_kinds.ts";
import { type OptionKinds, readOptions } from "./options.ts";

/** What {@linkcode openLibrary} opened. */
export interface LibraryInfo {
  /** The path or name that libssl was opened by. */
  readonly path: string;
  /** What the library calls itself: `OpenSSL 3.0.19 27 Jan 2026`. */
  readonly version: string;
  /** The same as a number, as `OpenSSL_version_num()` answers it: `0x30000130`. */
  readonly versionNumber: number;
  /** The runtime whose FFI calls it. */
  readonly runtime: "deno" | "bun" | "node";
}

const libraryKinds: OptionKinds<{ path?: string }> = { path: text };

let open: OpenSsl | undefined;
const openers: ((library: OpenSsl) => () => void)[] = [];
const closers: (() => void)[] = [];
const emptiers: (() => void)[] = [];

/** How many of libssl's objects TypeScript holds a reference to. The library cannot close before they are gone. */
export const held = { contexts: 0, connections: 0, sessions: 0 };

/** How many calls into libssl, and back from it, are under way. */
export const underWay = { calls: 0 };

/**
 * Opens the system's libssl. Nothing needs to call it: the first use of libssl does. Call it to choose the file, or to
 * learn early, and in one place, that there is none.
 *
 * The library is looked for at `path`; else where the environment variable `OPENSSL_SESSIONS_LIBSSL` says; else by the
 * platform's names, the newest first. libcrypto is taken from beside it.
 *
 * @param options `path`: the file to open; no other is tried
 * @returns which library it is
 * @throws {LibraryNotFoundError} if it cannot be opened; the message lists each path tried and what to install
 * @throws {UnsupportedLibraryError} if it is LibreSSL, BoringSSL, AWS-LC, or an OpenSSL before 1.1.1
 * @throws {Error} if another file is open already
 *
 * @example
 * ```ts
 * import { openLibrary } from "@openssl-sessions/openssl-sessions";
 *
 * console.log(openLibrary().version); // OpenSSL 3.0.19 27 Jan 2026
 * ```
 */
export function openLibrary(options: { path?: string } = {}): LibraryInfo {
  const { path: wanted } = readOptions("openLibrary()", libraryKinds, options);
  if (!open) {
    const opening = openOpenSsl(wanted);
    open = opening;
    try {
      for (const opener of openers) closers.push(opener(opening));
    } catch (error) {
      for (const close of closers.splice(0).reverse()) close();
      opening.close();
      open = undefined;
      throw explained(error);
    }
  } else if (wanted !== undefined && wanted !== open.path) {
    throw new Error(`Cannot open ${wanted}: ${open.path} is open already. Call closeLibrary() first`);
  }
  const { path, version, versionNumber, adapter: { runtime } } = open;
  return { path, version, versionNumber, runtime };
}

/**
 * Closes libssl and frees the C callbacks. A program that ends need not call it; a test that wants to see nothing left
 * behind does. The next use opens the library again.
 *
 * @throws {Error} if contexts, connections or sessions have not been disposed: they would be left dangling; and from
 *   within a callback
 *
 * @example
 * ```ts
 * import { closeLibrary, openLibrary } from "@openssl-sessions/openssl-sessions";
 *
 * openLibrary();
 * closeLibrary();
 * ```
 */
export function closeLibrary(): void {
  if (!open) return;
  if (underWay.calls > 0) throw new Error("Cannot close libssl from within a callback of it");
  for (const empty of emptiers) empty();
  const left = Object.entries(held).filter(([_, count]) => count > 0).map(([what, count]) => `${count} ${what}`);
  if (left.length > 0) throw new Error(`Cannot close libssl: ${left.join(", ")} not disposed`);
  for (const close of closers.splice(0).reverse()) close();
  open.close();
  open = undefined;
}

/** The open library; opens it at first use. */
export function library(): OpenSsl {
  if (!open) openLibrary();
  return open!;
}

/** Has something done each time the library is opened; what `opener` returns is done before it is closed. */
export function whenOpened(opener: (library: OpenSsl) => () => void): void {
  openers.push(opener);
}

/** Has something done each time before the library is closed: what is kept for the whole program is given back. */
export function beforeClosing(emptier: () => void): void {
  emptiers.push(emptier);
}
