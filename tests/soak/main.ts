// A server and its clients in one process, for a long time: tests/soak/main.ts --connections N --seed S
//
// Prints how far it is, then a line of JSON. Ends with 1 if memory has grown, objects are left, or a good client failed.
import { gc } from "../collect_garbage.ts";
import process from "node:process";
import { parseArgs } from "node:util";
import { clientSessionsOf, Farm } from "./farm.ts";
import { closeLibrary } from "../../mod.ts";
import { counts } from "../counts.ts";
import { Random } from "../fuzz/random.ts";
import { Visitor } from "./visitor.ts";

const { values } = parseArgs({
  options: { connections: { type: "string", default: "200000" }, seed: { type: "string", default: "1" } },
});
const connections = Number(values.connections);
const before = counts();
const random = new Random(Number(values.seed));
const farm = await Farm.start(random);
const sessions = clientSessionsOf();
const visitors = Array.from({ length: 12 }, () => new Visitor(random, farm, sessions));
const began = performance.now();

/** Of each hundredth of the connections: what is resident when the garbage has been collected, in MiB. */
const resident: number[] = [];
let begun = 0;
let done = 0;
async function visit(visitor: Visitor): Promise<void> {
  while (begun < connections) {
    begun++;
    if (begun % 1000 === 0) farm.change();
    await visitor.visit();
    if (++done % Math.max(1, Math.floor(connections / 100)) === 0) measure();
  }
}

function measure(): void {
  gc();
  resident.push(process.memoryUsage().rss / 2 ** 20);
  const seconds = (performance.now() - began) / 1000;
  const line = `${String(done).padStart(8)} connections  ${seconds.toFixed(0).padStart(5)} s  ` +
    `${resident.at(-1)!.toFixed(1).padStart(7)} MiB`;
  if (resident.length % 10 === 0) console.error(line);
}

await Promise.all(visitors.map(visit));
await farm.close();
sessions.clear();
// Gives back what is kept for the whole program.
closeLibrary();
gc();
const after = counts();
const median = (all: number[]) => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)]!;
const [second, last] = [median(resident.slice(10, 20)), median(resident.slice(90))];
const left = after.connections + after.contexts + after.sessions - before.connections - before.contexts -
  before.sessions;
const kinds = visitors[0]!.kinds;
const failures = visitors.flatMap((visitor) => visitor.failures);
console.log(JSON.stringify({
  connections: done,
  seconds: Math.round((performance.now() - began) / 1000),
  kinds,
  secondTenth: Number(second.toFixed(1)),
  lastTenth: Number(last.toFixed(1)),
  growth: `${((last / second - 1) * 100).toFixed(1)} %`,
  left: {
    connections: after.connections - before.connections,
    contexts: after.contexts - before.contexts,
    sessions: after.sessions - before.sessions,
  },
  failures: failures.length,
}));
for (const failure of failures.slice(0, 5)) console.error(failure);
process.exitCode = left !== 0 || last > second * 1.05 || failures.length > 0 ? 1 : 0;
