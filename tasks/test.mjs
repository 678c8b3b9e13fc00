// `npm test [filter…] [--runtime deno|bun|node24|node26]…`: every tests/*_test.ts on every runtime.
//
// `--through PROGRAM` starts each runtime by another program, such as one that .ci/openssl-versions makes.
//
// Each file runs in a process of its own: a crash of libssl takes the whole process, and must not take other results.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import process from "node:process";
import { findRuntime, root, runtimeNames, runtimeVariables } from "./runtimes.mjs";
import { setUpOrExit } from "./setup.mjs";
import { runTestFile, startRuntime } from "./test_file.mjs";

const { filters, names, through } = parseArguments(process.argv.slice(2));
await setUpOrExit();

const files = readdirSync(join(root, "tests"))
  .filter((name) => name.endsWith("_test.ts") && (filters.length === 0 || filters.some((part) => name.includes(part))))
  .sort()
  .map((name) => `tests/${name}`);
const folder = mkdtempSync(join(tmpdir(), "openssl-sessions-test-"));
const environment = {
  ...process.env,
  ...runtimeVariables(),
  NO_COLOR: "1",
  DENO_NO_UPDATE_CHECK: "1",
  BUN_ENABLE_CRASH_REPORTING: "0",
};
delete environment.FORCE_COLOR;

const rows = [];
/** What the tests themselves say that they did not test, because a program is missing. */
const leftOut = new Set();
try {
  for (const name of names) rows.push(await testRuntime(name));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const total = { passed: sum("passed"), failed: sum("failed") };
printTable();
for (const line of leftOut) console.log(line);
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed > 0 ? 1 : 0;

function parseArguments(parameters) {
  const filters = [];
  const names = [];
  let through;
  for (let index = 0; index < parameters.length; index++) {
    const parameter = parameters[index];
    if (!parameter.startsWith("-")) filters.push(basename(parameter));
    else if (parameter === "--runtime" && runtimeNames.includes(parameters[index + 1])) names.push(parameters[++index]);
    else if (parameter === "--through" && parameters[index + 1]) through = parameters[++index];
    else {
      console.error(`Usage: npm test -- [part of a file name]… [--runtime ${runtimeNames.join("|")}]…`);
      process.exit(2);
    }
  }
  return { filters, names: names.length > 0 ? names : runtimeNames, through };
}

async function testRuntime(name) {
  const row = { title: name, openssl: "-", passed: 0, failed: 0, skipped: 0, seconds: 0 };
  const started = performance.now();
  try {
    const runtime = { ...findRuntime(name), through };
    row.title = runtime.title;
    row.openssl = await opensslOf(runtime);
    console.log(`\n${row.title} on ${row.openssl}`);
    if (files.length === 0) {
      throw new Error(`No test file: nothing in tests/ is named like ${filters.join(" ") || "*_test.ts"}`);
    }
    for (const file of files) {
      const result = await runTestFile(runtime, file, { folder, environment });
      row.passed += result.passed;
      row.failed += result.failed;
      row.skipped += result.skipped;
      for (const line of result.leftOut) leftOut.add(line);
      printResult(file, result, runtime);
    }
  } catch (error) {
    row.failed++;
    console.log(`\nFAILED ${row.title}: ${error.message}`);
  }
  row.seconds = (performance.now() - started) / 1000;
  return row;
}

/** The version of the OpenSSL that the tests will run on. Where there is none, the tests say why. */
async function opensslOf(runtime) {
  const parameters = runtime.name === "deno" ? ["run", "-A", "--no-prompt"] : [];
  const { code, output } = await startRuntime(runtime, [...parameters, "tasks/openssl.mjs"], { environment });
  const version = /^OpenSSL (\S+)/m.exec(output)?.[1];
  return code === 0 && version ? `OpenSSL ${version}` : "no OpenSSL";
}

function printResult(file, { passed, failed, skipped, seconds, problem, output }, runtime) {
  const counts = [`${passed} passed`, failed > 0 && `${failed} FAILED`, skipped > 0 && `${skipped} skipped`];
  const name = basename(file).padEnd(Math.max(...files.map((path) => basename(path).length)));
  console.log(`  ${name}  ${seconds.toFixed(1).padStart(6)} s  ${counts.filter(Boolean).join(", ")}`);
  if (failed === 0) return;
  console.log(`\nFAILED ${file} on ${runtime.title}${problem ? `: ${problem}` : ""}`);
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
  console.log();
}
