// The processes and the temporary folder of a benchmark run, all gone when it ends, also by Ctrl-C.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** What could not be measured, said in words for the person who runs the benchmark. */
export class Trouble extends Error {
  name = "Trouble";
}

const children = new Set();
let folder;

/** The run's temporary folder. */
export function temporaryFolder() {
  folder ??= mkdtempSync(join(tmpdir(), "openssl-sessions-bench-"));
  return folder;
}

/** Ends what is still running and removes the temporary folder. */
export function cleanUp() {
  for (const child of children) child.kill("SIGKILL");
  children.clear();
  if (folder) rmSync(folder, { recursive: true, force: true });
  folder = undefined;
}

process.on("exit", cleanUp);
for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]]) {
  process.on(signal, () => {
    process.stderr.write("\n");
    process.exit(code);
  });
}

/** A program that answers in lines of JSON. */
export class Program {
  #name;
  #child;
  #lines = [];
  #waiting = [];
  #errors = "";
  #ended;

  constructor(name, [command, ...args]) {
    this.#name = name;
    this.#child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
    children.add(this.#child);
    this.#child.stderr.on("data", (data) => this.#errors = (this.#errors + data).slice(-4000));
    this.#child.stdin.on("error", () => {}); // it has ended, which is reported below
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      const waiting = this.#waiting.shift();
      if (waiting) waiting.resolve(line);
      else this.#lines.push(line);
    });
    this.#child.on("error", (error) => this.#end(error.message));
    this.#child.on("close", (code, signal) => this.#end(`it ended with ${signal ?? `exit code ${code}`}`));
  }

  get pid() {
    return this.#child.pid;
  }

  /** Throws if it has ended. */
  requireAlive() {
    if (this.#ended) throw this.#trouble(this.#ended);
  }

  /** Sends a line, if one is given, and waits for the next line of JSON. */
  async ask(line, seconds = 60) {
    if (line !== undefined) this.#child.stdin.write(line + "\n");
    return JSON.parse(this.#lines.shift() ?? await this.#nextLine(seconds));
  }

  #nextLine(seconds) {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(this.#trouble(this.#ended));
      const timer = setTimeout(() => reject(this.#trouble(`no answer within ${seconds} seconds`)), seconds * 1000);
      const settle = (how) => (value) => {
        clearTimeout(timer);
        how(value);
      };
      this.#waiting.push({ resolve: settle(resolve), reject: settle(reject) });
    });
  }

  #end(how) {
    children.delete(this.#child);
    this.#ended ??= how;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#trouble(this.#ended));
  }

  #trouble(what) {
    return new Trouble([`${this.#name}: ${what}`, this.#errors.trim()].filter(Boolean).join("\n"));
  }

  /** Lets it end by itself: its input is over. Ends it if it does not. */
  async stop() {
    if (this.#ended) return;
    const ended = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 2000);
    await ended;
    clearTimeout(timer);
  }
}
