import type { Bdd, Declare, TestFunction, TestOptions } from "./bdd.ts";

// The part of Deno's namespace used here, declared so that this file type-checks in every runtime's tools.
interface DenoTest {
  test: {
    (definition: TestOptions & { name: string; fn(context: StepContext): Promise<void> }): void;
    beforeAll(hook: TestFunction): void;
    afterAll(hook: TestFunction): void;
  };
}
interface StepContext {
  step(definition: TestOptions & { name: string; fn(context: StepContext): Promise<void> }): Promise<boolean>;
}

interface Suite {
  parent?: Suite;
  children: { name: string; options: TestOptions; fn(context: StepContext): Promise<void> }[];
  beforeAll: TestFunction[];
  afterAll: TestFunction[];
  beforeEach: TestFunction[];
  afterEach: TestFunction[];
}

const { test } = (globalThis as unknown as { Deno: DenoTest }).Deno;

function newSuite(parent?: Suite): Suite {
  const suite = { children: [], beforeAll: [], afterAll: [], beforeEach: [], afterEach: [] };
  return parent ? { parent, ...suite } : suite;
}

const file = newSuite();
let current = file;

/** A test of the file becomes a Deno.test; one inside a suite becomes a step of it. */
function add(name: string, options: TestOptions, fn: (context: StepContext) => Promise<void>): void {
  if (current === file) test({ name, ...options, fn });
  else current.children.push({ name, options, fn });
}

/** Runs `work`, then each of `cleanups` whatever happens, and throws what went wrong first. */
async function inFull(work: () => Promise<void>, cleanups: TestFunction[]): Promise<void> {
  const errors: unknown[] = [];
  for (const part of [work, ...cleanups]) {
    try {
      await part();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length === 1) throw errors[0];
  if (errors.length > 1) throw new AggregateError(errors, "Several parts of a test failed");
}

/** The suites around a test, the file itself first. */
function around(suite: Suite): Suite[] {
  return suite.parent ? [...around(suite.parent), suite] : [suite];
}

function suite(name: string, options: TestOptions, body: () => void): void {
  const outer = current;
  const inner = newSuite(outer);
  current = inner;
  try {
    body();
  } finally {
    current = outer;
  }
  add(name, options, (context) => {
    const run = async () => {
      for (const hook of inner.beforeAll) await hook();
      for (const { name, options, fn } of inner.children) await context.step({ name, ...options, fn });
    };
    return inFull(run, inner.afterAll);
  });
}

function single(name: string, options: TestOptions, body: TestFunction): void {
  const suites = around(current);
  add(name, options, () => {
    const run = async () => {
      for (const hook of suites.flatMap((suite) => suite.beforeEach)) await hook();
      await body();
    };
    return inFull(run, suites.toReversed().flatMap((suite) => suite.afterEach));
  });
}

function declare<Body>(run: (name: string, options: TestOptions, body: Body) => void): Declare<Body> {
  function entry(name: string, optionsOrBody: TestOptions | Body, body?: Body): void {
    if (body === undefined) run(name, {}, optionsOrBody as Body);
    else run(name, optionsOrBody as TestOptions, body);
  }
  const ignore = (name: string, body: Body) => run(name, { ignore: true }, body);
  return Object.assign(entry, { skip: ignore, ignore });
}

/**
 * Deno's half. A suite is one Deno.test with a step for each test, so that the sanitizers look at each test by itself
 * and at what the suite's own hooks opened and closed.
 */
export const bdd: Bdd = {
  describe: declare(suite),
  it: declare(single),
  beforeAll: (hook) => void (current === file ? test.beforeAll(hook) : current.beforeAll.push(hook)),
  afterAll: (hook) => void (current === file ? test.afterAll(hook) : current.afterAll.push(hook)),
  beforeEach: (hook) => void current.beforeEach.push(hook),
  afterEach: (hook) => void current.afterEach.push(hook),
};
