import type { StoreLookup } from "./session_store.ts";

/**
 * A question that a store does not answer at once, and those that wait for the answer. Several wait for one where a
 * client offers a TLS 1.2 session on several connections at once.
 */
export class Question implements StoreLookup {
  /** The answer, where it is shared. */
  answer: Promise<Uint8Array | undefined> | undefined;
  /** Whether one more may wait for it. */
  isOpen = true;
  readonly #waiting = new Set<object>();
  readonly #onAbandoned: (() => void) | undefined;
  #controller: AbortController | undefined;
  #reason: Error | undefined;

  constructor(onAbandoned?: () => void) {
    this.#onAbandoned = onAbandoned;
  }

  /** Made when a store asks for it: most do not, and answer at once. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#reason) this.#controller.abort(this.#reason);
    return this.#controller.signal;
  }

  /** One more waits. */
  join(waiting: object): void {
    this.#waiting.add(waiting);
  }

  /** One no longer waits. `reason` says why, unless the answer has come; with the last one the question is aborted. */
  leave(waiting: object, reason?: Error): void {
    this.#waiting.delete(waiting);
    if (!reason || this.#waiting.size > 0) return;
    this.#reason = reason;
    this.#controller?.abort(reason);
    this.#onAbandoned?.();
  }
}
