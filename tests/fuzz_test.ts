import { describe, it } from "@std/testing/bdd";
import { Random } from "./fuzz/random.ts";
import { targets } from "./fuzz/targets.ts";

// A little of what `npm run fuzz` does for as long as one likes; the seed is always the same.
const cases: Record<string, number> = { ownership: 150, records: 100, parsers: 150, sockets: 3 };

// They close the library and open it again, at random, also in the middle of a test.
const sanitizers = { sanitizeOps: false, sanitizeResources: false };

describe("fuzzing", sanitizers, () => {
  for (const target of targets) {
    it(`${target.name} finds nothing in ${cases[target.name]} cases`, sanitizers, async () => {
      for (let at = 0; at < cases[target.name]!; at++) {
        try {
          await target.run(new Random(at));
        } catch (cause) {
          throw new Error(`Found in case ${at}`, { cause });
        }
      }
    });
  }
});
