// `npm test [filter…] [--runtime deno|bun|node24|node26]… [--jobs N]`: every tests/*_test.ts on every runtime, as many
// files at once as there are cores.
//
// `--through PROGRAM` starts each runtime by another program, such as one that .ci/openssl-versions makes. `--report FILE`
// writes the table down as JSON.
//
// Each file runs in a process of its own: a crash of libssl takes the whole process, and must not take other results.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, join } from "node:path";
import process from "node:process";
import { findRuntime, root, runtimeNames, runtimeVariables } from "./runtimes.mjs";
import { setUpOrExit } from "./setup.mjs";
import { runTestFile, startRuntime } from "./test_file.mjs";

const { filters, names, through, jobs, report } = parseArguments(
  process.argv.slice(2),
);
await setUpOrExit();

const files = readdirSync(join(root, "tests"))
  .filter((name) =>
    name.endsWith("_test.ts") &&
    (filters.length === 0 || filters.some((part) => name.includes(part)))
  )
  .sort()
  .map((name) => `tests/${name}`);
const folder = mkdtempSync(join(tmpdir(), "openssl-sessions-test-"));
const runtimePaths = through ? wrapped(runtimeVariables()) : runtimeVariables();
const environment = {
  ...process.env,
  ...runtimePaths,
  NO_COLOR: "1",
  DENO_NO_UPDATE_CHECK: "1",
  BUN_ENABLE_CRASH_REPORTING: "0",
};
delete environment.FORCE_COLOR;

/** What the tests themselves say that they did not test, because a program is missing. */
const leftOut = new Set();
const began = performance.now();
let rows;
try {
  rows = await Promise.all(names.map(findRow));
  await runAll(
    rows.flatMap((row) => row.runtime ? files.map((file) => ({ row, file })) : []),
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
printTable();
if (report) {
  writeFileSync(
    report,
    JSON.stringify(rows.map(({ runtime: _, ...row }) => row)),
  );
}
for (const line of leftOut) console.log(line);
console.log(`${sum("passed")} passed, ${sum("failed")} failed`);
process.exitCode = sum("failed") > 0 ? 1 : 0;

function parseArguments(parameters) {
  const filters = [];
  const names = [];
  let through;
  let report;
  let jobs = availableParallelism();
  for (let index = 0; index < parameters.length; index++) {
    const parameter = parameters[index];
    if (!parameter.startsWith("-")) filters.push(basename(parameter));
    else if (
      parameter === "--runtime" && runtimeNames.includes(parameters[index + 1])
    ) names.push(parameters[++index]);
    else if (parameter === "--through" && parameters[index + 1]) {
      through = parameters[++index];
    } else if (parameter === "--report" && parameters[index + 1]) {
      report = parameters[++index];
    } else if (parameter === "--jobs" && Number(parameters[index + 1]) >= 1) {
      jobs = Number(parameters[++index]);
    } else {
      console.error(
        `Usage: npm test -- [part of a file name]… [--runtime ${runtimeNames.join("|")}]… [--jobs N]`,
      );
      process.exit(2);
    }
  }
  return {
    filters,
    names: names.length > 0 ? names : runtimeNames,
    through,
    jobs,
    report,
  };
}

/** The runtimes that tests start themselves: by programs that start them by the other one. */
function wrapped(variables) {
  return Object.fromEntries(
    Object.entries(variables).map(([name, path]) => {
      const wrapper = join(folder, name);
      writeFileSync(wrapper, `#!/bin/sh\nexec "${through}" "${path}" "$@"\n`, {
        mode: 0o755,
      });
      return [name, wrapper];
    }),
  );
}

/** A runtime's row of the table. Without `runtime` where nothing can run on it, which counts as a failure. */
async function findRow(name) {
  const row = {
    title: name,
    openssl: "-",
    passed: 0,
    failed: 0,
    skipped: 0,
    seconds: 0,
  };
  try {
    if (files.length === 0) {
      throw new Error(
        `No test file: nothing in tests/ is named like ${filters.join(" ") || "*_test.ts"}`,
      );
    }
    const runtime = { ...findRuntime(name), through };
    row.title = runtime.title;
    row.openssl = await opensslOf(runtime);
    row.runtime = runtime;
  } catch (error) {
    row.failed++;
    console.log(`\nFAILED ${row.title}: ${error.message}`);
  }
  return row;
}

/** Tests that start their own runtime once more must know how it was started, which a process that a loader has started cannot tell. */
function environmentOf({ name, through }) {
  return through
    ? {
      ...environment,
      OPENSSL_SESSIONS_SELF: runtimePaths[`OPENSSL_SESSIONS_${name.toUpperCase()}`],
    }
    : environment;
}

/** Runs all of it, so many at once, in order. */
async function runAll(tests) {
  const waiting = tests.values();
  let done = 0;
  await Promise.all(Array.from({ length: jobs }, async () => {
    for (const { row, file } of waiting) {
      const result = await runTestFile(row.runtime, file, {
        folder,
        environment: environmentOf(row.runtime),
      });
      for (const what of ["passed", "failed", "skipped", "seconds"]) {
        row[what] += result[what];
      }
      for (const line of result.leftOut) leftOut.add(line);
      printResult(
        row,
        file,
        result,
        `${String(++done).padStart(String(tests.length).length)}/${tests.length}`,
      );
    }
  }));
}

/** The version of the OpenSSL that the tests will run on. Where there is none, the tests say why. */
async function opensslOf(runtime) {
  const parameters = runtime.name === "deno" ? ["run", "-A", "--no-prompt"] : [];
  const { code, output } = await startRuntime(runtime, [
    ...parameters,
    "tasks/openssl.mjs",
  ], { environment });
  const version = /^OpenSSL (\S+)/m.exec(output)?.[1];
  return code === 0 && version ? `OpenSSL ${version}` : "no OpenSSL";
}

function printResult(
  row,
  file,
  { passed, failed, skipped, seconds, problem, output },
  progress,
) {
  const counts = [
    `${passed} passed`,
    failed > 0 && `${failed} FAILED`,
    skipped > 0 && `${skipped} skipped`,
  ];
  const title = row.title.padEnd(
    Math.max(...rows.map(({ title }) => title.length)),
  );
  const name = basename(file).padEnd(
    Math.max(...files.map((path) => basename(path).length)),
  );
  console.log(
    `${progress}  ${title}  ${name}  ${seconds.toFixed(1).padStart(6)} s  ${counts.filter(Boolean).join(", ")}`,
  );
  if (failed === 0) return;
  console.log(
    `\nFAILED ${file} on ${row.title}${problem ? `: ${problem}` : ""}`,
  );
  for (const line of output) console.log(`| ${line}`);
  console.log();
}

function sum(what) {
  return rows.reduce((total, row) => total + row[what], 0);
}

function printTable() {
  const head = ["runtime", "OpenSSL", "passed", "failed", "skipped", "seconds"];
  const lines = rows.map((row) => [
    row.title,
    row.openssl.replace("OpenSSL ", ""),
    ...[row.passed, row.failed, row.skipped].map(String),
    row.seconds.toFixed(1),
  ]);
  const widths = head.map((_, column) => Math.max(...[head, ...lines].map((line) => line[column].length)));
  const pad = (text, column) => column < 2 ? text.padEnd(widths[column]) : text.padStart(widths[column]);
  console.log();
  for (const line of [head, ...lines]) console.log(line.map(pad).join("  "));
  console.log(
    `\nIn all ${((performance.now() - began) / 60_000).toFixed(1)} minutes, ${jobs} at once\n`,
  );
}
