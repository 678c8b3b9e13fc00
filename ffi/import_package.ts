import { createRequire } from "node:module";
import process from "node:process";
import { pathToFileURL } from "node:url";

/** An npm package that is not part of the library's own module graph, and is loaded when it is used. */
export interface NpmPackage {
  readonly name: string;
  /** What to install, where that is more than the package itself. */
  readonly install?: readonly string[];
  /** What does without it, as the second half of a sentence. */
  readonly without: string;
  /** Loads it by a name that is written out, so that Bun's bundler takes it into a program; in a try statement, so that it need not be there. */
  readonly requireInBun: () => unknown;
  /** Loads it by a name that is written out, so that Deno caches it. Only for what is of use in Deno. */
  readonly importInDeno?: () => Promise<unknown>;
}

/**
 * Loads an npm package: the one that the library finds from its own place, and on Bun and Node else the one that the
 * program finds. A library that is linked into a project sits outside of it, where it finds none.
 *
 * @throws {Error} if neither finds it; the message says how to install it, and what does without
 */
export async function importPackage(wanted: NpmPackage): Promise<unknown> {
  const { name, install = [name], without } = wanted;
  let cause: unknown;
  for (const load of waysTo(wanted)) {
    try {
      return await load();
    } catch (error) {
      cause ??= error;
    }
  }
  throw new Error(
    `Cannot load the npm package ${name}. Install it beside your program: ${
      commandFor(install)
    }; or do without it: ${without}`,
    { cause },
  );
}

function waysTo({ name, requireInBun, importInDeno }: NpmPackage): (() => unknown)[] {
  const fromHere = () => import(name);
  // In Deno an import looks in the program's configuration anyway.
  if ("Deno" in globalThis) return importInDeno ? [importInDeno, fromHere] : [fromHere];
  const fromProgram = () => import(pathToFileURL(findFromProgram(name)).href);
  return "Bun" in globalThis ? [requireInBun, fromProgram] : [fromHere, fromProgram];
}

/** Loads a CommonJS package at once, as {@linkcode importPackage} finds one. On Node. */
export function requirePackage(name: string): unknown {
  const require = createRequire(import.meta.url);
  try {
    return require(name);
  } catch (cause) {
    try {
      return require(findFromProgram(name));
    } catch {
      throw cause;
    }
  }
}

/** The file that a package's name stands for in the file that the program began with, or else in its folder. */
function findFromProgram(name: string): string {
  try {
    return createRequire(process.argv[1]!).resolve(name);
  } catch {
    return createRequire(`${process.cwd()}/`).resolve(name);
  }
}

/** How to install packages, by the runtime's own command. */
function commandFor(names: readonly string[]): string {
  if ("Deno" in globalThis) return `deno add ${names.map((name) => `npm:${name}`).join(" ")}`;
  return `${"Bun" in globalThis ? "bun add" : "npm install"} ${names.join(" ")}`;
}
