import { shortId } from "./hex.ts";
import { Histogram } from "./histogram.ts";
import { isPromise } from "./maybe_promise.ts";
import type {
  RefusalReason,
  SessionCacheEvent,
  SessionCacheOptions,
  SessionCacheStats,
} from "./session_cache_options.ts";
import type { MaybePromise } from "./session_store.ts";
import { SessionStoreError, type StoreOperation } from "./session_store_error.ts";

type Counts = Omit<SessionCacheStats, "lookupLatency" | "storeLatency">;

/** What each reason is counted as. */
const refusals: Record<RefusalReason, keyof Counts> = {
  "not opened": "notOpened",
  "another session": "notOpened",
  "another server name": "otherName",
  "another context": "otherContext",
  "another protocol version": "otherVersion",
  "another cipher": "otherCipher",
  "the client's certificate": "certificateRefused",
  "too old": "tooOld",
  "from the future": "fromTheFuture",
  "revoked": "revokedMeanwhile",
};

/** Counts what happens in a cache, and tells it to whoever asked for it. */
export class Journal {
  readonly counts: Counts = {
    lookups: 0,
    hits: 0,
    misses: 0,
    foreignIds: 0,
    timedOut: 0,
    late: 0,
    alreadyTaken: 0,
    notOpened: 0,
    tooOld: 0,
    fromTheFuture: 0,
    otherName: 0,
    otherContext: 0,
    otherVersion: 0,
    otherCipher: 0,
    certificateRefused: 0,
    revokedMeanwhile: 0,
    revoked: 0,
    stored: 0,
    tooLarge: 0,
    writeFailures: 0,
    writeTimeouts: 0,
    lateWrites: 0,
    droppedWrites: 0,
    removed: 0,
    errors: 0,
  };
  readonly lookupLatency = new Histogram();
  readonly storeLatency = new Histogram();
  readonly #onEvent: SessionCacheOptions["onEvent"];
  readonly #onStoreError: SessionCacheOptions["onStoreError"];

  constructor(
    { onEvent, onStoreError }: { [Name in "onEvent" | "onStoreError"]: SessionCacheOptions[Name] | undefined },
  ) {
    this.#onEvent = onEvent;
    this.#onStoreError = onStoreError;
  }

  /** Tells of an event. It is made only where somebody listens. */
  tell(event: () => SessionCacheEvent): void {
    if (this.#onEvent) heedless(() => this.#onEvent!(event()));
  }

  /** A session that the store had does not resume. */
  refused(id: Uint8Array, reason: RefusalReason): void {
    this.counts[refusals[reason]]++;
    this.tell(() => ({ type: "refused", id: shortId(id), reason }));
  }

  /** The store failed. */
  failed(operation: StoreOperation, cause: unknown): void {
    this.counts.errors++;
    const error = new SessionStoreError(operation, cause);
    if (this.#onStoreError) heedless(() => this.#onStoreError!(error));
    this.tell(() => ({ type: "store error", operation, error }));
  }

  /** All that was counted. */
  snapshot(): SessionCacheStats {
    return {
      ...this.counts,
      lookupLatency: this.lookupLatency.snapshot(),
      storeLatency: this.storeLatency.snapshot(),
    };
  }
}

/** An operator's broken handler must not cost a client its connection, nor one that is asynchronous end the program. */
function heedless(call: () => unknown): void {
  try {
    const answer = call() as MaybePromise<unknown>;
    // There is nobody left to tell.
    if (isPromise(answer)) Promise.resolve(answer).catch(() => {});
  } catch {
    // Nor here.
  }
}
