/**
 * The names of Deno's `@std/testing/bdd`, for where `jsr:` cannot be reached and for runtimes that do not have it.
 *
 * Deno runs its own `Deno.test`, because its leak sanitizers are off under `node:test`. Bun and Node run `node:test`.
 *
 * @module
 */

/** What a test or a hook does. */
export type TestFunction = () => void | Promise<void>;

/** What can be said about a test or a suite besides its name. */
export interface TestOptions {
  /** Do not run it. */
  ignore?: boolean;
  /** Deno only: do not look for operations that were started and did not end. */
  sanitizeOps?: boolean;
  /** Deno only: do not look for resources that were opened and not closed. */
  sanitizeResources?: boolean;
}

/** Declares a test or a suite. */
export interface Declare<Body> {
  (name: string, body: Body): void;
  (name: string, options: TestOptions, body: Body): void;
  /** Declares it and does not run it. */
  skip(name: string, body: Body): void;
  /** The same as {@linkcode Declare.skip}. */
  ignore(name: string, body: Body): void;
}

/** What a runtime's half of this module gives. */
export interface Bdd {
  /** Declares a suite of tests. */
  describe: Declare<() => void>;
  /** Declares a test. */
  it: Declare<TestFunction>;
  /** Has something done once before the tests of a suite. */
  beforeAll(hook: TestFunction): void;
  /** Has something done once after the tests of a suite, also when one has failed. */
  afterAll(hook: TestFunction): void;
  /** Has something done before each test of a suite. */
  beforeEach(hook: TestFunction): void;
  /** Has something done after each test of a suite, also when it has failed. */
  afterEach(hook: TestFunction): void;
}

const { bdd } = await import("Deno" in globalThis ? "./bdd_deno.ts" : "./bdd_node.ts") as { bdd: Bdd };

export const { describe, it, beforeAll, afterAll, beforeEach, afterEach } = bdd;
