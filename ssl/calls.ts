/**
 * Calls into libssl that may call back into TypeScript, and what has to wait until such a call has unwound:
 * errors thrown in callbacks, and the freeing of what C still uses.
 */

import type { Pointer } from "../ffi/types.ts";
import type { SslConnection } from "./connection.ts";
import type { RemovalReason } from "./callback_types.ts";
import type { ContextState } from "./context_state.ts";
import { underWay } from "./library.ts";
import { clearErrors } from "./openssl_error.ts";

/** The connection that a call into libssl is made on, as its callbacks look for it. */
export interface Caller {
  readonly pointer: Pointer;
  /** The address of its SSL. */
  readonly key: bigint | number;
  /** The callbacks of the context it was made with. */
  readonly context: ContextState;
  readonly connection: SslConnection;
  /** How many messages came after the handshake that were no data, in a row. */
  controlMessages: number;
  /** How many times its get callback was asked for a session. */
  sessionQuestions: number;
  /** The id of the session that it resumes, if it resumes one: what a client offers, what a server was given last. */
  resumedId: Uint8Array | undefined;
  /** The error of the other side's certificate that weighs most, by its number, where all may pass; 0 for none. */
  verifyError: number;
}

let active: Caller | undefined;
let thrown: unknown[] | undefined;
const afterwards: (() => void)[] = [];

let removal: RemovalReason | undefined;

/**
 * Calls libssl in a way that it may call back. Rethrows what the callbacks threw, once libssl has unwound.
 *
 * @param reason why sessions are removed, if some are
 */
export function calling<T>(call: () => T, reason?: RemovalReason): T {
  const outer = enter(undefined);
  const outerRemoval = removal;
  removal = reason;
  try {
    return call();
  } finally {
    removal = outerRemoval;
    leave(outer);
  }
}

/** Why the call that is under way removes sessions, where that is known of the call. */
export function removalReason(): RemovalReason | undefined {
  return active ? undefined : removal;
}

/**
 * The two halves of {@linkcode calling} for the paths where a closure would cost: put the call between them, `leave` in
 * a `finally`. `caller` is the connection that the call is made on.
 */
export function enter(caller: Caller | undefined): Caller | undefined {
  const outer = active;
  active = caller;
  underWay.calls++;
  return outer;
}

/** Ends what {@linkcode enter} began. Throws what the callbacks threw: one error as it is, several as an AggregateError. */
export function leave(outer: Caller | undefined): void {
  active = outer;
  if (underWay.calls === 1 && afterwards.length > 0) runAfterwards();
  underWay.calls--;
  if (thrown) rethrow(thrown);
}

/** The connection whose call into libssl is the innermost one under way. */
export function activeCaller(): Caller | undefined {
  return active;
}

/** Does something as soon as no call into libssl is under way: now, or when the outermost has unwound. */
export function whenUnwound(action: () => void): void {
  if (underWay.calls === 0) action();
  else afterwards.push(action);
}

/**
 * Runs a callback's TypeScript side. What it throws is kept for the call that caused it, and C gets `failure`.
 * Errors kept so far stand aside meanwhile: they are not those of the calls made in here. Where other code made the
 * call, no call of this library's is to blame, and the error is one that nobody caught.
 */
export function calledBack<T>(failure: T, callback: () => T): T {
  const earlier = thrown;
  thrown = undefined;
  const isOurs = underWay.calls++ > 0;
  try {
    return callback();
  } catch (error) {
    if (isOurs) thrown = [error];
    else {
      queueMicrotask(() => {
        throw error;
      });
    }
    return failure;
  } finally {
    underWay.calls--;
    if (earlier) thrown = earlier.concat(thrown ?? []);
    // Other code's call goes on and may still use what is to be freed: it ends before anything else can run.
    if (!isOurs && afterwards.length > 0) queueMicrotask(() => calling(() => {}));
  }
}

function runAfterwards(): void {
  // Freeing may call back too, and a callback may ask for more to be freed.
  for (let action = afterwards.shift(); action; action = afterwards.shift()) calledBack(undefined, action);
}

/**
 * For finalizers, whom nobody has called: what a user's callback throws there is nobody's, and would end the process.
 */
export function quietly(release: () => void): void {
  try {
    release();
  } catch {
    // All that was to be released is.
  }
}

/** Whether it is what callbacks threw, and not a failure of the call that it came out of. */
export function wasThrownByCallback(error: unknown): boolean {
  return error !== undefined && error === rethrown;
}

/** Throws what a user's function threw that nobody had called who could be told, as if a callback of this call had. */
export function throwAsCallback(error: unknown): never {
  rethrow([error]);
}

let rethrown: unknown;

function rethrow(errors: unknown[]): never {
  thrown = undefined;
  // The call may have failed as well. What it left would pass for the reason of the next failure.
  clearErrors();
  rethrown = errors.length === 1 ? errors[0] : new AggregateError(errors, "Several callbacks threw");
  throw rethrown;
}
