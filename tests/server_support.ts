/**
 * Sockets and processes for the tests: limits on every wait, temporary folders, the runtimes, and clients and servers on
 * them.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";
import { fileURLToPath } from "node:url";

/** The repository. */
export const root: string = fileURLToPath(new URL("..", import.meta.url));

/** The runtime that this runs in. */
export const thisRuntime: "deno" | "bun" | "node" = "Deno" in globalThis
  ? "deno"
  : "Bun" in globalThis
  ? "bun"
  : "node";

/** Waits for a Promise, but not for ever. */
export async function within<T>(promise: Promise<T>, what: string, milliseconds = 15_000): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    return await Promise.race([
      promise,
      new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => reject(new Error(`Waited ${milliseconds} ms in vain for ${what}`)), milliseconds);
      }),
    ]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits for what no event tells of. */
export async function until(condition: () => boolean, what: string, milliseconds = 8_000): Promise<void> {
  const end = performance.now() + milliseconds;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`Waited ${milliseconds} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** A folder of its own, deleted with all in it at the end. */
export class TemporaryFolder {
  readonly path: string = mkdtempSync(join(tmpdir(), "openssl-sessions-test-"));

  file(name: string): string {
    return join(this.path, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A runtime that programs can be started with. */
export interface Runtime {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
}

/** The runtime that runs this test. */
export function ownRuntime(): Runtime {
  const args = thisRuntime === "deno" ? ["run", "-A", "--no-prompt", "--node-modules-dir=manual"] : [];
  // Where a loader of its own has started this, the path is the loader's.
  return { name: thisRuntime, command: process.env.OPENSSL_SESSIONS_SELF ?? process.execPath, args };
}

/** One of `deno`, `bun`, `node24` and `node26`: where the environment says, or where npm has put it. */
export async function runtimeNamed(name: string): Promise<Runtime> {
  const args = name === "deno" ? ["run", "-A", "--no-prompt", "--node-modules-dir=manual"] : [];
  const given = process.env[`OPENSSL_SESSIONS_${name.toUpperCase()}`];
  if (given) return { name, command: given, args };
  const { findRuntime } = await import(new URL("../tasks/runtimes.mjs", import.meta.url).href);
  return { name, command: findRuntime(name).path, args };
}

/** A process that was started. */
export class Program {
  readonly child: ChildProcess;
  /** Kept when it has ended and all that it wrote was read. */
  readonly ended: Promise<{ code: number | null; signal: string | null }>;
  stdout = "";
  stderr = "";
  readonly #listeners = new Set<() => void>();

  constructor(command: string, args: readonly string[], options: { cwd?: string; env?: Record<string, string> } = {}) {
    const env = { ...process.env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", ...options.env };
    // The runner's own variables would make a Node child speak to it.
    delete (env as Record<string, string | undefined>).NODE_TEST_CONTEXT;
    this.child = spawn(command, args, { cwd: options.cwd ?? root, env, stdio: ["pipe", "pipe", "pipe"] });
    this.child.stdin!.on("error", () => {});
    this.child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
      this.#changed();
    });
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
      this.#changed();
    });
    this.ended = new Promise((resolve, reject) => {
      this.child.once("error", reject);
      this.child.once("close", (code, signal) => {
        resolve({ code, signal });
        this.#changed();
      });
    });
    this.ended.catch(() => {});
  }

  /** A program of this repository. */
  static run(runtime: Runtime, file: string, args: readonly string[] = [], options: { cwd?: string } = {}): Program {
    return new Program(runtime.command, [...runtime.args, join(root, file), ...args], options);
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Waits until its output has this in it. */
  async writes(pattern: RegExp): Promise<RegExpExecArray> {
    const found = new Promise<RegExpExecArray>((resolve, reject) => {
      const look = () => {
        const match = pattern.exec(this.stdout);
        if (match) resolve(match);
        else if (this.child.exitCode !== null || this.child.signalCode !== null) {
          reject(new Error(`It ended without writing ${pattern}:\n${this.stdout}${this.stderr}`));
        } else return;
        this.#listeners.delete(look);
      };
      this.#listeners.add(look);
      look();
    });
    return await within(found, `${pattern} in the output of ${this.child.spawnargs.join(" ")}`, 60_000);
  }

  /** Waits for its end. */
  async end(milliseconds = 60_000): Promise<{ code: number | null; signal: string | null }> {
    return await within(this.ended, `the end of ${this.child.spawnargs.join(" ")}`, milliseconds);
  }

  /** Kills it if it still runs, and waits for its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill("SIGKILL");
    await within(this.ended.catch(() => {}), "a killed program's end");
  }
}

/** Runs a program to its end. */
export async function output(program: Program): Promise<{ code: number | null; stdout: string; stderr: string }> {
  try {
    const { code } = await program.end();
    return { code, stdout: program.stdout, stderr: program.stderr };
  } finally {
    await program[Symbol.asyncDispose]();
  }
}

/** The bytes of several arrays in one. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}
