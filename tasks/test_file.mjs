// Runs one test file on one runtime and counts what its JUnit report says.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import { countJunit } from "./junit.mjs";
import { root } from "./runtimes.mjs";

const testSeconds = 300;

const commands = {
  // Types are checked by `npm run check`.
  deno: (file, report) => [
    ...["test", "-A", "--no-prompt", "--no-check", "--node-modules-dir=manual"],
    ...["--v8-flags=--expose-gc", `--junit-path=${report}`, file],
  ],
  bun: (
    file,
    report,
  ) => [
    "test",
    "--reporter=junit",
    `--reporter-outfile=${report}`,
    `./${file}`,
  ],
  node: (file, report) => [
    ...["--expose-gc", "--import", "./tests/std/register.mjs"],
    ...["--test-reporter=junit", `--test-reporter-destination=${report}`],
    ...["--test-reporter=spec", "--test-reporter-destination=stdout", file],
  ],
};

/** How each runtime writes a test that passed or was skipped: not wanted among the failures. */
const uneventful = /^\s*(\(pass\)|\(skip\)|✔|﹣|.* \.\.\. (ok|ignored) \(.*\)$)/;

/**
 * Runs a test file: `{ passed, failed, skipped, leftOut, seconds, problem, output }`. `leftOut` says for which tests a
 * program is missing; `problem` is what went wrong with the process itself, and then counts as a failure; `output` is the
 * lines it wrote.
 */
export async function runTestFile(runtime, file, { folder, environment }) {
  const report = join(folder, `${runtime.name}-${basename(file)}.xml`);
  const started = performance.now();
  const command = commands[runtime.name.replace(/\d+$/, "")](file, report);
  const { code, signal, timedOut, output } = await startRuntime(
    runtime,
    command,
    { environment },
  );
  const seconds = (performance.now() - started) / 1000;
  const counts = existsSync(report) ? countJunit(readFileSync(report, "utf8")) : undefined;
  const problem = problemOf({ code, signal, timedOut, counts });
  const lines = output.trimEnd().split("\n");
  return {
    passed: counts?.passed ?? 0,
    failed: (counts?.failed ?? 0) + (problem ? 1 : 0),
    skipped: counts?.skipped ?? 0,
    leftOut: lines.filter((line) => line.startsWith("left out: ")),
    seconds,
    problem,
    // What passed last tells where a process died.
    output: problem ? lines : lines.filter((line) => !uneventful.test(line)),
  };
}

/** What is wrong with a run besides tests that failed, if anything. */
function problemOf({ code, signal, timedOut, counts }) {
  if (timedOut) {
    return `it did not end within ${testSeconds} seconds and was killed`;
  }
  if (signal) return `the process died of ${signal}`;
  if (!counts) {
    return `the process ended with exit code ${code} and left no report`;
  }
  if (counts.passed + counts.failed + counts.skipped === 0) {
    return `no test ran (exit code ${code})`;
  }
  if (code !== 0 && counts.failed === 0) {
    return `the process ended with exit code ${code} and no test failed`;
  }
}

/** Runs a runtime to its end, by the program that is to start it where there is one. */
export function startRuntime({ path, through }, parameters, options) {
  return through ? spawnCaptured(through, [path, ...parameters], options) : spawnCaptured(path, parameters, options);
}

/** Runs a program to its end, or the time limit's, and collects what it writes. */
function spawnCaptured(
  program,
  parameters,
  { environment, limitSeconds = testSeconds },
) {
  return new Promise((resolve) => {
    // A process group, so that what a test has started ends with it.
    const groups = process.platform !== "win32";
    const child = spawn(program, parameters, {
      cwd: root,
      env: environment,
      stdio: ["ignore", "pipe", "pipe"],
      detached: groups,
    });
    let output = "";
    let timedOut = false;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (part) => output += part);
    }
    const kill = () => {
      try {
        if (groups) process.kill(-child.pid, "SIGKILL");
        else child.kill("SIGKILL");
      } catch {
        // Nothing is left of it.
      }
    };
    const interrupt = () => {
      kill();
      process.exit(130);
    };
    const timer = setTimeout(() => {
      timedOut = true;
      kill();
    }, limitSeconds * 1000);
    for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, interrupt);
    const end = (result) => {
      clearTimeout(timer);
      for (const signal of ["SIGINT", "SIGTERM"]) {
        process.off(signal, interrupt);
      }
      resolve({ timedOut, output, ...result });
    };
    child.on(
      "error",
      (error) => end({ code: null, signal: null, output: error.message }),
    );
    child.on("exit", kill);
    child.on("close", (code, signal) => end({ code, signal }));
  });
}
