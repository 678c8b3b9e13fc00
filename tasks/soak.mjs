// `npm run soak [-- --connections N] [--seed S] [--runtime R]…`: many connections of all kinds, on each runtime; memory
// must not grow, and nothing of libssl's may be left.
import { spawn } from "node:child_process";
import process from "node:process";
import { parseArgs } from "node:util";
import { findRuntime, programFlags, root, runtimeNames } from "./runtimes.mjs";
import { setUpOrExit } from "./setup.mjs";

const { values } = parseArgs({
  options: {
    connections: { type: "string", default: "200000" },
    seed: { type: "string", default: "1" },
    runtime: {
      type: "string",
      multiple: true,
      default: ["deno", "bun", "node24"],
    },
  },
});
if (
  values.runtime.some((name) => !runtimeNames.includes(name)) ||
  !(Number(values.connections) >= 1000)
) {
  console.error(
    `Usage: npm run soak [-- --connections N from 1000 on] [--seed S] [--runtime ${runtimeNames.join("|")}]…`,
  );
  process.exit(2);
}
await setUpOrExit();

let failed = 0;
for (const name of values.runtime) {
  const { path, title } = findRuntime(name);
  console.log(`\n${title}`);
  const parameters = [
    "tests/soak/main.ts",
    "--connections",
    values.connections,
    "--seed",
    values.seed,
  ];
  const child = spawn(path, [...programFlags(name), ...parameters], {
    cwd: root,
    stdio: "inherit",
  });
  const code = await new Promise((resolve) => child.on("close", (code, signal) => resolve(signal ?? code)));
  if (code === 0) continue;
  failed++;
  console.log(`FAILED on ${title}: it ended with ${code}`);
}
console.log(`\n${values.runtime.length - failed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
