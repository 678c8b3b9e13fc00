// Finds the runtimes that npm installed, by their packages for this platform (see CONTRIBUTING.md).
import { spawnSync } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The repository. */
export const root = fileURLToPath(new URL("..", import.meta.url));

/** Where setup.mjs has npm put what tasks/package.json names. */
export const installed = join(root, "tasks", "node_modules");

const platform = `${process.platform}-${process.arch}`;
const exe = process.platform === "win32" ? ".exe" : "";

// Where the program is in a package.
const programs = {
  deno: `deno${exe}`,
  bun: join("bin", `bun${exe}`),
  node24: join("bin", `node${exe}`),
  node26: join("bin", `node${exe}`),
};

/** The names that {@linkcode findRuntime} knows. */
export const runtimeNames = Object.keys(programs);

/**
 * Finds a runtime: `{ name, title, path, version }`, where title is `Deno 2.9.6`.
 *
 * @throws if it is not installed, or does not start; the message says what to do
 */
export function findRuntime(name) {
  const path = join(installed, `${name}-${platform}`, programs[name]);
  if (!existsSync(path)) {
    throw new Error(
      `Cannot find ${name} at ${path}. Run "npm run setup"; if it is still missing, tasks/package.json has no ${name} for ${platform}`,
    );
  }
  const { status, signal, stdout, stderr, error } = spawnSync(path, [
    "--version",
  ], { encoding: "utf8" });
  const version = /\d+\.\d+\.\d+/.exec(stdout ?? "")?.[0];
  if (status !== 0 || !version) {
    const reason = error?.message ??
      (stderr.trim() || signal || `exit code ${status}`);
    throw new Error(`Cannot start ${name} at ${path}: ${reason}`);
  }
  return {
    name,
    title: `${name[0].toUpperCase()}${name.slice(1).replace(/\d+$/, "")} ${version}`,
    path,
    version,
  };
}

/** What goes before a program of tests/, and may collect garbage when it likes. */
export function programFlags(name) {
  if (name === "deno") {
    return [
      "run",
      "-A",
      "--no-prompt",
      "--no-check",
      "--node-modules-dir=manual",
      "--v8-flags=--expose-gc",
    ];
  }
  return name === "bun" ? [] : ["--expose-gc", "--import", "./tests/std/register.mjs"];
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

/** Whether the file of this URL is the program, also where a link leads to it. */
export function isProgram(url) {
  const [, program] = process.argv;
  return program !== undefined && existsSync(program) &&
    realpathSync(program) === realpathSync(fileURLToPath(url));
}

// `node tasks/runtimes.mjs deno` prints where it is, for scripts.
if (isProgram(import.meta.url)) {
  for (const name of process.argv.slice(2)) console.log(findRuntime(name).path);
}
