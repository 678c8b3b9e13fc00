import { whenUnwound } from "../ssl/calls.ts";
import type { SessionLookup } from "../ssl/callback_types.ts";
import type { SslConnection } from "../ssl/connection.ts";
import { SessionCacheMode, SslOption } from "../ssl/constants.ts";
import type { SslContext } from "../ssl/context.ts";
import { Session } from "../ssl/session.ts";
import { toHex } from "./hex.ts";
import type { MaybePromise, SessionStore } from "./session_store.ts";
import { SessionStoreError, type StoreOperation } from "./session_store_error.ts";

/** The options of a {@linkcode SessionCache}. */
export interface SessionCacheOptions {
  /** Where the sessions are kept. */
  store: SessionStore;
  /**
   * Called when the store failed, or answered with something that is not the session asked for. Clients do not notice:
   * they make full handshakes. It is the operator's way to learn of it, so do set it. What it throws is ignored.
   */
  onStoreError?: (error: SessionStoreError) => void;
}

/** What a {@linkcode SessionCache} has counted since it was made. */
export interface SessionCacheStats {
  /** Sessions that clients proposed and the store was asked for. */
  lookups: number;
  /** Lookups that found a session. Whether it resumes is for libssl to say. */
  hits: number;
  /** Lookups that found none. */
  misses: number;
  /** Sessions handed to the store. */
  stored: number;
  /** Sessions that libssl removed, and the store was told to delete. */
  removed: number;
  /** Failures of the store: each was reported to `onStoreError`. */
  errors: number;
}

/**
 * The external session cache: gives contexts' sessions to a store, and looks there for what clients propose. Servers
 * that share a store, one after the other or side by side, resume each other's sessions, with TLS 1.2 and TLS 1.3.
 *
 * Sessions are stateful: all that a client holds is an id. TLS 1.3 sessions are used once, where the store has `take`.
 *
 * @example
 * ```ts
 * import { MemoryStore, selfSigned, SessionCache, SslContext } from "./mod.ts";
 *
 * const cache = new SessionCache({
 *   store: new MemoryStore(),
 *   onStoreError: (error) => console.error(error.message),
 * });
 * using context = SslContext.server(selfSigned());
 * cache.attach(context);
 * console.log(cache.stats().lookups); // 0
 * ```
 */
export class SessionCache {
  readonly #store: SessionStore;
  readonly #onStoreError: ((error: SessionStoreError) => void) | undefined;
  readonly #stats: SessionCacheStats = { lookups: 0, hits: 0, misses: 0, stored: 0, removed: 0, errors: 0 };
  /**
   * What was taken for a handshake that is under way. A HelloRetryRequest makes libssl ask twice, and a store that
   * gave the session away at the first would not have it at the second.
   */
  readonly #taken = new WeakMap<SslConnection, { key: string; value: Uint8Array }>();

  /**
   * A cache that serves no context yet: {@linkcode SessionCache.attach} gives it one.
   *
   * @param options the store, and who learns of its failures
   */
  constructor(options: SessionCacheOptions) {
    this.#store = options.store;
    this.#onStoreError = options.onStoreError;
  }

  /**
   * Takes over a server context's three session callbacks, and turns off what would get in the way: stateless tickets
   * and the internal cache. One ticket follows each TLS 1.3 handshake; set `context.numTickets` afterwards for more.
   * One cache can serve many contexts.
   *
   * @param context a context for servers
   */
  attach(context: SslContext): void {
    const { Server, NoInternal, NoAutoClear } = SessionCacheMode;
    context.sessionCacheMode = Server | NoInternal | NoAutoClear;
    context.setOptions(SslOption.NoTicket);
    context.numTickets = 1;
    context.setNewSessionCallback((connection, session) => this.#keep(connection, session));
    context.setGetSessionCallback((connection, id, lookup) => this.#find(connection, id, lookup));
    context.setRemoveSessionCallback((_context, session) => this.#remove(session));
  }

  /** What was counted so far. */
  stats(): SessionCacheStats {
    return { ...this.#stats };
  }

  #keep(connection: SslConnection, session: Session): void {
    // The handshake is over, and with it the need to answer twice.
    this.#taken.delete(connection);
    const key = toHex(session.id);
    const value = session.toDer();
    const expiresAt = session.expires;
    this.#stats.stored++;
    this.#tell("put", () => this.#store.put(key, value, expiresAt));
  }

  #remove(session: Session): void {
    const key = toHex(session.id);
    this.#stats.removed++;
    // libssl may hold a lock now, and a store is the user's code.
    whenUnwound(() => this.#tell("delete", () => this.#store.delete(key)));
  }

  #find(connection: SslConnection, id: Uint8Array, lookup: SessionLookup): Session | undefined {
    const key = toHex(id);
    const taken = this.#taken.get(connection);
    const value = taken?.key === key ? taken.value : this.#ask(connection, key);
    const session = value && this.#decode(value, key, this.#lookupOf(connection));
    if (session) lookup.copy = false;
    return session;
  }

  /** TLS 1.3 sessions are taken, where the store can do that. TLS 1.2 sessions are read. */
  #lookupOf(connection: SslConnection): "get" | "take" {
    return this.#store.take !== undefined && connection.protocol === "TLSv1.3" ? "take" : "get";
  }

  /** Asks the store. */
  #ask(connection: SslConnection, key: string): Uint8Array | undefined {
    const operation = this.#lookupOf(connection);
    this.#stats.lookups++;
    let value: MaybePromise<Uint8Array | undefined>;
    try {
      value = operation === "take" ? this.#store.take!(key) : this.#store.get(key);
      if (isPromise(value)) {
        value.then(undefined, () => {});
        throw new TypeError("it answered with a Promise, and only stores that answer at once can be looked up yet");
      }
    } catch (cause) {
      this.#report(operation, cause);
      value = undefined;
    }
    if (!value) {
      this.#stats.misses++;
      return undefined;
    }
    this.#stats.hits++;
    if (operation === "take") this.#taken.set(connection, { key, value });
    return value;
  }

  /** The session in a value, if it is the one that was asked for: any other would end the handshake. */
  #decode(value: Uint8Array, key: string, operation: StoreOperation): Session | undefined {
    let session: Session | undefined;
    try {
      session = Session.fromDer(value);
      if (toHex(session.id) === key) return session;
      throw new TypeError("it answered with a session of another id");
    } catch (cause) {
      session?.dispose();
      this.#report(operation, cause);
      return undefined;
    }
  }

  /** Hands something to the store, which may be done with it at once or later. */
  #tell(operation: StoreOperation, tell: () => MaybePromise<void>): void {
    try {
      const told = tell();
      if (isPromise(told)) told.then(undefined, (cause) => this.#report(operation, cause));
    } catch (cause) {
      this.#report(operation, cause);
    }
  }

  #report(operation: StoreOperation, cause: unknown): void {
    this.#stats.errors++;
    try {
      this.#onStoreError?.(new SessionStoreError(operation, cause));
    } catch {
      // An operator's broken handler must not cost a client its connection.
    }
  }
}

/** Also for the promises of other libraries, which are not instances of Promise. */
function isPromise<T>(value: MaybePromise<T>): value is Promise<T> {
  return typeof (value as Promise<T> | undefined)?.then === "function";
}
