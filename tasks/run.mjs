// Runs a program in the foreground, as if it were this one.
import { spawn } from "node:child_process";
import { constants } from "node:os";
import process from "node:process";
import { root } from "./runtimes.mjs";

/** Runs a program with this one's input and output, hands signals on, and returns its exit code. */
export function run(program, parameters, environment = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, parameters, {
      cwd: root,
      stdio: "inherit",
      env: { ...process.env, ...environment },
    });
    for (const signal of ["SIGINT", "SIGTERM"]) {
      process.on(signal, () => child.kill(signal));
    }
    child.on("error", reject);
    child.on(
      "exit",
      (code, signal) => resolve(code ?? 128 + (constants.signals[signal] ?? 0)),
    );
  });
}
