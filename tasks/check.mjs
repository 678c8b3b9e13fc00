// `npm run check`: type-checks every file, by Deno with Deno's types, and by tsc with Node's and Bun's.
import { join } from "node:path";
import process from "node:process";
import { run } from "./run.mjs";
import { findRuntime, installed } from "./runtimes.mjs";
import { setUpOrExit } from "./setup.mjs";

await setUpOrExit();
const tsc = join(installed, "typescript", "bin", "tsc");
const steps = [
  ["deno check", findRuntime("deno").path, [
    "check",
    "--quiet",
    "--node-modules-dir=manual",
  ]],
  ["tsc, with the types of Node and Bun", findRuntime("node26").path, [
    tsc,
    "--noEmit",
    "--types",
    "node,bun",
  ]],
];
for (const [title, program, parameters] of steps) {
  console.log(title);
  if (await run(program, parameters) !== 0) process.exitCode = 1;
}
