import { randomBytes } from "node:crypto";
import { setImmediate } from "node:timers";
import { copyOf } from "../ssl/bytes.ts";
import { whenUnwound } from "../ssl/calls.ts";
import type { RemovalReason, SessionLookup } from "../ssl/callback_types.ts";
import { clientChainOf } from "../ssl/client_certificate.ts";
import { isLimitedToTls12, type SslConnection } from "../ssl/connection.ts";
import { SessionCacheMode, SslOption } from "../ssl/constants.ts";
import { contextPointer, contextState, type SslContext } from "../ssl/context.ts";
import { giveToSessionCache, setClientHelloStep, takeFromSessionCache } from "../ssl/context_callbacks.ts";
import type { SessionCallbackKind } from "../ssl/context_state.ts";
import { Session } from "../ssl/session.ts";
import { checkedOptions } from "./check_options.ts";
import { Deadlines } from "./deadlines.ts";
import { SealError } from "./envelope.ts";
import { sameBytes, shortId } from "./hex.ts";
import { Journal } from "./journal.ts";
import type { FoundValue, Lookup, Opened } from "./lookup.ts";
import { Lookups } from "./lookups.ts";
import { isPromise } from "./maybe_promise.ts";
import { ResumptionPolicy } from "./resumption_policy.ts";
import { answeringAtOnce, Revocations } from "./revocations.ts";
import type { NotStoredReason, SessionCacheOptions, SessionCacheStats } from "./session_cache_options.ts";
import type { MaybePromise, SessionStore } from "./session_store.ts";
import { SessionStoreError, type StoreOperation } from "./session_store_error.ts";
import { StoreWrites } from "./store_writes.ts";
import { readValue } from "./value_reader.ts";
import { Vault } from "./vault.ts";

/**
 * The external session cache: gives contexts' sessions to a store, and looks there for what clients propose. Servers
 * that share a store, one after the other or side by side, resume each other's sessions, with TLS 1.2 and TLS 1.3.
 *
 * Sessions are stateful: all that a client holds is an id. TLS 1.3 sessions are used once, where the store has `take` and
 * `singleUse` is not false.
 * A session resumes only under the server name and the session id context that it was made under.
 *
 * @example
 * ```ts
 * import { MemoryStore, selfSigned, SessionCache, SslContext } from "@openssl-sessions/openssl-sessions";
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
  readonly #vault: Vault;
  readonly #journal: Journal;
  readonly #lookups: Lookups;
  readonly #policy: ResumptionPolicy;
  readonly #maxEntrySize: number;
  readonly #deleteWhen: ReadonlySet<RemovalReason>;
  /** Ends the holding back of tickets. Where they are not held, there is none. */
  readonly #tickets: Deadlines<() => void> | undefined;
  readonly #writes: StoreWrites;
  /** What the store was told and is not done with. */
  readonly #underWay = new Set<Promise<void>>();
  readonly #revocations = new Revocations();

  /**
   * A cache that serves no context yet: {@linkcode SessionCache.attach} gives it one.
   *
   * @param options the store, and how to use it
   * @throws {TypeError} if the store is shared, and there are neither `secrets` nor `unsealed: true`; for an option that
   *   is not known, or of another type
   * @throws {RangeError} for a number out of range, and a secret that is too short
   */
  constructor(options: SessionCacheOptions) {
    const read = checkedOptions(options);
    const { store, secrets, lookupTimeout, maxSessionAge, maxLineageAge, ...rest } = read;
    this.#store = store;
    this.#vault = new Vault(secrets);
    this.#journal = new Journal(read);
    this.#lookups = new Lookups(store, rest.takes, this.#vault, this.#journal, lookupTimeout);
    this.#writes = new StoreWrites(store, this.#journal, rest.writeTimeout, rest.maxPendingWrites);
    this.#policy = new ResumptionPolicy(maxSessionAge * 1000, maxLineageAge * 1000);
    this.#maxEntrySize = rest.maxEntrySize;
    this.#deleteWhen = new Set(rest.deleteWhen);
    this.#tickets = rest.durableTickets ? new Deadlines(lookupTimeout, (release) => release()) : undefined;
  }

  /**
   * Takes over a server context's session callbacks and, with `secrets`, the making of session ids; and turns off what
   * would get in the way: stateless tickets and the internal cache. A client hello callback of yours is called first.
   * One ticket follows each TLS 1.3 handshake, unless the context was told `numTickets`. One cache can serve many
   * contexts.
   *
   * @param context a context for servers
   * @throws {TypeError} if the context has one of these callbacks already, or another cache that was not detached
   * @throws {Error} with `secrets`, from within the context's remove callback
   */
  attach(context: SslContext): void {
    // A disposed one says so.
    contextPointer(context);
    const state = contextState(context);
    const kinds: SessionCallbackKind[] = ["newSession", "getSession", "removeSession"];
    if (this.#vault.makesIds) kinds.push("generateSessionId");
    giveToSessionCache(state, this, kinds, () => this.#takeOver(context));
  }

  /**
   * Gives a context back: it keeps no more sessions and finds none, and its callbacks are free for others. Connections
   * that are there are served as the context's are from then on. Does nothing to a context that is not attached.
   *
   * @throws {Error} with `secrets`, from within the context's remove callback, and so from `onEvent` for "removed"
   */
  detach(context: SslContext): void {
    // A disposed one says so.
    contextPointer(context);
    const state = contextState(context);
    takeFromSessionCache(state, this, (kinds) => {
      if (kinds.includes("generateSessionId")) context.setGenerateSessionIdCallback(null);
      setClientHelloStep(state, "lookUpSession", null);
      context.setNewSessionCallback(null);
      context.setGetSessionCallback(null);
      context.setRemoveSessionCallback(null);
    });
  }

  #takeOver(context: SslContext): void {
    // The only one that is refused somewhere: in a remove callback.
    if (this.#vault.makesIds) {
      context.setGenerateSessionIdCallback((connection) =>
        this.#vault.makeId(randomBytes(16), connection.sessionIdContext, connection.protocol)
      );
    }
    const { Server, NoInternal, NoAutoClear } = SessionCacheMode;
    context.sessionCacheMode = Server | NoInternal | NoAutoClear;
    context.setOptions(SslOption.NoTicket);
    if (contextState(context).numTickets === undefined) context.numTickets = 1;
    const noTls13 = 0x20000000; // SSL_OP_NO_TLSv1_3
    const acceptsTls13 = (context.maxVersion ?? "TLSv1.3") === "TLSv1.3" && (context.options & noTls13) === 0;
    setClientHelloStep(
      contextState(context),
      "lookUpSession",
      (connection, hello) => this.#lookups.begin(connection, hello, acceptsTls13 && !isLimitedToTls12(connection)),
    );
    context.setNewSessionCallback((connection, session) => this.#keep(connection, session));
    context.setGetSessionCallback((connection, id, lookup) => this.#find(connection, id, lookup));
    context.setRemoveSessionCallback((_context, session, reason) => this.#remove(session, reason));
  }

  /** What was counted so far. */
  stats(): SessionCacheStats {
    return this.#journal.snapshot();
  }

  /**
   * Deletes a session from the store. No connection that begins after that resumes it, and no handshake that is under
   * way is given it. What a handshake that has been given it makes of it is not stored.
   *
   * Another server that shares the store may have asked it just before. What it is answered counts for the connections
   * that had begun there, and for those that begin in the same turn of its event loop.
   *
   * @param id the session's id, whole
   * @throws {TypeError} for what is no Uint8Array; and {RangeError} for an empty one
   * @throws {SessionStoreError} if the store failed, or took longer than `writeTimeout`: the session may still be there
   */
  async revoke(id: Uint8Array): Promise<void> {
    id = copyOf("this session id", id);
    if (id.length === 0) throw new RangeError("Cannot revoke a session without its id: this one is empty");
    const keys = this.#vault.keysOf(id);
    for (const key of keys) this.#revocations.add(key);
    try {
      for (const key of keys) await this.#delete(key);
    } catch (cause) {
      throw new SessionStoreError("delete", cause);
    }
    this.#revoked(id);
  }

  /**
   * Deletes the sessions for which `matches` answers true, as {@linkcode SessionCache.revoke} does. Goes through all
   * that the store keeps, so it takes its time. Handshakes for which the store has not answered when it ends are full.
   *
   * @param matches looks at a session, which ends when it returns; also at those that are made meanwhile
   * @returns how many were deleted
   * @throws {TypeError} if the store cannot list what it keeps, or `matches` answers a Promise
   * @throws {SessionStoreError} if the store failed in the middle
   */
  async revokeWhere(matches: (session: Session) => boolean): Promise<number> {
    matches = answeringAtOnce(matches);
    if (!this.#store.entries) throw new TypeError("Cannot go through the sessions of this store: it has no entries()");
    let revoked = 0;
    const filter = this.#revocations.begin(matches);
    try {
      await this.#writes.settled();
      let began = performance.now();
      for await (const [key, value] of this.#stored()) {
        if (performance.now() - began > longestStretch) {
          // A store that answers at once would have the loop stand still for all that it keeps.
          await new Promise((resolve) => setImmediate(resolve));
          began = performance.now();
        }
        const id = readValue(this.#vault, key, value, (session) => matches(session) ? session.id : undefined);
        if (!id) continue;
        try {
          await this.#delete(key);
        } catch (cause) {
          throw new SessionStoreError("delete", cause);
        }
        this.#revoked(id);
        revoked++;
      }
      // What was taken from the store is not listed there.
      this.#lookups.revokeWhere((key, value) => readValue(this.#vault, key, value, filter.matches) ?? true);
    } finally {
      filter.end();
    }
    return revoked;
  }

  #revoked(id: Uint8Array): void {
    this.#journal.counts.revoked++;
    this.#journal.tell(() => ({ type: "revoked", id: shortId(id) }));
  }

  /** What the store lists. What it throws is told from what the user throws meanwhile. */
  async *#stored(): AsyncGenerator<[key: string, value: Uint8Array]> {
    try {
      yield* this.#store.entries!();
    } catch (cause) {
      throw new SessionStoreError("delete", cause);
    }
  }

  /**
   * Waits until the store has all that was handed to it, each for `writeTimeout` at most. The store itself stays open: it
   * is yours.
   */
  async close(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  /** The same as {@linkcode SessionCache.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #keep(connection: SslConnection, session: Session): void {
    const now = Date.now();
    const { id, idContext } = session;
    const resumed = connection.isResumed ? this.#lookups.of(connection) : undefined;
    const lineage = resumed?.opened?.lineage ?? { firstHandshake: now, chain: clientChainOf(connection, session) };
    const isRevoked = resumed?.isRevoked;
    // The handshake is over, and with it the need to answer twice.
    this.#lookups.forget(connection);
    const key = this.#vault.keyOf(id, idContext, session.protocol) ?? this.#vault.keysOf(id)[0]!;
    if (isRevoked || this.#revocations.has(key, session)) return this.#notStored(id, "revoked");
    const expiresAt = this.#policy.expiry(session, lineage.firstHandshake);
    if (!(expiresAt > now)) return this.#notStored(id, "too old");
    const value = this.#vault.pack(session, key, lineage);
    if (value.length > this.#maxEntrySize) return this.#notStored(id, "too large");
    if (this.#writes.isFull) return this.#notStored(id, "too many writes");
    this.#journal.counts.stored++;
    const began = performance.now();
    const written = this.#tell("put", () => this.#writes.put(key, value, new Date(expiresAt)), (succeeded) => {
      const milliseconds = performance.now() - began;
      this.#journal.storeLatency.record(milliseconds);
      if (succeeded) return this.#journal.tell(() => ({ type: "stored", id: shortId(id), milliseconds }));
      this.#notStored(id, "the store failed");
    });
    if (written && this.#tickets) this.#holdTickets(connection, written);
  }

  #notStored(id: Uint8Array, reason: NotStoredReason): void {
    const { counts } = this.#journal;
    if (reason === "too large") counts.tooLarge++;
    else if (reason === "revoked") counts.revokedMeanwhile++;
    else if (reason === "too many writes") counts.droppedWrites++;
    else if (reason === "the store failed") counts.writeFailures++;
    this.#journal.tell(() => ({ type: "not stored", id: shortId(id), reason }));
  }

  #holdTickets(connection: SslConnection, written: Promise<void>): void {
    const release = connection.holdCiphertext();
    const deadlines = this.#tickets!;
    deadlines.add(release);
    written.then(() => {
      deadlines.delete(release);
      deadlines.rest();
      release();
    });
  }

  #remove(session: Session, reason: RemovalReason): void {
    const { id, idContext } = session;
    const key = this.#deleteWhen.has(reason) ? this.#vault.keyOf(id, idContext, session.protocol) : undefined;
    this.#journal.counts.removed++;
    this.#journal.tell(() => ({ type: "removed", id: shortId(id), reason, deleted: key !== undefined }));
    if (key === undefined) return;
    // libssl may hold a lock now, and a store is the user's code.
    whenUnwound(() => {
      if (!this.#writes.isFull) return void this.#tell("delete", () => this.#delete(key));
      this.#lookups.revoke(key);
      this.#journal.counts.droppedWrites++;
      this.#journal.failed("delete", new Error("Too many writes are under way"));
    });
  }

  /** Deletes a session. Whoever has asked for it and has no answer yet does not get it. */
  #delete(key: string): MaybePromise<void> {
    const revoke = () => this.#lookups.revoke(key);
    revoke();
    const told = this.#writes.delete(key);
    return isPromise(told) ? told.finally(revoke) : revoke();
  }

  /** The session that libssl asks for, opened once for all the times that it does. */
  #find(connection: SslConnection, id: Uint8Array, callback: SessionLookup): Session | undefined {
    const lookup = this.#lookups.of(connection);
    if (!lookup?.found || !sameBytes(lookup.found.id, id)) return undefined;
    const idContext = connection.sessionIdContext;
    const { opened, serverName } = lookup;
    if (opened?.serverName === serverName && opened && sameBytes(opened.idContext, idContext)) return opened.session;
    // After a HelloRetryRequest a client may ask for another name.
    lookup.close();
    const { session, lineage } = this.#open(lookup, lookup.found);
    if (lookup.protocol === "TLSv1.3") lookup.opened = { session, lineage, serverName, idContext };
    else {
      // It is asked for once, and no other session follows from it.
      callback.copy = false;
      this.#lookups.forget(connection);
    }
    return session;
  }

  /** The session that was found, if it may resume. */
  #open(lookup: Lookup, { id, key, value }: FoundValue): Pick<Opened, "session" | "lineage"> {
    let session: Session | undefined;
    let der: Uint8Array | undefined;
    try {
      const { der: unpacked, ...lineage } = this.#vault.unpack(value, key);
      der = unpacked;
      session = Session.fromDer(der);
      const refusal = this.#policy.refusal(session, { der, ...lineage }, lookup, id);
      if (!refusal) return { session, lineage };
      this.#journal.refused(id, refusal);
      if (refusal === "another session") {
        this.#journal.failed(lookup.operation, new TypeError("it answered with a session of another id"));
      }
    } catch (cause) {
      this.#journal.refused(id, "not opened");
      if (!(cause instanceof SealError)) this.#journal.failed(lookup.operation, cause);
    } finally {
      der?.fill(0);
    }
    session?.dispose();
    return { session: undefined, lineage: undefined };
  }

  /**
   * Hands something to the store, which may be done with it at once or later.
   *
   * @returns a Promise that is kept when it is done, well or not; undefined if it is done
   */
  #tell(
    operation: StoreOperation,
    tell: () => MaybePromise<void>,
    done: (succeeded: boolean) => void = () => {},
  ): Promise<void> | undefined {
    const failed = (cause: unknown) => {
      this.#journal.failed(operation, cause);
      done(false);
    };
    let told: MaybePromise<void>;
    try {
      told = tell();
    } catch (cause) {
      failed(cause);
      return undefined;
    }
    if (!isPromise(told)) {
      done(true);
      return undefined;
    }
    const written = Promise.resolve(told).then(() => done(true), failed).finally(() => this.#underWay.delete(written));
    this.#underWay.add(written);
    return written;
  }
}

/** For how long sessions are looked at before something else may run, in milliseconds. */
const longestStretch = 10;
