import { existsSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { isAbsolute, join } from "node:path";
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
 * @throws {Error} if neither finds it, or it does not load; the message says how to install it, and what does without
 */
export async function importPackage(wanted: NpmPackage): Promise<unknown> {
  const errors: unknown[] = [];
  for (const load of waysTo(wanted)) {
    try {
      return await load();
    } catch (error) {
      errors.push(error);
    }
  }
  throw cannotLoad(wanted, errors);
}

function waysTo({ name, requireInBun, importInDeno }: NpmPackage): (() => unknown)[] {
  const fromHere = () => import(name);
  // In Deno an import looks in the program's configuration anyway.
  if ("Deno" in globalThis) return importInDeno ? [importInDeno, fromHere] : [fromHere];
  const fromProgram = () => import(pathToFileURL(findFromProgram(name)).href);
  if (!("Bun" in globalThis)) return [fromHere, fromProgram];
  // What `bun build --compile` has made has its packages in it. Bun would look for others in the working directory.
  const isCompiled = /\/(?:\$bunfs|~BUN)\//.test(import.meta.url);
  return isCompiled ? [requireInBun] : [requireInBun, fromProgram];
}

/** Loads a CommonJS package at once, as {@linkcode importPackage} finds one, and throws what that throws. On Node. */
export function requirePackage(wanted: Pick<NpmPackage, "name" | "without">): unknown {
  const require = createRequire(import.meta.url);
  const errors: unknown[] = [];
  for (const find of [() => wanted.name, () => findFromProgram(wanted.name)]) {
    try {
      return require(find());
    } catch (error) {
      errors.push(error);
    }
  }
  throw cannotLoad(wanted, errors);
}

/**
 * The file that a package's name stands for beside the file that the program began with. Never in the working directory,
 * where others may have put what they like; but for code from -e or standard input, which has no other place.
 */
function findFromProgram(name: string): string {
  const began = process.argv[1] ?? "";
  if (!isAbsolute(began)) return resolveFrom(process.cwd(), name);
  try {
    return resolveFrom(began, name);
  } catch {
    // What starts a program may be a link to it; and its name may lack what Node adds to find the file.
    return resolveFrom(existsSync(began) ? realpathSync(began) : began, name);
  }
}

/** As from a file in a folder. Of a path that is a file, what is found is what its folder has, and those around it. */
function resolveFrom(path: string, name: string): string {
  return createRequire(join(path, "/")).resolve(name);
}

function cannotLoad({ name, install = [name], without }: Omit<NpmPackage, "requireInBun">, errors: unknown[]): Error {
  // What a package that is there fails of says more than that there is none elsewhere.
  const broken = errors.find((error) => !saysMissing(error, name));
  const reason = broken === undefined ? "" : `: ${firstLine(broken)}`;
  return new Error(
    `Cannot load the npm package ${name}${reason}. Install it beside your program: ${
      commandFor(install)
    }; or do without it: ${without}`,
    { cause: broken ?? errors[0] },
  );
}

/** Whether that is how a runtime says that it does not find this package. One that wants another says the other's name. */
function saysMissing(error: unknown, name: string): boolean {
  const begin =
    /^(?:Cannot (?:find|require) (?:module|package)|Import|Could not find a matching package for) ['"]?([^'"\s]+)/;
  const missing = begin.exec(String((error as Error)?.message))?.[1];
  return missing === name || missing?.startsWith(`npm:${name}@`) === true;
}

function firstLine(error: unknown): string {
  return String((error as Error)?.message ?? error).split("\n")[0]!.replace(/[.?!]$/, "");
}

/** How to install packages, by the runtime's own command. */
function commandFor(names: readonly string[]): string {
  if ("Deno" in globalThis) return `deno add ${names.map((name) => `npm:${name}`).join(" ")}`;
  return `${"Bun" in globalThis ? "bun add" : "npm install"} ${names.join(" ")}`;
}
