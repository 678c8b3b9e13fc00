// `npm run demo`: installs what is missing and runs examples/demo.ts under Deno.
import process from "node:process";
import { run } from "./run.mjs";
import { findRuntime, runtimeVariables } from "./runtimes.mjs";
import { setUpOrExit } from "./setup.mjs";

await setUpOrExit();
try {
  const deno = findRuntime("deno");
  const parameters = [
    "run",
    "-A",
    "--no-prompt",
    "examples/demo.ts",
    ...process.argv.slice(2),
  ];
  process.exitCode = await run(deno.path, parameters, runtimeVariables());
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
