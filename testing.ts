/**
 * Tests for session stores: what any store must do that a {@linkcode SessionCache} is to work with.
 *
 * @example A test file for a store of yours, run by `deno test`, `bun test` or `node --test`
 * ```ts ignore
 * import { MemoryStore } from "@openssl-sessions/openssl-sessions";
 * import { testSessionStore } from "@openssl-sessions/openssl-sessions/testing";
 *
 * testSessionStore("MemoryStore", () => new MemoryStore());
 * ```
 *
 * @module
 */

import process from "node:process";
import type { MaybePromise, SessionStore } from "./cache/session_store.ts";
import { type StoreTest, storeTests } from "./cache/store_tests.ts";
import { callback, flag } from "./ssl/option_kinds.ts";
import { type OptionKinds, readOptions } from "./ssl/options.ts";

export type { MaybePromise, SessionStore, StoreLookup } from "./cache/session_store.ts";

/** The options of {@linkcode testSessionStore}. */
export interface TestSessionStoreOptions<Store extends SessionStore = SessionStore> {
  /** Declares a suite of tests, by default `describe` of `node:test`. */
  describe?: (name: string, body: () => void) => unknown;
  /** Declares a test, by default `it` of `node:test`. */
  it?: (name: string, body: () => Promise<void>) => unknown;
  /**
   * Whether the stores have `take`, by default true. A store that cannot take in one step is better off without it, and
   * then this must be false.
   */
  take?: boolean;
  /**
   * Ends a store after a test. By default its `Symbol.asyncDispose` or else `Symbol.dispose` is called, if it has one.
   */
  close?: (store: Store) => MaybePromise<void>;
  /**
   * Makes another store over the same sessions, as another server would have it. If it is there, the two are tested
   * together: what one puts the other finds, and what one takes the other does not get.
   */
  makeSecond?: (store: Store) => MaybePromise<Store>;
}

function kinds<Store extends SessionStore>(): OptionKinds<TestSessionStoreOptions<Store>> {
  return { describe: callback(), it: callback(), take: flag, close: callback(), makeSecond: callback() };
}

/**
 * Declares a suite of tests for a store: the contract of {@linkcode SessionStore}, and that a value is found as long as
 * it has not expired, which a store in good health does. On one point the tests want more than the contract does: what
 * has expired must not be found.
 *
 * `take` is tested with many callers at once. Each test has a store of its own and random keys, so the stores may keep
 * their sessions in one place.
 *
 * @param name what the suite is called
 * @param make makes a store
 * @param options the functions of another test runner, and how to end a store
 * @throws {TypeError} for an option that is not known, or of another type
 *
 * @example With vitest, for stores that must be closed
 * ```ts ignore
 * import { describe, it } from "vitest";
 * import { RedisStore } from "@openssl-sessions/openssl-sessions";
 * import { testSessionStore } from "@openssl-sessions/openssl-sessions/testing";
 *
 * testSessionStore("RedisStore", () => new RedisStore({ url: "redis://localhost:6379" }), {
 *   describe,
 *   it,
 *   close: (store) => store.close(),
 *   makeSecond: () => new RedisStore({ url: "redis://localhost:6379" }),
 * });
 * ```
 */
export function testSessionStore<Store extends SessionStore>(
  name: string,
  make: () => MaybePromise<Store>,
  options: TestSessionStoreOptions<Store> = {},
): void {
  // Loaded when used: another runner's tests need not run where node:test works.
  const read = readOptions("testSessionStore()", kinds<Store>(), options);
  const { describe, it } = read.describe && read.it ? read : { ...nodeTest(), ...read };
  const { close = dispose, makeSecond, take = true } = read;
  const tests = Object.entries<StoreTest>(storeTests).filter(([_, { about, needsSecond }]) =>
    (!needsSecond || makeSecond) && about !== (take ? "no take" : "take")
  );

  describe!(`${name}: the contract of session stores`, () => {
    for (const [statement, test] of tests) {
      it!(statement, async () => {
        const opened: Store[] = [];
        try {
          const store = await make();
          opened.push(store);
          if (test.needsSecond) opened.push(await makeSecond!(store));
          await test.run(...opened as [Store, Store]);
        } finally {
          for (const store of opened.reverse()) await close(store);
        }
      });
    }
  });
}

function nodeTest(): Required<Pick<TestSessionStoreOptions, "describe" | "it">> {
  const { describe, it } = process.getBuiltinModule("node:test");
  return { describe: (name, body) => describe(name, body), it: (name, body) => it(name, () => body()) };
}

async function dispose(store: SessionStore & Partial<AsyncDisposable & Disposable>): Promise<void> {
  if (store[Symbol.asyncDispose]) await store[Symbol.asyncDispose]!();
  else store[Symbol.dispose]?.();
}
