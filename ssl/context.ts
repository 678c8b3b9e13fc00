import type { Null, Pointer } from "../ffi/types.ts";
import { adopt } from "./adopt.ts";
import { copyOf } from "./bytes.ts";
import { calling, quietly } from "./calls.ts";
import type {
  ClientHelloCallback,
  GenerateSessionIdCallback,
  GetSessionCallback,
  KeylogCallback,
  NewSessionCallback,
  RemoveSessionCallback,
  SetCallback,
} from "./callback_types.ts";
import { refuseCachesCallback, setClientHelloStep } from "./context_callbacks.ts";
import { holdContext, releaseContext } from "./context_reference.ts";
import { type ContextState, makeState, stateOf, wrappers } from "./context_state.ts";
import { configureContext } from "./configure_context.ts";
import { contextKinds, mostTickets, type SslContextOptions } from "./context_options.ts";
import { encodeDer } from "./der.ts";
import { requireCipher, requireId } from "./fitness.ts";
import { held, library } from "./library.ts";
import { type LoadedOptions, loadOptions, wipe } from "./loaded_options.ts";
import { clearErrors, openSslError } from "./openssl_error.ts";
import { mergeOptions, readOptions } from "./options.ts";
import { protocolName, type ProtocolVersion } from "./protocol.ts";
import { ReleasedError } from "./released_error.ts";
import { giveAwaySession, requireSeconds, Session, sessionPointer } from "./session.ts";
import { type SessionCounters, sessionCounters } from "./session_counters.ts";
import { trampolines } from "./trampolines.ts";

// The commands of SSL_CTX_ctrl() that are macros in C.
const control = {
  setCacheSize: 42,
  getCacheSize: 43,
  setCacheMode: 44,
  getCacheMode: 45,
  getMaxVersion: 131,
};

const secret = Symbol("SslContext");

// What the rest of this library does with contexts and a user must not.

/** The pointer, for a call that leaves the reference where it is. */
export let contextPointer: (context: SslContext) => Pointer;
/** Makes a context of options that are loaded. */
export let makeLoadedContext: (role: "server" | "client", options: LoadedOptions) => SslContext;
/** The callbacks of a context. */
export let contextState: (context: SslContext) => ContextState;

/** The net under forgotten contexts. */
const forgotten = new FinalizationRegistry<ContextState>((state) => quietly(() => free(state)));

/**
 * What connections have in common (`SSL_CTX`): certificate, protocols, trust, and how sessions are kept.
 *
 * A context is a counted object of C's. One that is disposed while connections live goes on serving them, callbacks
 * and all, until the last has ended.
 *
 * @see SSL_CTX_new(3)
 *
 * @example A server that keeps its sessions in a Map
 * ```ts
 * import { selfSigned, SessionCacheMode, SslContext, SslOption, type Session } from "@openssl-sessions/openssl-sessions";
 *
 * using context = SslContext.server({ ...selfSigned(), sessionCacheMode: SessionCacheMode.Server });
 * const sessions = new Map<string, Session>();
 * context.setNewSessionCallback((_connection, session) => {
 *   sessions.set(session.id.join(), session);
 *   return true; // it is ours now
 * });
 * context.setGetSessionCallback((_connection, id) => sessions.get(id.join()));
 * ```
 */
export class SslContext {
  #pointer: Pointer | undefined;
  #endedBy = "";
  readonly #state: ContextState;

  /** Not for use: contexts come from {@linkcode SslContext.server}, `client` and `fromPointer`. */
  private constructor(key: symbol, pointer: Pointer | undefined, state: ContextState) {
    if (key !== secret) throw new TypeError("Cannot construct an SslContext: use SslContext.server() or .client()");
    this.#pointer = pointer;
    this.#state = state;
    if (!pointer) {
      this.#endedBy = "the garbage collector: nothing referred to it";
      return;
    }
    state.handles.push(new WeakRef(this));
    holdContext(state);
    held.contexts++;
    forgotten.register(this, state, this);
  }

  static {
    contextPointer = (context) => context.#alive();
    contextState = (context) => context.#state;
    makeLoadedContext = (role, options) => SslContext.#makeLoaded(role, options);
    wrappers.releasedContext = (state) => new SslContext(secret, undefined, state);
  }

  /**
   * A context for servers. Sessions are bound to `sessionIdContext`, which is always set, by default to what follows
   * from the certificate's names and from whose clients are let in; the rest is OpenSSL's default where no option says
   * otherwise.
   *
   * @param options at least `certificate` and `privateKey`, or their files
   * @returns a context that is yours to dispose
   * @throws {TypeError} for an option that is not known, or of another type; and {RangeError} for one out of range
   * @throws {OpenSslError} if OpenSSL refuses an option; the message says which
   */
  static server(options: SslContextOptions = {}): SslContext {
    return SslContext.#make("server", options);
  }

  /**
   * A context for clients. The server's certificate must be one that the system trusts, or `certificateAuthorities`
   * where they are given; `verify: "none"` turns that off.
   *
   * @param options none is needed
   * @returns a context that is yours to dispose
   * @throws {TypeError} for an option that is not known, or of another type; and {RangeError} for one out of range
   * @throws {OpenSslError} if OpenSSL refuses an option; the message says which
   */
  static client(options: SslContextOptions = {}): SslContext {
    return SslContext.#make("client", options);
  }

  /**
   * A context around an `SSL_CTX` that other code made, with the same libssl. It takes a reference of its own, which
   * `dispose()` gives back. Callbacks that were set through it are cleared when the last such context, and the last
   * connection made with it, has been disposed.
   *
   * @param pointer the SSL_CTX as the runtime's FFI has it: Deno's pointer object, a number in Bun, a number or bigint
   *   in Node. It must be one, and not one that this library made in another thread, with which its callbacks end:
   *   nothing can check that.
   * @returns a context that is yours to dispose
   * @throws {TypeError} for NULL and for what is no pointer
   */
  static fromPointer(pointer: unknown): SslContext {
    const { adapter, ssl } = library();
    const context = adapter.toPointer(pointer);
    if (!context) throw new TypeError("Cannot make an SslContext: the pointer is NULL, or no pointer of this runtime");
    if (ssl.SSL_CTX_up_ref(context) !== 1) throw openSslError("Cannot take a reference to the SSL_CTX");
    return adopt(context, ssl.SSL_CTX_free, () => {
      return new SslContext(secret, context, stateOf(context) ?? makeState(context, true));
    });
  }

  static #make(role: "server" | "client", given: SslContextOptions): SslContext {
    const options = loadOptions(readOptions(`SslContext.${role}()`, contextKinds, given));
    try {
      return SslContext.#makeLoaded(role, options);
    } finally {
      wipe(options);
    }
  }

  static #makeLoaded(role: "server" | "client", loaded: LoadedOptions): SslContext {
    // Whoever put them together may have done so in an object with a prototype.
    const options = mergeOptions<LoadedOptions>(loaded);
    const { ssl } = library();
    const pointer = ssl.SSL_CTX_new(role === "server" ? ssl.TLS_server_method() : ssl.TLS_client_method());
    if (!pointer) throw openSslError("Cannot make an SSL_CTX");
    const context = adopt(pointer, ssl.SSL_CTX_free, () => {
      return new SslContext(secret, pointer, makeState(pointer, false));
    });
    try {
      context.#state.role = role;
      configureContext(context, context.#state, role, options);
    } catch (error) {
      context.dispose();
      throw error;
    } finally {
      // libcrypto notes what it finds odd about a certificate, also where it is taken, or refused for something else.
      clearErrors();
    }
    return context;
  }

  #alive(): Pointer {
    if (!this.#pointer) throw new ReleasedError("context", this.#endedBy);
    return this.#pointer;
  }

  /** libssl up to 3.5 holds the context's lock during the remove callback: what takes it again would wait for ever. */
  #outsideRemove(what: string): Pointer {
    const pointer = this.#alive();
    if (this.#state.removing > 0) {
      throw new Error(
        `Cannot ${what} from within the context's remove session callback: do it when the callback is over`,
      );
    }
    return pointer;
  }

  /**
   * Sets the callback for sessions that have been negotiated; null clears it.
   *
   * @throws {TypeError} where a {@linkcode SessionCache} is attached
   * @see SSL_CTX_sess_set_new_cb(3)
   */
  setNewSessionCallback(callback: NewSessionCallback | null): void {
    requireCallback(callback);
    refuseCachesCallback(this.#state, "newSession");
    library().ssl.SSL_CTX_sess_set_new_cb(this.#alive(), callback && trampolines().newSession);
    this.#state.newSession = callback ?? undefined;
  }

  /**
   * Sets the callback for sessions that libssl removes; null clears it.
   *
   * @throws {TypeError} where a {@linkcode SessionCache} is attached
   * @see SSL_CTX_sess_set_remove_cb(3)
   */
  setRemoveSessionCallback(callback: RemoveSessionCallback | null): void {
    requireCallback(callback);
    refuseCachesCallback(this.#state, "removeSession");
    library().ssl.SSL_CTX_sess_set_remove_cb(this.#alive(), callback && trampolines().removeSession);
    this.#state.removeSession = callback ?? undefined;
  }

  /**
   * Sets the callback for sessions that clients propose; null clears it.
   *
   * @throws {TypeError} where a {@linkcode SessionCache} is attached
   * @see SSL_CTX_sess_set_get_cb(3)
   */
  setGetSessionCallback(callback: GetSessionCallback | null): void {
    requireCallback(callback);
    refuseCachesCallback(this.#state, "getSession");
    library().ssl.SSL_CTX_sess_set_get_cb(this.#alive(), callback && trampolines().getSession);
    this.#state.getSession = callback ?? undefined;
  }

  /**
   * The new session callback that is set, or null.
   *
   * @see SSL_CTX_sess_get_new_cb(3)
   */
  getNewSessionCallback(): SetCallback<NewSessionCallback> | null {
    const pointer = library().ssl.SSL_CTX_sess_get_new_cb(this.#alive());
    return this.#setCallback(pointer, trampolines().newSession, this.#state.newSession);
  }

  /**
   * The remove session callback that is set, or null.
   *
   * @see SSL_CTX_sess_get_remove_cb(3)
   */
  getRemoveSessionCallback(): SetCallback<RemoveSessionCallback> | null {
    const pointer = library().ssl.SSL_CTX_sess_get_remove_cb(this.#alive());
    return this.#setCallback(pointer, trampolines().removeSession, this.#state.removeSession);
  }

  /**
   * The get session callback that is set, or null.
   *
   * @see SSL_CTX_sess_get_get_cb(3)
   */
  getGetSessionCallback(): SetCallback<GetSessionCallback> | null {
    const pointer = library().ssl.SSL_CTX_sess_get_get_cb(this.#alive());
    return this.#setCallback(pointer, trampolines().getSession, this.#state.getSession);
  }

  #setCallback<F>(pointer: Pointer | Null, ours: Pointer, callback: F | undefined): SetCallback<F> | null {
    if (!pointer) return null;
    const { memory } = library();
    return { pointer, callback: memory.keyOf(pointer) === memory.keyOf(ours) ? callback : undefined };
  }

  /**
   * Sets the callback for ClientHellos; null clears it. Servers only. Where a {@linkcode SessionCache} is attached this
   * one is called first, and the cache looks for the client's session if it answers `"continue"`.
   *
   * @see SSL_CTX_set_client_hello_cb(3)
   */
  setClientHelloCallback(callback: ClientHelloCallback | null): void {
    requireCallback(callback);
    this.#alive();
    setClientHelloStep(this.#state, "clientHello", callback);
  }

  /**
   * Sets the callback for the ids of new sessions; null clears it. Servers only.
   *
   * @throws {TypeError} where a {@linkcode SessionCache} is attached that makes the ids
   * @see SSL_CTX_set_generate_session_id(3)
   */
  setGenerateSessionIdCallback(callback: GenerateSessionIdCallback | null): void {
    requireCallback(callback);
    refuseCachesCallback(this.#state, "generateSessionId");
    const pointer = this.#outsideRemove("set the callback for session ids");
    if (library().ssl.SSL_CTX_set_generate_session_id(pointer, callback && trampolines().generateSessionId) !== 1) {
      throw openSslError("Cannot set the callback for session ids");
    }
    this.#state.generateSessionId = callback ?? undefined;
  }

  /**
   * Sets the callback for connections' secrets; null clears it.
   *
   * @see SSL_CTX_set_keylog_callback(3)
   */
  setKeylogCallback(callback: KeylogCallback | null): void {
    requireCallback(callback);
    const isNeeded = callback !== null || this.#state.isBorrowed;
    library().ssl.SSL_CTX_set_keylog_callback(this.#alive(), isNeeded ? trampolines().keylog : null);
    this.#state.keylog = callback ?? undefined;
  }

  /**
   * Sets what a session must have been made under to resume here.
   *
   * @param idContext text or bytes, 1 to 32 bytes of them
   * @throws {RangeError} for another length
   * @see SSL_CTX_set_session_id_context(3)
   */
  setSessionIdContext(idContext: string | Uint8Array): void {
    const bytes = typeof idContext === "string"
      ? new TextEncoder().encode(idContext)
      : copyOf("this session id context", idContext);
    if (bytes.length < 1 || bytes.length > 32) {
      throw new RangeError(`Cannot set a session id context of ${bytes.length} bytes: it takes 1 to 32`);
    }
    if (library().ssl.SSL_CTX_set_session_id_context(this.#alive(), bytes, bytes.length) !== 1) {
      throw openSslError("Cannot set the session id context");
    }
    this.#state.idContext = bytes;
  }

  /**
   * The names that its certificates are for: DNS names in lower case, with `*` where they have it, and IP addresses; of a
   * certificate without alternative names its common name, if that is a DNS name. Empty where it was made by other code.
   */
  get serverNames(): readonly string[] {
    return this.#state.serverNames;
  }

  /** The newest protocol that it speaks; undefined for the newest there is. @see SSL_CTX_get_max_proto_version(3) */
  get maxVersion(): ProtocolVersion | undefined {
    const number = Number(library().ssl.SSL_CTX_ctrl(this.#alive(), control.getMaxVersion, 0, null));
    return number === 0 ? undefined : protocolName(number);
  }

  /** What is cached: a combination of {@linkcode SessionCacheMode}. @see SSL_CTX_set_session_cache_mode(3) */
  get sessionCacheMode(): number {
    return Number(library().ssl.SSL_CTX_ctrl(this.#alive(), control.getCacheMode, 0, null));
  }

  set sessionCacheMode(mode: number) {
    requireCount("the session cache mode", mode);
    library().ssl.SSL_CTX_ctrl(this.#alive(), control.setCacheMode, mode, null);
  }

  /** How many sessions the internal cache holds; 0 for any number. @see SSL_CTX_sess_set_cache_size(3) */
  get sessionCacheSize(): number {
    return Number(library().ssl.SSL_CTX_ctrl(this.#alive(), control.getCacheSize, 0, null));
  }

  set sessionCacheSize(size: number) {
    requireCount("the session cache size", size);
    library().ssl.SSL_CTX_ctrl(this.#alive(), control.setCacheSize, size, null);
  }

  /** For how long new sessions may resume, in seconds, 1 at least. @see SSL_CTX_set_timeout(3) */
  get sessionTimeout(): number {
    return Number(library().ssl.SSL_CTX_get_timeout(this.#alive()));
  }

  set sessionTimeout(seconds: number) {
    requireSeconds("the session timeout", seconds);
    // libssl takes it for its own default.
    if (seconds === 0) throw new RangeError("Cannot set the session timeout to 0: it takes whole seconds from 1 on");
    library().ssl.SSL_CTX_set_timeout(this.#alive(), seconds);
  }

  /** How many TLS 1.3 tickets follow a full handshake, 64 at most. @see SSL_CTX_set_num_tickets(3) */
  get numTickets(): number {
    return Number(library().ssl.SSL_CTX_get_num_tickets(this.#alive()));
  }

  set numTickets(count: number) {
    requireCount("the number of tickets", count, mostTickets);
    if (library().ssl.SSL_CTX_set_num_tickets(this.#alive(), count) !== 1) {
      throw openSslError(`Cannot set the number of tickets to ${count}`);
    }
    this.#state.numTickets = count;
  }

  /** The options that are on: a combination of {@linkcode SslOption} and others. @see SSL_CTX_get_options(3) */
  get options(): number {
    return Number(library().ssl.SSL_CTX_get_options(this.#alive()));
  }

  /** Turns options on, without turning others off. @see SSL_CTX_set_options(3) */
  setOptions(options: number): void {
    requireOptions(options);
    library().ssl.SSL_CTX_set_options(this.#alive(), options);
  }

  /** Turns options off. @see SSL_CTX_clear_options(3) */
  clearOptions(options: number): void {
    requireOptions(options);
    library().ssl.SSL_CTX_clear_options(this.#alive(), options);
  }

  /**
   * Puts a session into the internal cache, which takes a reference of its own.
   *
   * It is a copy that is put there: libssl chains its sessions to one another, and one that is in the caches of two
   * contexts breaks both chains. One with the same id is replaced. The copy of one that was removed can be resumed.
   *
   * @returns whether it was put there
   * @throws {TypeError} for one without an id, and one of a handshake that is not over
   * @see SSL_CTX_add_session(3), SSL_SESSION_dup(3)
   */
  addSession(session: Session): boolean {
    const pointer = this.#outsideRemove("add a session");
    const { ssl } = library();
    const added = sessionPointer(session);
    const action = "add this session to a context's cache";
    requireCipher(action, added);
    requireId(action, added);
    const copy = ssl.SSL_SESSION_is_resumable(added) === 1 ? ssl.SSL_SESSION_dup(added) : unmarkedCopyOf(added);
    if (!copy) throw openSslError("Cannot copy a session");
    try {
      return calling(() => ssl.SSL_CTX_add_session(pointer, copy), "evicted") === 1;
    } finally {
      ssl.SSL_SESSION_free(copy);
    }
  }

  /**
   * Removes a session from the internal cache and marks it as not resumable. The remove callback is called whether it
   * was there or not.
   *
   * @returns false if it was not there
   * @see SSL_CTX_remove_session(3)
   */
  removeSession(session: Session): boolean {
    const pointer = this.#outsideRemove("remove a session");
    const removed = sessionPointer(session);
    return calling(() => library().ssl.SSL_CTX_remove_session(pointer, removed), "application") === 1;
  }

  /**
   * Removes sessions from the internal cache.
   *
   * @param expired those that have expired by this time, by default now; or `"all"`
   * @see SSL_CTX_flush_sessions(3)
   */
  flushSessions(expired: Date | "all" = new Date()): void {
    this.#alive();
    // libssl takes 0 for all of them.
    const seconds = expired === "all" ? 0 : Math.max(1, Math.floor(expired.getTime() / 1000));
    if (!(seconds >= 0)) throw new RangeError(`Cannot flush sessions expired by ${expired}`);
    // Last, as the date is the user's and could have disposed the context.
    const pointer = this.#outsideRemove("flush sessions");
    const { ssl } = library();
    calling(() => {
      if (ssl.SSL_CTX_flush_sessions_ex) ssl.SSL_CTX_flush_sessions_ex(pointer, seconds);
      else ssl.SSL_CTX_flush_sessions!(pointer, seconds);
    }, "flushed");
  }

  /** The counters as they stand. @see SSL_CTX_sess_number(3) */
  counters(): SessionCounters {
    return sessionCounters(this.#alive());
  }

  /**
   * Gives the reference back. Connections that live keep the context, and its callbacks go on being called for them.
   * Doing it twice does no harm.
   *
   * @see SSL_CTX_free(3)
   */
  dispose(): void {
    if (!this.#pointer) return;
    this.#pointer = undefined;
    this.#endedBy = "dispose()";
    this.#state.retire(this);
    forgotten.unregister(this);
    free(this.#state);
  }

  /** The same as {@linkcode SslContext.dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

function free(state: ContextState): void {
  releaseContext(state, () => {
    library().ssl.SSL_CTX_free(state.pointer);
    held.contexts--;
  }, "context freed");
}

/** libssl marks a session that was removed, or whose connection has failed. Who adds it anew wants it to resume. */
function unmarkedCopyOf(session: Pointer): Pointer {
  const der = encodeDer("a session", (out) => library().ssl.i2d_SSL_SESSION(session, out));
  try {
    return giveAwaySession(Session.fromDer(der), "being put into a context's cache");
  } finally {
    der.fill(0);
  }
}

function requireCount(what: string, count: number, most = 0x7fffffff): void {
  if (!Number.isInteger(count) || count < 0 || count > most) {
    throw new RangeError(`Cannot set ${what} to ${count}: it takes whole numbers from 0 to ${most}`);
  }
}

function requireOptions(options: number): void {
  if (!Number.isSafeInteger(options) || options < 0) {
    throw new RangeError(`Cannot set or clear the options ${options}: they are a whole number from 0 on`);
  }
}

function requireCallback(callback: unknown): void {
  if (callback !== null && typeof callback !== "function") {
    throw new TypeError("Cannot set this callback: it must be a function, or null to clear it");
  }
}
