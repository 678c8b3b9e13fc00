import { whenUnwound } from "../ssl/calls.ts";
import type { SessionLookup } from "../ssl/callback_types.ts";
import type { ClientHello } from "../ssl/client_hello.ts";
import type { SslConnection } from "../ssl/connection.ts";
import { SessionCacheMode, SslOption } from "../ssl/constants.ts";
import type { SslContext } from "../ssl/context.ts";
import { Session } from "../ssl/session.ts";
import { Deadlines } from "./deadlines.ts";
import { toHex } from "./hex.ts";
import { type FoundValue, Lookup } from "./lookup.ts";
import { offeredSessions } from "./offered_sessions.ts";
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
  /**
   * For how long a handshake waits for a store that does not answer at once, in milliseconds; by default 250. After
   * that it goes on as a full handshake.
   */
  lookupTimeout?: number;
}

/** What a {@linkcode SessionCache} has counted since it was made. */
export interface SessionCacheStats {
  /** Sessions that clients proposed and the store was asked for. */
  lookups: number;
  /** Lookups that found a session. Whether it resumes is for libssl to say. */
  hits: number;
  /** Lookups that found none. */
  misses: number;
  /** Lookups that took longer than `lookupTimeout`: their clients made full handshakes. */
  timedOut: number;
  /** Answers that came when nobody waited for them any more. A session that was taken for one is spent. */
  late: number;
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
  readonly #stats: SessionCacheStats = {
    lookups: 0,
    hits: 0,
    misses: 0,
    timedOut: 0,
    late: 0,
    stored: 0,
    removed: 0,
    errors: 0,
  };
  readonly #lookupTimeout: number;
  readonly #lookups = new WeakMap<SslConnection, Lookup>();
  /** Answers that are under way to lookups that may share one: those that take nothing. */
  readonly #shared = new Map<string, Promise<Uint8Array | undefined>>();
  readonly #deadlines: Deadlines<Lookup>;

  /**
   * A cache that serves no context yet: {@linkcode SessionCache.attach} gives it one.
   *
   * @param options the store, and who learns of its failures
   */
  constructor(options: SessionCacheOptions) {
    this.#store = options.store;
    this.#onStoreError = options.onStoreError;
    const { lookupTimeout = 250 } = options;
    if (!(lookupTimeout > 0 && lookupTimeout <= 0x7fffffff)) {
      throw new RangeError(`Cannot wait ${lookupTimeout} ms for a store: lookupTimeout takes 1 to 2147483647`);
    }
    this.#deadlines = new Deadlines(lookupTimeout, (lookup) => this.#timeOut(lookup));
    this.#lookupTimeout = lookupTimeout;
  }

  /**
   * Takes over a server context's three session callbacks and its client hello callback, and turns off what would get in the way: stateless tickets
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
    const acceptsTls13 = (context.maxVersion ?? "TLSv1.3") === "TLSv1.3";
    context.setClientHelloCallback((connection, hello) => this.#lookUp(connection, hello, acceptsTls13));
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
    this.#lookups.delete(connection);
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
    const found = this.#lookups.get(connection)?.found;
    if (!found || found.key !== toHex(id)) return undefined;
    const session = this.#decode(found);
    if (session) lookup.copy = false;
    return session;
  }

  /** Asks the store for what a client offers. Suspends the handshake if it does not answer at once. */
  #lookUp(connection: SslConnection, hello: ClientHello, acceptsTls13: boolean): "continue" | "suspend" {
    // The callback runs again after a suspension and after a HelloRetryRequest.
    const earlier = this.#lookups.get(connection);
    if (earlier) return earlier.isOver ? "continue" : "suspend";
    const { protocol, ids } = offeredSessions(hello, acceptsTls13);
    if (ids.length === 0) return "continue";
    const operation = protocol === "TLSv1.3" && this.#store.take ? "take" : "get";
    const lookup = new Lookup(connection);
    this.#lookups.set(connection, lookup);
    return this.#askForAll(lookup, operation, ids.map(toHex));
  }

  /** Asks for one key after the other until something is found, going on in the background where an answer is late. */
  #askForAll(lookup: Lookup, operation: "get" | "take", keys: string[]): "continue" | "suspend" {
    for (const [index, key] of keys.entries()) {
      const answer = this.#ask(lookup, operation, key);
      if (isPromise(answer)) {
        this.#wait(lookup, operation, keys.slice(index), answer);
        return "suspend";
      }
      if (answer) {
        lookup.found = { key, value: answer, operation };
        break;
      }
    }
    this.#end(lookup);
    return "continue";
  }

  /** Waits for an answer, then goes on. Never rejects. */
  async #wait(
    lookup: Lookup,
    operation: "get" | "take",
    keys: string[],
    answer: Promise<Uint8Array | undefined>,
  ): Promise<void> {
    this.#deadlines.add(lookup);
    const [key, ...rest] = keys;
    let value: Uint8Array | undefined;
    try {
      value = await answer;
    } catch (cause) {
      if (!lookup.isOver) this.#report(operation, cause);
    }
    if (lookup.isOver || lookup.connection.isReleased) {
      this.#stats.late++;
      this.#deadlines.delete(lookup);
      lookup.end();
      return;
    }
    if (value) {
      lookup.found = { key: key!, value, operation };
      this.#end(lookup);
    } else if (this.#askForAll(lookup, operation, rest) === "suspend") {
      return;
    }
    lookup.connection.wake();
  }

  #end(lookup: Lookup): void {
    lookup.end();
    this.#deadlines.delete(lookup);
    if (lookup.found) this.#stats.hits++;
    else this.#stats.misses++;
  }

  #timeOut(lookup: Lookup): void {
    this.#stats.timedOut++;
    this.#stats.misses++;
    lookup.end(new Error(`The session store did not answer in ${this.#lookupTimeout} ms`));
    lookup.connection.wake();
  }

  /** Asks the store for one key. What it throws at once is reported. */
  #ask(lookup: Lookup, operation: "get" | "take", key: string): MaybePromise<Uint8Array | undefined> {
    this.#stats.lookups++;
    try {
      if (operation === "take") return this.#store.take!(key, lookup);
      const shared = this.#shared.get(key);
      if (shared) return shared;
      const answer = this.#store.get(key, lookup);
      if (!isPromise(answer)) return answer;
      this.#shared.set(key, answer);
      const forget = () => this.#shared.delete(key);
      answer.then(forget, forget);
      return answer;
    } catch (cause) {
      this.#report(operation, cause);
      return undefined;
    }
  }

  /** The session in a value, if it is the one that was asked for: any other would end the handshake. */
  #decode({ key, value, operation }: FoundValue): Session | undefined {
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
