/**
 * The names of Deno's `@std/assert` over `node:assert`, for where `jsr:` cannot be reached.
 *
 * @module
 */

import nodeAssert from "node:assert";
import { inspect } from "node:util";

/** An error class, whatever its constructor takes. */
export type ErrorClass<E extends Error = Error> = abstract new (...parameters: never[]) => E;

/** Asserts that `condition` is truthy. */
export function assert(condition: unknown, message = "Condition is not truthy"): asserts condition {
  if (!condition) fail(message);
}

/** Asserts that `condition` is falsy. */
export function assertFalse(condition: unknown, message = "Condition is not falsy"): void {
  assert(!condition, message);
}

/** Fails. */
export function fail(message = "Failed"): never {
  throw new nodeAssert.AssertionError({ message, stackStartFn: fail });
}

/** Asserts that two values are equal in depth: same structure, same classes, same content. */
export function assertEquals<T>(actual: T, expected: T, message?: string): void {
  compare("deepStrictEqual", actual, expected, message);
}

/** Asserts that two values are not equal in depth. */
export function assertNotEquals<T>(actual: T, expected: T, message?: string): void {
  compare("notDeepStrictEqual", actual, expected, message);
}

/** Asserts that two values are one and the same. */
export function assertStrictEquals<T>(actual: unknown, expected: T, message?: string): asserts actual is T {
  compare("strictEqual", actual, expected, message);
}

/** Asserts that two values are not one and the same. */
export function assertNotStrictEquals<T>(actual: T, expected: T, message?: string): void {
  compare("notStrictEqual", actual, expected, message);
}

/** Asserts that a value is neither null nor undefined. */
export function assertExists<T>(actual: T, message?: string): asserts actual is NonNullable<T> {
  assert(actual !== null && actual !== undefined, message ?? `Expected a value, got ${actual}`);
}

/** Asserts that `actual` is an instance of `type`. */
export function assertInstanceOf<T>(
  actual: unknown,
  type: abstract new (...parameters: never[]) => T,
  message?: string,
): asserts actual is T {
  assert(actual instanceof type, message ?? `Expected an instance of ${type.name}, got ${inspect(actual)}`);
}

/** Asserts that `actual` has `expected` in it. */
export function assertStringIncludes(actual: string, expected: string, message?: string): void {
  assert(actual.includes(expected), message ?? `Expected ${inspect(actual)} to include ${inspect(expected)}`);
}

/** Asserts that `actual` matches `expected`. */
export function assertMatch(actual: string, expected: RegExp, message?: string): void {
  compare("match", actual, expected, message);
}

/** Asserts that `actual` is greater than `expected`. */
export function assertGreater<T>(actual: T, expected: T, message?: string): void {
  assert(actual > expected, message ?? `Expected ${inspect(actual)} > ${inspect(expected)}`);
}

/** Asserts that `actual` is greater than or equal to `expected`. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, message?: string): void {
  assert(actual >= expected, message ?? `Expected ${inspect(actual)} >= ${inspect(expected)}`);
}

/** Asserts that `actual` is less than `expected`. */
export function assertLess<T>(actual: T, expected: T, message?: string): void {
  assert(actual < expected, message ?? `Expected ${inspect(actual)} < ${inspect(expected)}`);
}

/** Asserts that `actual` is less than or equal to `expected`. */
export function assertLessOrEqual<T>(actual: T, expected: T, message?: string): void {
  assert(actual <= expected, message ?? `Expected ${inspect(actual)} <= ${inspect(expected)}`);
}

/** Asserts that `work` throws, an `errorClass` where one is given, whose message has `part` in it. Returns the error. */
export function assertThrows(work: () => unknown): unknown;
export function assertThrows<E extends Error>(work: () => unknown, errorClass: ErrorClass<E>, part?: string): E;
export function assertThrows(work: () => unknown, errorClass?: ErrorClass, part?: string): unknown {
  let thrown: { error: unknown } | undefined;
  try {
    work();
  } catch (error) {
    thrown = { error };
  }
  if (!thrown) fail(`Expected ${errorClass?.name ?? "an error"} to be thrown, and nothing was`);
  return checked(thrown.error, errorClass, part);
}

/** Asserts that what `work` returns rejects, like {@linkcode assertThrows}. A throw before that is a failure. */
export function assertRejects(work: () => PromiseLike<unknown>): Promise<unknown>;
export function assertRejects<E extends Error>(
  work: () => PromiseLike<unknown>,
  errorClass: ErrorClass<E>,
  part?: string,
): Promise<E>;
export async function assertRejects(
  work: () => PromiseLike<unknown>,
  errorClass?: ErrorClass,
  part?: string,
): Promise<unknown> {
  const promise = work();
  let thrown: { error: unknown } | undefined;
  try {
    await promise;
  } catch (error) {
    thrown = { error };
  }
  if (!thrown) fail(`Expected a rejection by ${errorClass?.name ?? "an error"}, and there was none`);
  return checked(thrown.error, errorClass, part);
}

function checked(error: unknown, errorClass?: ErrorClass, part?: string): unknown {
  if (errorClass) assertInstanceOf(error, errorClass);
  if (part !== undefined) assertStringIncludes((error as Error).message, part);
  return error;
}

type Comparison = "deepStrictEqual" | "notDeepStrictEqual" | "strictEqual" | "notStrictEqual" | "match";

function compare(by: Comparison, actual: unknown, expected: unknown, message?: string): void {
  // A message or none: undefined in its place is an error in Node 26. Bun's and Node's types differ on it.
  const assertion = nodeAssert[by] as (actual: unknown, expected: unknown, ...message: [] | [string]) => void;
  assertion(actual, expected, ...(message === undefined ? [] as [] : [message] as [string]));
}
