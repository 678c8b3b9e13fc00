// A folder of a user of the library, and what is run in it.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";

const limitSeconds = 120;

/** An empty folder in which programs run. */
export class Project {
  folder = mkdtempSync(join(tmpdir(), "openssl-sessions-project-"));
  #environment;

  constructor(environment = {}) {
    this.#environment = { ...process.env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", ...environment };
    // What npm tells its scripts of the repository.
    for (const name of Object.keys(this.#environment)) {
      if (/^npm_(package|lifecycle|config_local)/.test(name)) delete this.#environment[name];
    }
  }

  path(name) {
    return join(this.folder, name);
  }

  write(name, text) {
    mkdirSync(dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), text);
  }

  /** Runs a program to its end and returns what it wrote; fails if that was not its last wish. */
  async run(command, { input, environment } = {}) {
    const { child, output, ended } = this.#spawn(command, environment);
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    const { code, signal } = await ended;
    if (code !== 0) throw new Error(`${command.join(" ")}\nended with ${signal ?? code}:\n${output.text}`);
    return output.text;
  }

  /** Starts a server, has it used when it has written where it is, and ends it. */
  async serving(command, pattern, use, { environment, signal = "SIGTERM" } = {}) {
    const { child, output, ended } = this.#spawn(command, environment);
    try {
      const found = await new Promise((resolve, reject) => {
        output.changed = () => {
          const match = pattern.exec(output.text);
          if (match) resolve(match);
        };
        ended.then(
          ({ code }) => reject(new Error(`${command.join(" ")}\nended with ${code}:\n${output.text}`)),
          reject,
        );
      });
      return await use(...found.slice(1));
    } finally {
      child.kill(signal);
      await ended;
    }
  }

  #spawn([program, ...parameters], environment) {
    const child = spawn(program, parameters, { cwd: this.folder, env: { ...this.#environment, ...environment } });
    const output = { text: "", changed() {} };
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (part) => {
        output.text += part;
        output.changed();
      });
    }
    const timer = setTimeout(() => child.kill("SIGKILL"), limitSeconds * 1000);
    const ended = new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => {
        clearTimeout(timer);
        resolve({ code, signal });
      });
    });
    return { child, output, ended };
  }

  remove() {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
