import { randomBytes } from "node:crypto";
import { whenUnwound } from "../ssl/calls.ts";
import type { RemovalReason, SessionLookup } from "../ssl/callback_types.ts";
import type { SslConnection } from "../ssl/connection.ts";
import { SessionCacheMode, SslOption } from "../ssl/constants.ts";
import { contextState, type SslContext } from "../ssl/context.ts";
import { Session } from "../ssl/session.ts";
import { Deadlines } from "./deadlines.ts";
import { SealError } from "./envelope.ts";
import { shortId, toHex } from "./hex.ts";
import { Journal } from "./journal.ts";
import type { Lookup } from "./lookup.ts";
import { Lookups } from "./lookups.ts";
import { isPromise } from "./maybe_promise.ts";
import type { DeletionReason, RefusalReason, SessionCacheOptions, SessionCacheStats } from "./session_cache_options.ts";
import type { MaybePromise, SessionStore } from "./session_store.ts";
import { SessionStoreError, type StoreOperation } from "./session_store_error.ts";
import { Vault } from "./vault.ts";

/**
 * The external session cache: gives contexts' sessions to a store, and looks there for what clients propose. Servers
 * that share a store, one after the other or side by side, resume each other's sessions, with TLS 1.2 and TLS 1.3.
 *
 * Sessions are stateful: all that a client holds is an id. TLS 1.3 sessions are used once, where the store has `take`.
 * A session resumes only under the server name and the session id context that it was made under.
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
  readonly #vault: Vault;
  readonly #journal: Journal;
  readonly #lookups: Lookups;
  readonly #maxSessionAge: number;
  readonly #maxLineageAge: number;
  readonly #maxEntrySize: number;
  readonly #deleteWhen: ReadonlySet<RemovalReason>;
  /** Ends the holding back of tickets. Where they are not held, there is none. */
  readonly #tickets: Deadlines<() => void> | undefined;
  readonly #writes = new Set<Promise<void>>();
  /** Sessions on their way to the store, by their keys: what deletes one waits for it. */
  readonly #puts = new Map<string, Promise<void>>();
  /** The session id contexts that its sessions are made under. One of them opens a sealed value. */
  readonly #idContexts = new Map<string, Uint8Array>();

  /**
   * A cache that serves no context yet: {@linkcode SessionCache.attach} gives it one.
   *
   * @param options the store, and how to use it
   * @throws {TypeError} if the store is shared, and there are neither `secrets` nor `unsealed: true`
   * @throws {RangeError} for a number out of range, and a secret that is too short
   */
  constructor(options: SessionCacheOptions) {
    const { store, secrets, unsealed, lookupTimeout = 250, maxSessionAge = Infinity, maxLineageAge = 86_400 } = options;
    const { maxEntrySize = 10_240, deleteWhen = deletionReasons, durableTickets = false } = options;
    if (typeof store?.get !== "function" || typeof store.put !== "function" || typeof store.delete !== "function") {
      throw new TypeError("Cannot use this store: it must have the methods get, put and delete");
    }
    if (secrets !== undefined && (!Array.isArray(secrets) || secrets.some((secret) => !isSecret(secret)))) {
      throw new TypeError(
        "Cannot use these secrets: give an array of text or bytes, the current one first" +
          (Array.isArray(secrets) && secrets.some((secret) => secret === undefined)
            ? "; one is undefined: is its variable set?"
            : ""),
      );
    }
    if (store.isShared && !secrets && !unsealed) {
      throw new TypeError(
        "Cannot give sessions to a store outside of this process in clear, for they hold the keys of connections: " +
          "give the cache `secrets` to seal them with, or say `unsealed: true`",
      );
    }
    const numbers = { lookupTimeout, maxSessionAge, maxLineageAge, maxEntrySize };
    for (const [name, value] of Object.entries(numbers)) {
      if (!(value > 0)) throw new RangeError(`Cannot use ${value} for ${name}: it takes numbers above 0`);
    }
    const never = deleteWhen.find((reason) => !possibleReasons.includes(reason));
    if (never !== undefined) {
      throw new TypeError(
        `Cannot delete sessions for ${JSON.stringify(never)}: only for ${possibleReasons.join(", ")}`,
      );
    }
    if (lookupTimeout > 0x7fffffff) throw new RangeError(`Cannot wait ${lookupTimeout} ms for a store`);
    this.#store = store;
    this.#vault = new Vault(secrets);
    this.#journal = new Journal(options);
    this.#lookups = new Lookups(store, this.#vault, this.#journal, lookupTimeout);
    this.#maxSessionAge = maxSessionAge * 1000;
    this.#maxLineageAge = maxLineageAge * 1000;
    this.#maxEntrySize = maxEntrySize;
    this.#deleteWhen = new Set(deleteWhen);
    this.#tickets = durableTickets ? new Deadlines(lookupTimeout, (release) => release()) : undefined;
  }

  /**
   * Takes over a server context's session callbacks, its client hello callback and, with `secrets`, the making of
   * session ids; and turns off what would get in the way: stateless tickets and the internal cache. One ticket follows
   * each TLS 1.3 handshake; set `context.numTickets` afterwards for more. One cache can serve many contexts.
   *
   * @param context a context for servers
   */
  attach(context: SslContext): void {
    const { Server, NoInternal, NoAutoClear } = SessionCacheMode;
    context.sessionCacheMode = Server | NoInternal | NoAutoClear;
    context.setOptions(SslOption.NoTicket);
    context.numTickets = 1;
    const noTls13 = 0x20000000; // SSL_OP_NO_TLSv1_3
    const acceptsTls13 = (context.maxVersion ?? "TLSv1.3") === "TLSv1.3" && (context.options & noTls13) === 0;
    this.#knowIdContext(contextState(context).idContext);
    context.setClientHelloCallback((connection, hello) => this.#lookups.begin(connection, hello, acceptsTls13));
    context.setNewSessionCallback((connection, session) => this.#keep(connection, session));
    context.setGetSessionCallback((connection, id, lookup) => this.#find(connection, id, lookup));
    context.setRemoveSessionCallback((_context, session, reason) => this.#remove(session, reason));
    if (this.#vault.makesIds) {
      context.setGenerateSessionIdCallback((connection) =>
        this.#vault.makeId(randomBytes(16), connection.sessionIdContext, connection.protocol)
      );
    }
  }

  /** What was counted so far. */
  stats(): SessionCacheStats {
    return this.#journal.snapshot();
  }

  /**
   * Deletes a session from the store, so that it does not resume.
   *
   * @param id the session's id
   * @throws {SessionStoreError} if the store failed: the session may still be there
   */
  async revoke(id: Uint8Array): Promise<void> {
    try {
      for (const key of this.#vault.keysOf(id)) await this.#delete(key);
    } catch (cause) {
      throw new SessionStoreError("delete", cause);
    }
  }

  /**
   * Deletes the sessions for which `matches` answers true. Goes through all that the store keeps, so it takes its time.
   *
   * @param matches looks at a session, which ends when it returns
   * @returns how many were deleted
   * @throws {TypeError} if the store cannot list what it keeps
   * @throws {SessionStoreError} if the store failed in the middle
   */
  async revokeWhere(matches: (session: Session) => boolean): Promise<number> {
    if (!this.#store.entries) throw new TypeError("Cannot go through the sessions of this store: it has no entries()");
    let revoked = 0;
    await Promise.all(this.#puts.values());
    for await (const [key, value] of this.#stored()) {
      if (!this.#matches(key, value, matches)) continue;
      try {
        await this.#store.delete(key);
      } catch (cause) {
        throw new SessionStoreError("delete", cause);
      }
      revoked++;
    }
    return revoked;
  }

  /** What the store lists. What it throws is told from what the user throws meanwhile. */
  async *#stored(): AsyncGenerator<[key: string, value: Uint8Array]> {
    try {
      yield* this.#store.entries!();
    } catch (cause) {
      throw new SessionStoreError("delete", cause);
    }
  }

  /** Waits until the store has all that was handed to it. The store itself stays open: it is yours. */
  async close(): Promise<void> {
    while (this.#writes.size > 0) await Promise.all(this.#writes);
  }

  /** The same as {@linkcode SessionCache.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #matches(key: string, value: Uint8Array, matches: (session: Session) => boolean): boolean {
    // Without secrets no context is needed, and none may be known yet.
    if (!this.#vault.makesIds) this.#knowIdContext(new Uint8Array());
    for (const idContext of this.#idContexts.values()) {
      let session: Session;
      try {
        session = Session.fromDer(this.#vault.unpack(value, key, idContext).der);
      } catch {
        continue;
      }
      try {
        return matches(session);
      } finally {
        session.dispose();
      }
    }
    return false;
  }

  #knowIdContext(idContext: Uint8Array): void {
    this.#idContexts.set(toHex(idContext), idContext);
  }

  #keep(connection: SslConnection, session: Session): void {
    const now = Date.now();
    const { id, idContext } = session;
    this.#knowIdContext(idContext);
    const earlier = connection.isResumed ? this.#lookups.of(connection)?.firstHandshake : undefined;
    const firstHandshake = earlier ?? now;
    // The handshake is over, and with it the need to answer twice.
    this.#lookups.forget(connection);
    const key = this.#vault.keyOf(id, idContext, session.protocol) ?? this.#vault.keysOf(id)[0]!;
    const expiresAt = this.#expiry(session, firstHandshake);
    if (!(expiresAt > now)) return this.#notStored(id, "too old");
    const value = this.#vault.pack(session, key, firstHandshake);
    if (value.length > this.#maxEntrySize) {
      this.#journal.counts.tooLarge++;
      return this.#notStored(id, "too large");
    }
    this.#journal.counts.stored++;
    const began = performance.now();
    const written = this.#tell("put", () => this.#store.put(key, value, new Date(expiresAt)), (succeeded) => {
      const milliseconds = performance.now() - began;
      this.#journal.storeLatency.record(milliseconds);
      if (succeeded) return this.#journal.tell(() => ({ type: "stored", id: shortId(id), milliseconds }));
      this.#journal.counts.writeFailures++;
      this.#notStored(id, "the store failed");
    });
    if (written) {
      this.#puts.set(key, written);
      written.then(() => this.#puts.get(key) === written && this.#puts.delete(key));
    }
    if (written && this.#tickets) this.#holdTickets(connection, written);
  }

  /** When a session ends: with its own time, its line's, or the client certificate that it vouches for. */
  #expiry(session: Session, firstHandshake: number): number {
    const created = session.created.getTime();
    const certificate = session.peerCertificate;
    return Math.min(
      created + session.timeout * 1000,
      created + this.#maxSessionAge,
      firstHandshake + this.#maxLineageAge,
      certificate ? Date.parse(certificate.validTo) : Infinity,
    );
  }

  #notStored(id: Uint8Array, reason: "too large" | "too old" | "the store failed"): void {
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
    whenUnwound(() => void this.#tell("delete", () => this.#delete(key)));
  }

  /** Deletes a session, after it has come to the store where it is still on its way. */
  #delete(key: string): MaybePromise<void> {
    const put = this.#puts.get(key);
    return put ? put.then(() => this.#store.delete(key)) : this.#store.delete(key);
  }

  #find(connection: SslConnection, id: Uint8Array, callback: SessionLookup): Session | undefined {
    const lookup = this.#lookups.of(connection);
    if (!lookup?.found || toHex(lookup.found.id) !== toHex(id)) return undefined;
    const session = this.#open(connection, lookup);
    if (session) callback.copy = false;
    return session;
  }

  /** The session that was found, if it may resume. */
  #open(connection: SslConnection, lookup: Lookup): Session | undefined {
    const { id, key, value } = lookup.found!;
    let session: Session | undefined;
    try {
      const { der, firstHandshake } = this.#vault.unpack(value, key, connection.sessionIdContext);
      session = Session.fromDer(der);
      const refusal = this.#refusal(session, id, lookup, firstHandshake);
      if (!refusal) {
        lookup.firstHandshake = firstHandshake;
        return session;
      }
      this.#refuse(id, refusal);
      if (refusal === "another session") {
        this.#journal.failed(lookup.operation, new TypeError("it answered with a session of another id"));
      }
    } catch (cause) {
      this.#refuse(id, "not opened");
      if (!(cause instanceof SealError)) this.#journal.failed(lookup.operation, cause);
    }
    session?.dispose();
    return undefined;
  }

  #refusal(session: Session, id: Uint8Array, lookup: Lookup, firstHandshake: number): RefusalReason | undefined {
    // Any other session would end the handshake.
    if (toHex(session.id) !== toHex(id) || session.protocol !== lookup.protocol) return "another session";
    if (session.serverName !== lookup.serverName) return "another server name";
    // Also where it is no time at all.
    if (!(this.#expiry(session, firstHandshake) > Date.now())) return "too old";
    return undefined;
  }

  #refuse(id: Uint8Array, reason: RefusalReason): void {
    const { counts } = this.#journal;
    if (reason === "too old") counts.tooOld++;
    else if (reason === "another server name") counts.otherName++;
    else counts.notOpened++;
    this.#journal.tell(() => ({ type: "refused", id: shortId(id), reason }));
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
    const written = Promise.resolve(told).then(() => done(true), failed).finally(() => this.#writes.delete(written));
    this.#writes.add(written);
    return written;
  }
}

function isSecret(secret: unknown): boolean {
  return typeof secret === "string" || secret instanceof Uint8Array;
}

const deletionReasons: readonly DeletionReason[] = ["expired", "fatal alert", "flushed", "application"];
const possibleReasons: readonly DeletionReason[] = [...deletionReasons, "unclean close"];
