// Runs one fuzzer on one runtime: tests/fuzz/main.ts --target NAME --seed S --seconds N [--case N] [--trace FILE]
//
// Prints what it tried as a line of JSON. Ends with 1 at the first find, after the line that repeats it.
import { closeSync, openSync, writeSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { Random } from "./random.ts";
import { targets } from "./targets.ts";

const { values } = parseArgs({
  options: {
    target: { type: "string" },
    seed: { type: "string", default: "1" },
    seconds: { type: "string", default: "10" },
    cases: { type: "string", default: "Infinity" },
    case: { type: "string" },
    trace: { type: "string" },
  },
});
const target = targets.find(({ name }) => name === values.target);
if (!target) {
  console.error(`No such target; there are ${targets.map(({ name }) => name).join(", ")}`);
  process.exit(2);
}
// Where a crash leaves the number of the case that it came in.
const trace = values.trace === undefined ? undefined : openSync(values.trace, "w");
const encoder = new TextEncoder();
const end = performance.now() + Number(values.seconds) * 1000;
const first = Number(values.case ?? 0);
const last = values.case === undefined ? Number(values.cases) : first + 1;
let at = first;
try {
  for (; at < last && (values.case !== undefined || performance.now() < end); at++) {
    if (trace !== undefined) writeSync(trace, encoder.encode(String(at).padStart(12)), 0, 12, 0);
    await target.run(new Random(Math.imul(Number(values.seed), 0x9e3779b1) + at));
  }
  console.log(JSON.stringify({ target: target.name, cases: at - first }));
} catch (error) {
  console.error(error);
  console.error(`FOUND by ${target.name} in case ${at} of seed ${values.seed}`);
  process.exitCode = 1;
}
if (trace !== undefined) closeSync(trace);
