/**
 * A program for Deno, with natives syntax: calls libssl from code that V8 has optimised, and has V8 throw that code away
 * whenever C calls back. It ends with what it has done.
 */

import { watch } from "./c_calls.ts";
import { libssl } from "../ffi/libssl.ts";
import type { Prototype } from "../ffi/types.ts";
import { library } from "../ssl/library.ts";
import { ways } from "./callback_ways.ts";
import "./counts.ts"; // libcrypto tells of each object
import { versions } from "./support.ts";

type Call = (...parameters: unknown[]) => unknown;

const prepare = new Function("call", "%PrepareFunctionForOptimization(call)") as (call: Call) => void;
const optimise = new Function("call", "%OptimizeFunctionOnNextCall(call)") as (call: Call) => void;
const deoptimise = new Function("call", "%DeoptimizeFunction(call)") as (call: Call) => void;

const opened = library() as unknown as { ssl: Record<string, Call> };
const callers = Object.entries(libssl as Record<string, Prototype>).flatMap(([name, prototype]) => {
  const call = opened.ssl[name];
  if (!call) return [];
  const parameters = prototype.parameters.map((_, index) => `p${index}`).join();
  // With its name in it, as V8 has one code for all functions of one text.
  const make = new Function("call", `return function ${name}(${parameters}) { return call(${parameters}) }`);
  return [[name, make(call) as Call] as const];
});
opened.ssl = Object.fromEntries(callers);

function forEachWay(run: (way: (version: typeof versions[number]) => void) => void): void {
  for (const way of Object.values(ways)) run(way);
}

// What V8 has not seen called it does not know how to call fast.
for (const [_, call] of callers) prepare(call);
forEachWay((way) => versions.forEach(way));

let callbacks = 0;
watch.onCallback = () => {
  callbacks++;
  for (const [_, call] of callers) {
    deoptimise(call);
    prepare(call);
    optimise(call);
  }
};
for (const [_, call] of callers) optimise(call);
forEachWay((way) => versions.forEach(way));
console.log(callbacks > 100 ? "alive" : `Only ${callbacks} callbacks were called`);
