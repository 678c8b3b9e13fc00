// `npm run fuzz [-- --seconds N] [--seed S] [--runtime R]… [--target T]… [--case N]`: each fuzzer on each runtime.
//
// A find prints the line that repeats it. So does a crash: each case's number is written down before it is tried.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { findRuntime, programFlags, runtimeNames } from "./runtimes.mjs";
import { setUpOrExit } from "./setup.mjs";
import { startRuntime } from "./test_file.mjs";

const targetNames = ["ownership", "records", "parsers", "sockets"];
const usage = `Usage: npm run fuzz [-- --seconds N] [--seed S] [--runtime ${runtimeNames.join("|")}]… [--target ${
  targetNames.join("|")
}]… [--case N]`;

const { values } = (() => {
  try {
    return parseArgs({
      options: {
        seconds: { type: "string", default: "20" },
        seed: { type: "string", default: String(Date.now() % 1_000_000) },
        runtime: {
          type: "string",
          multiple: true,
          default: ["deno", "bun", "node24"],
        },
        target: { type: "string", multiple: true, default: targetNames },
        case: { type: "string" },
      },
    });
  } catch (error) {
    console.error(`${error.message}\n${usage}`);
    process.exit(2);
  }
})();
const wrong = [
  ...values.runtime.filter((name) => !runtimeNames.includes(name)),
  ...values.target.filter((name) => !targetNames.includes(name)),
  ...[values.seconds, values.seed, values.case ?? "0"].filter((number) => !(Number(number) >= 0)),
];
if (wrong.length > 0) {
  console.error(`Cannot use ${wrong.join(", ")}\n${usage}`);
  process.exit(2);
}
await setUpOrExit();

// glibc fills what is freed and checks its lists, so that what is used after its end shows.
const environment = {
  ...process.env,
  NO_COLOR: "1",
  DENO_NO_UPDATE_CHECK: "1",
  BUN_ENABLE_CRASH_REPORTING: "0",
  MALLOC_PERTURB_: "165",
  MALLOC_CHECK_: "3",
};

const folder = mkdtempSync(join(tmpdir(), "openssl-sessions-fuzz-"));
let passed = 0;
let failed = 0;
console.log(
  `Seed ${values.seed}, ${values.seconds} s for each of ${values.runtime.length * values.target.length} runs\n`,
);
try {
  for (const name of values.runtime) {
    const runtime = findRuntime(name);
    for (const target of values.target) await fuzz(runtime, target);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;

async function fuzz(runtime, target) {
  const trace = join(folder, "trace");
  const parameters = [
    "tests/fuzz/main.ts",
    "--target",
    target,
    "--seed",
    values.seed,
    "--seconds",
    values.seconds,
  ];
  if (values.case !== undefined) parameters.push("--case", values.case);
  const command = [
    ...programFlags(runtime.name),
    ...parameters,
    "--trace",
    trace,
  ];
  const limitSeconds = Number(values.seconds) + 120;
  const { code, signal, timedOut, output } = await startRuntime(
    runtime,
    command,
    { environment, limitSeconds },
  );
  const cases = /"cases":(\d+)/.exec(output)?.[1];
  const isFine = code === 0 && cases !== undefined;
  console.log(
    `${runtime.title.padEnd(14)}${target.padEnd(11)}${isFine ? `${cases} cases` : "FOUND"}`,
  );
  if (isFine) return void passed++;
  failed++;
  for (const line of output.trimEnd().split("\n")) console.log(`| ${line}`);
  const at = readFileSync(trace, "utf8").trim();
  const end = timedOut ? "it did not end" : signal ? `the process died of ${signal}` : `it ended with ${code}`;
  console.log(
    `In case ${at} ${end}. Once more: npm run fuzz -- --runtime ${runtime.name} --target ${target} ` +
      `--seed ${values.seed} --case ${at}\n`,
  );
}
