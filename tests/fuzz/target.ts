import { OpenSslError, ReleasedError } from "../../mod.ts";
import type { Random } from "./random.ts";

/** Something to try with random input. One case is one seed: it repeats. */
export interface Target {
  readonly name: string;
  /** Tries one case. What it throws is a find. */
  run(random: Random): void | Promise<void>;
}

/** What the fuzzers' own callbacks throw. */
export class ThrownOnPurpose extends Error {}

/** How the library's own messages begin. */
const saysWhat =
  /^(Cannot|The TLS handshake failed|The [a-z ]+ callback returned a Promise|A string for C|0x[0-9a-f]+ is the number of no TLS)/;

// What an engine says of a mistake in the library's code can begin like that too.
const isEngines =
  /^Cannot (read (propert|private)|access '|destructure|convert|set propert|assign to|(re)?define property|delete property|create property|mix BigInt)/;

/**
 * Asserts that an error is one that the library may answer hostile input with, and not a mistake of its own that came to
 * light: a TypeError of the engine, say.
 */
export function requireExpected(error: unknown): void {
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.forEach(requireExpected);
  if (error instanceof OpenSslError || error instanceof ReleasedError || error instanceof ThrownOnPurpose) return;
  const message = error instanceof Error ? error.message : "";
  if (saysWhat.test(message) && !isEngines.test(message)) return;
  throw new Error(`An error that nobody expects: ${error}`, { cause: error });
}

/** Runs something and answers what it threw, which must be expected; undefined if it did not throw. */
export function outcome(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    requireExpected(error);
    return error;
  }
  return undefined;
}
