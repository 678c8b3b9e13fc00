// Finds the runtimes that npm installed: the real programs, as a wrapper script would keep signals from them.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The repository. */
export const root = fileURLToPath(new URL("..", import.meta.url));

const modules = join(root, "node_modules");
const here = `${process.platform}-${process.arch}`;
const exe = process.platform === "win32" ? ".exe" : "";

// npm may or may not have run the install scripts of deno and bun, which move the program; both places are looked at.
const known = {
  deno: {
    title: "Deno",
    paths: () => [...packages("@deno", "", `deno${exe}`), join(modules, "deno", `deno${exe}`)],
  },
  bun: {
    title: "Bun",
    paths: () => [...packages("@oven", "bun-", join("bin", `bun${exe}`)), join(modules, "bun", "bin", "bun.exe")],
  },
  node24: { title: "Node", paths: () => [join(modules, `node24-${here}`, ...nodeProgram())] },
  node26: { title: "Node", paths: () => [join(modules, `node26-${here}`, ...nodeProgram())] },
};

/** The names that {@linkcode findRuntime} knows. */
export const runtimeNames = Object.keys(known);

function nodeProgram() {
  return ["bin", `node${exe}`];
}

/** A program in each of a scope's packages: npm installs only those that are for this platform. */
function packages(scope, prefix, program) {
  const folder = join(modules, scope);
  if (!existsSync(folder)) return [];
  return readdirSync(folder).filter((name) => name.startsWith(prefix)).map((name) => join(folder, name, program));
}

/**
 * Finds a runtime: `{ name, title, path, version }`, where title is `Deno 2.9.5`.
 *
 * @throws if it is not installed, or does not start; the message says what to do
 */
export function findRuntime(name) {
  const { title, paths } = known[name];
  const failures = [];
  for (const path of paths().filter(existsSync)) {
    const { status, stdout, stderr, error, signal } = spawnSync(path, ["--version"], { encoding: "utf8" });
    const version = /\d+\.\d+\.\d+/.exec(stdout ?? "")?.[0];
    if (status === 0 && version) return { name, title: `${title} ${version}`, path, version };
    failures.push(`  ${path}: ${error?.message ?? (stderr.trim().split("\n")[0] || signal || `exit code ${status}`)}`);
  }
  if (failures.length > 0) throw new Error([`Cannot start ${name}:`, ...failures].join("\n"));
  throw new Error(
    `Cannot find ${name}: npm has installed none for ${here}. Run "npm ci"; if it is still missing, there is no package ` +
      "for this platform in package.json",
  );
}

/** Where each runtime is, as environment variables for the programs that start others: OPENSSL_SESSIONS_DENO and so on. */
export function runtimeVariables() {
  const variables = {};
  for (const name of runtimeNames) {
    try {
      variables[`OPENSSL_SESSIONS_${name.toUpperCase()}`] = findRuntime(name).path;
    } catch {
      // Whoever needs it says so.
    }
  }
  return variables;
}
