/** A value, or a Promise of it. */
export type MaybePromise<T> = T | Promise<T>;

/** What a store may want to know of a lookup. */
export interface StoreLookup {
  /** Aborted when the answer is no longer waited for: its time is over, or the client has gone. */
  readonly signal: AbortSignal;
}

/**
 * Where a {@linkcode SessionCache} keeps sessions. A store answers at once or with a Promise, as it likes.
 *
 * The contract:
 * - Values hold the keys of connections. They are secret, at rest and on the way.
 * - A store may lose what it was given: that costs a client one full handshake. It must never answer with anything
 *   else than what was put under the key.
 * - Keys asked for come from the network, from anybody. They have up to 64 characters, of `0-9a-f`.
 * - What has expired need not be kept, and need not be found.
 * - A store that throws or rejects costs a full handshake, never a connection. Let it say why: the error reaches the
 *   operator.
 */
export interface SessionStore {
  /** The value under the key, if there is one. */
  get(key: string, lookup?: StoreLookup): MaybePromise<Uint8Array | undefined>;
  /** Keeps the value under the key, in place of any other. The value is the store's own. */
  put(key: string, value: Uint8Array, expiresAt: Date): MaybePromise<void>;
  /**
   * The value under the key, deleted in the same step: of two callers at once, one gets it. Leave it out where the
   * store cannot do that; TLS 1.3 sessions may then be used more than once.
   */
  take?(key: string, lookup?: StoreLookup): MaybePromise<Uint8Array | undefined>;
  /** Deletes the value under the key, if there is one. */
  delete(key: string): MaybePromise<void>;
  /** All that it keeps, as far as it can list it, for {@linkcode SessionCache.revokeWhere}. */
  entries?(): Iterable<[key: string, value: Uint8Array]> | AsyncIterable<[key: string, value: Uint8Array]>;
  /** Whether values leave this process's memory. A cache then refuses the store without `secrets`. */
  readonly isShared?: boolean;
}
