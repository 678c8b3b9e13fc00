import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import type { Bdd, Declare, TestOptions } from "./bdd.ts";

// In milliseconds. Bun would give a test five seconds.
const timeout = 120_000;

type Runner<Body> = (name: string, options: { skip: boolean; timeout: number }, body: Body) => unknown;

function declare<Body>(run: Runner<Body>): Declare<Body> {
  function entry(name: string, optionsOrBody: TestOptions | Body, body?: Body): void {
    const [options, work] = body === undefined
      ? [{} as TestOptions, optionsOrBody as Body]
      : [optionsOrBody as TestOptions, body];
    run(name, { skip: options.ignore === true, timeout }, work);
  }
  const ignore = (name: string, body: Body) => entry(name, { ignore: true }, body);
  return Object.assign(entry, { skip: ignore, ignore });
}

/** Bun's and Node's half: node:test. Its functions hand a context to what they call, which is kept from the tests. */
export const bdd: Bdd = {
  describe: declare((name, options, body) => describe(name, options, () => body())),
  it: declare((name, options, body) => it(name, options, () => body())),
  beforeAll: (hook) => before(() => hook()),
  afterAll: (hook) => after(() => hook()),
  beforeEach: (hook) => beforeEach(() => hook()),
  afterEach: (hook) => afterEach(() => hook()),
};
