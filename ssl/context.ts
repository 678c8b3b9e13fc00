import { cString } from "../ffi/memory.ts";
import type { Null, Pointer } from "../ffi/types.ts";
import { alpnWireFormat } from "./alpn.ts";
import { requireBytes } from "./bytes.ts";
import { calling } from "./calls.ts";
import type {
  ClientHelloCallback,
  GenerateSessionIdCallback,
  GetSessionCallback,
  KeylogCallback,
  NewSessionCallback,
  RemoveSessionCallback,
  SetCallback,
} from "./callback_types.ts";
import { holdContext, releaseContext } from "./context_reference.ts";
import { type ContextState, makeState, stateOf, wrappers } from "./context_state.ts";
import { SslOption } from "./constants.ts";
import type { SslContextOptions, VerifyMode } from "./context_options.ts";
import { pemOf, useAuthorities, useCredentials } from "./credentials.ts";
import { deriveIdContext } from "./id_context.ts";
import { held, library } from "./library.ts";
import { openSslError } from "./openssl_error.ts";
import { protocolName, protocolNumber, type ProtocolVersion } from "./protocol.ts";
import { ReleasedError } from "./released_error.ts";
import { requireSeconds, type Session, sessionPointer } from "./session.ts";
import { trampolines } from "./trampolines.ts";

/** The twelve counters that libssl keeps of a context's sessions. @see SSL_CTX_sess_number(3) */
export interface SessionCounters {
  /** Sessions in the internal cache. */
  readonly number: number;
  /** Handshakes begun as a client. */
  readonly connect: number;
  /** Handshakes completed as a client. */
  readonly connectGood: number;
  /** Renegotiations begun as a client. */
  readonly connectRenegotiate: number;
  /** Handshakes begun as a server. */
  readonly accept: number;
  /** Handshakes completed as a server. */
  readonly acceptGood: number;
  /** Renegotiations begun as a server. */
  readonly acceptRenegotiate: number;
  /** Sessions resumed. */
  readonly hits: number;
  /** Sessions that the get callback found. */
  readonly callbackHits: number;
  /** Sessions that clients proposed and the internal cache did not have. */
  readonly misses: number;
  /** Sessions that clients proposed and that had expired. */
  readonly timeouts: number;
  /** Sessions removed because the internal cache was full. */
  readonly cacheFull: number;
}

// In the order of SSL_CTRL_SESS_NUMBER (20) to SSL_CTRL_SESS_CACHE_FULL (31).
const counterNames: (keyof SessionCounters)[] = [
  "number",
  "connect",
  "connectGood",
  "connectRenegotiate",
  "accept",
  "acceptGood",
  "acceptRenegotiate",
  "hits",
  "callbackHits",
  "misses",
  "timeouts",
  "cacheFull",
];

// The commands of SSL_CTX_ctrl() that are macros in C.
const control = {
  firstCounter: 20,
  setCacheSize: 42,
  getCacheSize: 43,
  setCacheMode: 44,
  getCacheMode: 45,
  setGroupsList: 92,
  setServerNameCallback: 53,
  setMinVersion: 123,
  setMaxVersion: 124,
  getMaxVersion: 131,
};

const secret = Symbol("SslContext");

// What the rest of this library does with contexts and a user must not.

/** The pointer, for a call that leaves the reference where it is. */
export let contextPointer: (context: SslContext) => Pointer;
/** The callbacks of a context. */
export let contextState: (context: SslContext) => ContextState;

/** The net under forgotten contexts. */
const forgotten = new FinalizationRegistry<ContextState>(free);

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
 * import { selfSigned, SessionCacheMode, SslContext, SslOption, type Session } from "./mod.ts";
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
    wrappers.releasedContext = (state) => new SslContext(secret, undefined, state);
  }

  /**
   * A context for servers. Sessions are bound to `sessionIdContext`, which is always set, by default to what follows
   * from the certificate's names and from whose clients are let in; the rest is OpenSSL's default where no option says
   * otherwise.
   *
   * @param options at least `certificate` and `privateKey`, or their files
   * @returns a context that is yours to dispose
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
   *   in Node. It must be one: nothing can check that.
   * @returns a context that is yours to dispose
   * @throws {TypeError} for NULL and for what is no pointer
   */
  static fromPointer(pointer: unknown): SslContext {
    const { adapter, ssl } = library();
    const context = adapter.toPointer(pointer);
    if (!context) throw new TypeError("Cannot make an SslContext: the pointer is NULL, or no pointer of this runtime");
    ssl.SSL_CTX_up_ref(context);
    return new SslContext(secret, context, stateOf(context) ?? makeState(context, true));
  }

  static #make(role: "server" | "client", options: SslContextOptions): SslContext {
    const { ssl } = library();
    const pointer = ssl.SSL_CTX_new(role === "server" ? ssl.TLS_server_method() : ssl.TLS_client_method());
    if (!pointer) throw openSslError("Cannot make an SSL_CTX");
    const context = new SslContext(secret, pointer, makeState(pointer, false));
    try {
      context.#state.role = role;
      context.#configure(role, options);
    } catch (error) {
      context.dispose();
      throw error;
    }
    return context;
  }

  #configure(role: "server" | "client", options: SslContextOptions): void {
    const { ssl } = library();
    const pointer = this.#alive();
    const certificate = pemOf("certificate", options.certificate, options.certificateFile);
    const privateKey = pemOf("private key", options.privateKey, options.privateKeyFile);
    const authorities = pemOf(
      "certificate authorities",
      options.certificateAuthorities,
      options.certificateAuthoritiesFile,
    );
    let names: Uint8Array | undefined;
    if (certificate !== undefined) names = useCredentials(pointer, certificate, privateKey, options.passphrase);
    else if (privateKey !== undefined) throw new TypeError("Cannot use a private key without its certificate");

    if (options.minVersion && options.maxVersion && options.minVersion > options.maxVersion) {
      throw new RangeError(`Cannot speak ${options.minVersion} at least and ${options.maxVersion} at most`);
    }
    if (options.minVersion) this.#setVersion("minimum", control.setMinVersion, options.minVersion);
    if (options.maxVersion) this.#setVersion("maximum", control.setMaxVersion, options.maxVersion);
    this.#setText("cipher list", options.cipherList, (text) => ssl.SSL_CTX_set_cipher_list(pointer, text));
    this.#setText("cipher suites", options.cipherSuites, (text) => ssl.SSL_CTX_set_ciphersuites(pointer, text));
    this.#setText(
      "groups",
      options.groups,
      (text) => ssl.SSL_CTX_ctrl_buffer(pointer, control.setGroupsList, 0, text),
    );
    if (role === "server") ssl.SSL_CTX_callback_ctrl(pointer, control.setServerNameCallback, trampolines().serverName);
    if (options.alpnProtocols) this.#setAlpn(role, options.alpnProtocols);

    const verify = options.verify ?? (role === "client" ? "require" : "none");
    if (authorities !== undefined) useAuthorities(pointer, authorities, role === "server");
    else if (verify !== "none" && ssl.SSL_CTX_set_default_verify_paths(pointer) !== 1) {
      throw openSslError("Cannot use the system's certificate authorities");
    }
    ssl.SSL_CTX_set_verify(pointer, verifyNumber(verify), null);

    // Without one, nothing resumes where client certificates are asked for. A client keeps to one: its sessions may
    // outlive what it trusts today, and it refuses those of another.
    const derive = () => role === "server" ? deriveIdContext(names, verify, authorities) : "openssl-sessions";
    this.setSessionIdContext(options.sessionIdContext ?? derive());
    if (options.sessionCacheMode !== undefined) this.sessionCacheMode = options.sessionCacheMode;
    if (options.sessionCacheSize !== undefined) this.sessionCacheSize = options.sessionCacheSize;
    if (options.sessionTimeout !== undefined) this.sessionTimeout = options.sessionTimeout;
    if (options.numTickets !== undefined) this.numTickets = options.numTickets;
    // A client could have the server shake hands again and again, which costs the server more than the client.
    if (role === "server") this.setOptions(SslOption.NoRenegotiation);
    if (options.options !== undefined) this.setOptions(options.options);
    if (options.keylog) this.setKeylogCallback(options.keylog);
  }

  #setVersion(which: string, command: number, version: NonNullable<SslContextOptions["minVersion"]>): void {
    if (Number(library().ssl.SSL_CTX_ctrl(this.#alive(), command, protocolNumber(version), null)) !== 1) {
      throw openSslError(`Cannot set the ${which} protocol version to ${version}`);
    }
  }

  #setText(what: string, value: string | undefined, set: (text: Uint8Array) => number | bigint): void {
    if (value === undefined) return;
    if (Number(set(cString(value))) !== 1) throw openSslError(`Cannot set the ${what} to ${JSON.stringify(value)}`);
  }

  #setAlpn(role: "server" | "client", protocols: readonly string[]): void {
    const { ssl, crypto, memory } = library();
    const list = alpnWireFormat(protocols);
    if (role === "client") {
      // This one answers 0 for success.
      if (ssl.SSL_CTX_set_alpn_protos(this.#alive(), list, list.length) !== 0) {
        throw openSslError(`Cannot offer the ALPN protocols ${protocols.join(", ")}`);
      }
      return;
    }
    // libssl is told a place inside this list, so it lies in C's memory for as long as the context does.
    const copy = crypto.CRYPTO_malloc(list.length, null, 0);
    if (!copy) throw openSslError("Cannot keep the list of ALPN protocols");
    memory.writeBytes(copy, list, list.length);
    this.#state.alpn = { list: copy, length: list.length };
    ssl.SSL_CTX_set_alpn_select_cb(this.#alive(), trampolines().alpnSelect, null);
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
   * @see SSL_CTX_sess_set_new_cb(3)
   */
  setNewSessionCallback(callback: NewSessionCallback | null): void {
    requireCallback(callback);
    library().ssl.SSL_CTX_sess_set_new_cb(this.#alive(), callback && trampolines().newSession);
    this.#state.newSession = callback ?? undefined;
  }

  /**
   * Sets the callback for sessions that libssl removes; null clears it.
   *
   * @see SSL_CTX_sess_set_remove_cb(3)
   */
  setRemoveSessionCallback(callback: RemoveSessionCallback | null): void {
    requireCallback(callback);
    library().ssl.SSL_CTX_sess_set_remove_cb(this.#alive(), callback && trampolines().removeSession);
    this.#state.removeSession = callback ?? undefined;
  }

  /**
   * Sets the callback for sessions that clients propose; null clears it.
   *
   * @see SSL_CTX_sess_set_get_cb(3)
   */
  setGetSessionCallback(callback: GetSessionCallback | null): void {
    requireCallback(callback);
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
   * Sets the callback for ClientHellos; null clears it. Servers only.
   *
   * @see SSL_CTX_set_client_hello_cb(3)
   */
  setClientHelloCallback(callback: ClientHelloCallback | null): void {
    requireCallback(callback);
    const isNeeded = callback !== null || this.#state.isBorrowed;
    library().ssl.SSL_CTX_set_client_hello_cb(this.#alive(), isNeeded ? trampolines().clientHello : null, null);
    this.#state.clientHello = callback ?? undefined;
  }

  /**
   * Sets the callback for the ids of new sessions; null clears it. Servers only.
   *
   * @see SSL_CTX_set_generate_session_id(3)
   */
  setGenerateSessionIdCallback(callback: GenerateSessionIdCallback | null): void {
    requireCallback(callback);
    library().ssl.SSL_CTX_set_generate_session_id(this.#alive(), callback && trampolines().generateSessionId);
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
    const bytes = typeof idContext === "string" ? new TextEncoder().encode(idContext) : idContext;
    const length = requireBytes("this session id context", bytes);
    if (length < 1 || length > 32) {
      throw new RangeError(`Cannot set a session id context of ${length} bytes: it takes 1 to 32`);
    }
    library().ssl.SSL_CTX_set_session_id_context(this.#alive(), bytes, length);
    this.#state.idContext = new Uint8Array(bytes);
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

  /** For how long new sessions may resume, in seconds. @see SSL_CTX_set_timeout(3) */
  get sessionTimeout(): number {
    return Number(library().ssl.SSL_CTX_get_timeout(this.#alive()));
  }

  set sessionTimeout(seconds: number) {
    requireSeconds("the session timeout", seconds);
    library().ssl.SSL_CTX_set_timeout(this.#alive(), seconds);
  }

  /** How many TLS 1.3 tickets follow a full handshake. @see SSL_CTX_set_num_tickets(3) */
  get numTickets(): number {
    return Number(library().ssl.SSL_CTX_get_num_tickets(this.#alive()));
  }

  set numTickets(count: number) {
    requireCount("the number of tickets", count);
    library().ssl.SSL_CTX_set_num_tickets(this.#alive(), count);
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
   * contexts breaks both chains. One with the same id is replaced.
   *
   * @returns whether it was put there
   * @see SSL_CTX_add_session(3), SSL_SESSION_dup(3)
   */
  addSession(session: Session): boolean {
    const pointer = this.#outsideRemove("add a session");
    const { ssl } = library();
    const copy = ssl.SSL_SESSION_dup(sessionPointer(session));
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
    const seconds = expired === "all" ? 0 : Math.floor(expired.getTime() / 1000);
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
    const pointer = this.#alive();
    const { ssl } = library();
    return Object.fromEntries(
      counterNames.map((name, index) => [
        name,
        Number(ssl.SSL_CTX_ctrl(pointer, control.firstCounter + index, 0, null)),
      ]),
    ) as unknown as SessionCounters;
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

function verifyNumber(mode: VerifyMode): number {
  switch (mode) {
    case "none":
      return 0;
    case "request":
      return 1; // SSL_VERIFY_PEER
    case "require":
      return 3; // and SSL_VERIFY_FAIL_IF_NO_PEER_CERT, which clients ignore
    default:
      throw new RangeError(
        `${JSON.stringify(mode satisfies never)} is no verify mode; there are none, request, require`,
      );
  }
}

function requireCount(what: string, count: number): void {
  if (!Number.isInteger(count) || count < 0 || count > 0x7fffffff) {
    throw new RangeError(`Cannot set ${what} to ${count}: it takes whole numbers from 0 to 2147483647`);
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
