import type { X509Certificate } from "node:crypto";
import type { Pointer } from "../ffi/types.ts";
import { adopt } from "./adopt.ts";
import { copyOf, isLendable, lengthNow, PrivateArray, requireBytes, viewOf, writeInto } from "./bytes.ts";
import { type Caller, calling, enter, leave, quietly } from "./calls.ts";
import {
  alpnProtocolOf,
  type CipherNames,
  cipherNamesOf,
  exportKeyingMaterial,
  peerCertificateOf,
  type VerifyResult,
  verifyResultOf,
} from "./connection_facts.ts";
import { contextPointer, contextState, type SslContext } from "./context.ts";
import { type ConnectionReference, freeConnection, switchContext } from "./connection_reference.ts";
import { holdContext } from "./context_reference.ts";
import { type ContextState, wrappers } from "./context_state.ts";
import { requireCipher } from "./fitness.ts";
import { held, library } from "./library.ts";
import { nameOfPeer } from "./names.ts";
import { expectServerName, newSsl } from "./new_ssl.ts";
import { clearErrors, OpenSslError, openSslError } from "./openssl_error.ts";
import { instance, text } from "./option_kinds.ts";
import { type OptionKinds, readOptions } from "./options.ts";
import { protocolName, type ProtocolVersion } from "./protocol.ts";
import { ReleasedError } from "./released_error.ts";
import { ownSession, Session, sessionPointer } from "./session.ts";
import { trampolines } from "./trampolines.ts";
import { Waking } from "./waking.ts";

export type { CipherNames, VerifyResult } from "./connection_facts.ts";

/** The options of {@linkcode SslConnection.client}. */
export interface ClientConnectionOptions {
  /**
   * The server's name, to be sent (SNI) and to be found in its certificate, both in ASCII (IDNA). An IP address is only
   * looked for in the certificate, without its zone. Without a name, any name in a trusted certificate will do.
   */
  serverName?: string;
  /** A session to resume. It stays yours, and so does the trust in what it rests on: no certificate is looked at again. */
  session?: Session;
}

const connectionKinds: OptionKinds<ClientConnectionOptions> = {
  serverName: text,
  session: instance(Session, "a Session"),
};

/**
 * Where a handshake stands: over; waiting for the other side's bytes; or suspended by the client hello callback, to be
 * gone on with by another `handshake()`.
 */
export type HandshakeState = "done" | "wants-bytes" | "wants-lookup";

// What SSL_get_error() answers.
const sslError = { ssl: 1, wantRead: 2, wantWrite: 3, syscall: 5, zeroReturn: 6, wantClientHello: 11 };
const shutdownSent = 1;
const shutdownReceived = 2;

/** For the plaintext that libssl reads and writes: four records' worth. */
const scratch = new PrivateArray(65_536);

const secret = Symbol("SslConnection");

/** Has something more done when the connection ends. It must not throw. For this library's own use. */
export let onConnectionEnd: (connection: SslConnection, action: () => void) => void;
/**
 * Reads plaintext as {@linkcode SslConnection.read} does, into an array of its own: undefined if more ciphertext is
 * needed, null if the other side has ended its part. For this library's own use.
 */
export let readPlaintext: (connection: SslConnection) => Uint8Array | null | undefined;
/** Whether it is lent to one callback, for an SSL that other code made. Nothing can be remembered of it. */
export let isLentConnection: (connection: SslConnection) => boolean;
/** The pointer, for a call that asks and moves nothing. For this library's own use. */
export let connectionPointer: (connection: SslConnection) => Pointer;
/** Whether a server's connection speaks TLS 1.2 at most, for the sake of its certificates. */
export let isLimitedToTls12: (connection: SslConnection) => boolean;
/** Has a client's connection offer a session, before its handshake begins. The session stays the caller's. */
export let offerSession: (connection: SslConnection, session: Session) => void;

/** The net under forgotten connections. */
const forgotten = new FinalizationRegistry<ConnectionReference>((own) => quietly(() => freeConnection(own)));

/**
 * One TLS connection (`SSL`) without any I/O: ciphertext goes in and comes out as bytes, and so does plaintext. Every
 * transport is built on it.
 *
 * After each call that may have produced ciphertext ({@linkcode SslConnection.handshake}, `read`, `write`, `shutdown`,
 * also one that threw), pull it with {@linkcode SslConnection.pullCiphertext} and send it.
 *
 * What a callback throws comes out of the call that caused it. The call has had its effect all the same: call again.
 *
 * @see SSL_new(3)
 *
 * @example A handshake in memory
 * ```ts
 * import { selfSigned, SslConnection, SslContext } from "@openssl-sessions/openssl-sessions";
 *
 * using serverContext = SslContext.server(selfSigned());
 * using clientContext = SslContext.client({ verify: "none" });
 * using server = SslConnection.server(serverContext);
 * using client = SslConnection.client(clientContext, { serverName: "localhost" });
 *
 * const buffer = new Uint8Array(20000);
 * let turns = 0;
 * while (client.handshake() !== "done" || server.handshake() !== "done") {
 *   server.pushCiphertext(buffer.subarray(0, client.pullCiphertext(buffer)));
 *   server.handshake();
 *   client.pushCiphertext(buffer.subarray(0, server.pullCiphertext(buffer)));
 *   if (++turns > 10) throw new Error("The handshake does not end");
 * }
 * console.log(server.protocol, server.serverName); // TLSv1.3 localhost
 * ```
 */
export class SslConnection {
  #pointer: Pointer | undefined;
  #endedBy = "";
  /** Undefined for the object of an SSL that other code made, lent to a callback. */
  readonly #own: ConnectionReference | undefined;
  #input: Pointer | undefined;
  #output: Pointer | undefined;
  readonly #caller: Caller;
  /** As libssl has it: what the context had when the connection was made of it. */
  #idContext: Uint8Array;
  #isServer = false;
  #established = false;
  #held = 0;
  #onEnd: (() => void) | undefined;
  readonly #waking = new Waking();
  /** A call on this connection is under way: its callbacks must not make another. */
  #busy = false;
  /** The last read brought data: the next one counts control messages anew. */
  #dataCame = false;
  /** Plaintext that was read by a call whose callback threw. */
  #unreported: Uint8Array | undefined;

  /** Not for use: connections come from {@linkcode SslConnection.server} and {@linkcode SslConnection.client}. */
  private constructor(key: symbol, pointer: Pointer, context: ContextState | undefined) {
    if (key !== secret) {
      throw new TypeError("Cannot construct an SslConnection: use SslConnection.server() or .client()");
    }
    this.#pointer = pointer;
    this.#own = context && { pointer, context, borrowed: undefined };
    this.#idContext = context?.idContext ?? new Uint8Array();
    this.#caller = {
      pointer,
      key: library().memory.keyOf(pointer),
      context: context!,
      connection: this,
      controlMessages: 0,
      sessionQuestions: 0,
      resumedId: undefined,
      verifyError: 0,
    };
    if (!this.#own) return;
    held.connections++;
    holdContext(this.#own.context);
    forgotten.register(this, this.#own, this);
  }

  static {
    onConnectionEnd = (connection, action) => {
      const earlier = connection.#onEnd;
      connection.#onEnd = !earlier ? action : () => {
        try {
          earlier();
        } finally {
          action();
        }
      };
    };
    isLentConnection = (connection) => !connection.#own;
    connectionPointer = (connection) => connection.#alive();
    isLimitedToTls12 = (connection) => {
      const own = connection.#own;
      return (own?.borrowed ?? own?.context)?.isForTls12Only ?? false;
    };
    offerSession = (connection, session) => connection.#offer(session);
    readPlaintext = (connection) => connection.#read(scratch.length);
    wrappers.useContext = (connection, context) => connection.#useContext(context);
    wrappers.connection = (ssl) => {
      const connection = new SslConnection(secret, ssl, undefined);
      return { connection, end: () => connection.#end("the return of the callback that it was lent to") };
    };
  }

  /**
   * A server's end.
   *
   * @param context a context for servers; it may be disposed while the connection lives
   * @returns a connection that is yours to dispose
   */
  static server(context: SslContext): SslConnection {
    return SslConnection.#make("server", context);
  }

  /**
   * A client's end.
   *
   * @param context a context for clients; it may be disposed while the connection lives
   * @param options the server's name, and a session to resume
   * @returns a connection that is yours to dispose
   * @throws {TypeError} for a server name that is none
   * @throws {OpenSslError} if the session cannot be used in this context
   */
  static client(context: SslContext, options: ClientConnectionOptions = {}): SslConnection {
    const { serverName, session } = readOptions("SslConnection.client()", connectionKinds, options);
    const connection = SslConnection.#make("client", context);
    try {
      if (serverName !== undefined) expectServerName(connection.#alive(), serverName);
      if (session) connection.#offer(session);
      return connection;
    } catch (error) {
      connection.dispose();
      throw error;
    }
  }

  static #make(role: "server" | "client", context: SslContext): SslConnection {
    contextPointer(context);
    const state = contextState(context);
    if (state.role && state.role !== role) {
      throw new TypeError(`Cannot make a ${role}'s connection of a ${state.role}'s context`);
    }
    const made = newSsl(role, state);
    const connection = adopt(made.pointer, library().ssl.SSL_free, (pointer) => {
      return new SslConnection(secret, pointer, state);
    });
    connection.#input = made.input;
    connection.#output = made.output;
    connection.#isServer = role === "server";
    return connection;
  }

  #offer(offered: Session): void {
    const session = sessionPointer(offered);
    requireCipher("offer this session", session);
    // libssl would remove the one that the connection has, under the lock that it may hold.
    if (this.#established) this.#idle("offer another session");
    if (calling(() => library().ssl.SSL_set_session(this.#alive(), session)) !== 1) {
      throw openSslError("Cannot use this session for the connection", "the handshake has begun");
    }
    this.#caller.resumedId = offered.id;
  }

  #useContext(context: SslContext): void {
    contextPointer(context);
    const state = contextState(context);
    this.#alive();
    if (!this.#own) throw new TypeError("Cannot use another context: this connection belongs to the code that made it");
    if (state !== this.#own.context && state.role !== "server") {
      throw new TypeError(
        `Cannot use another context for a server's connection: it is ${
          state.role ? "a client's" : "one that other code made"
        }`,
      );
    }
    if (switchContext(this.#own, state)) this.#idContext = state.idContext;
  }

  // A method, as V8 calls a private getter by way of its runtime, which is slower than a call into C.
  #alive(): Pointer {
    if (!this.#pointer) throw new ReleasedError("connection", this.#endedBy);
    return this.#pointer;
  }

  /** What libssl says of a call that has just failed. Its reasons are in the queue. */
  #errorOf(result: number): number {
    // A callback has ended the connection: nobody is going to ask for the reasons.
    if (!this.#pointer) clearErrors();
    return library().ssl.SSL_get_error(this.#alive(), result);
  }

  /** The pointer for a call that moves the connection on, where such a call may be made. */
  #idle(what: string): Pointer {
    const pointer = this.#alive();
    if (!this.#own) throw new TypeError(`Cannot ${what}: this connection's bytes are moved by the code that made it`);
    if (this.#busy) throw new Error(`Cannot ${what} from within a callback of the same connection`);
    if (this.#caller.context.removing > 0) {
      throw new Error(
        `Cannot ${what} from within its context's remove session callback: do it when the callback is over`,
      );
    }
    this.#waking.throwFailure();
    return pointer;
  }

  /**
   * Called by {@linkcode SslConnection.wake}. Set by the transport, which is to call `handshake()` again. What it throws,
   * or its Promise is rejected with, comes out of the next call that moves the connection on.
   */
  onWake: (() => void) | undefined;

  /**
   * Tells the transport that a handshake that was suspended can go on. For whoever suspended it in the client hello
   * callback. From within a callback of the connection, the transport is told once that is over. Does nothing once the
   * connection has ended.
   */
  wake(): void {
    if (this.#busy) queueMicrotask(() => this.wake());
    else if (this.#pointer && this.onWake) this.#waking.call(this.onWake);
  }

  /**
   * Keeps ciphertext back: {@linkcode SslConnection.pullCiphertext} answers 0 until the returned function is called,
   * which also wakes the transport. For what must not reach the other side yet, such as a ticket for a session that is
   * not stored yet.
   */
  holdCiphertext(): () => void {
    this.#alive();
    this.#held++;
    let released = false;
    return () => {
      if (released) return;
      released = true;
      this.#held--;
      if (this.#held === 0) this.wake();
    };
  }

  /** Whether ciphertext is kept back. */
  get isHeld(): boolean {
    return this.#held > 0;
  }

  /**
   * The session id context that its sessions are made under, as far as this library set it: that of its context, or of
   * the one that {@linkcode ClientHello.useContext} changed to. A copy.
   */
  get sessionIdContext(): Uint8Array {
    return this.#idContext.slice();
  }

  /**
   * Hands over bytes that came from the other side. They are copied.
   *
   * @see BIO_write(3)
   */
  pushCiphertext(bytes: Uint8Array): void {
    this.#idle("push ciphertext");
    const length = requireBytes("this ciphertext", bytes);
    if (length === 0) return;
    const lent = isLendable(bytes) ? bytes : copyOf("this ciphertext", bytes);
    if (library().crypto.BIO_write(this.#input!, lent, length) !== length) {
      throw openSslError(`Cannot take in ${length} bytes of ciphertext`);
    }
  }

  /**
   * Moves bytes that are to be sent to the other side into `buffer`.
   *
   * @returns how many; 0 when there are no more. If it is the buffer's length there may be more
   * @see BIO_read(3)
   */
  pullCiphertext(buffer: Uint8Array): number {
    this.#idle("pull ciphertext");
    const length = requireBytes("this buffer", buffer);
    if (length === 0 || this.#held > 0) return 0;
    const lent = isLendable(buffer) ? buffer : new Uint8Array(length);
    const read = Math.max(0, library().crypto.BIO_read(this.#output!, lent, length));
    if (lent !== buffer) writeInto(buffer, lent.subarray(0, read));
    return read;
  }

  /**
   * Moves the handshake on as far as it goes.
   *
   * @returns where it stands
   * @throws {OpenSslError} if it failed; there may be an alert to send, and then the connection is to be disposed
   * @throws what a callback threw; call again to learn where the handshake stands
   * @see SSL_do_handshake(3)
   */
  handshake(): HandshakeState {
    const pointer = this.#idle("shake hands");
    const { ssl } = library();
    clearErrors();
    let result: number;
    const outer = this.#enter();
    try {
      result = ssl.SSL_do_handshake(pointer);
      // Also where a callback threw.
      if (result === 1 && !this.#established) this.#establish(pointer);
    } finally {
      this.#leave(outer);
    }
    if (result === 1) return "done";
    switch (this.#errorOf(result)) {
      case sslError.wantRead:
      case sslError.wantWrite:
        return "wants-bytes";
      case sslError.wantClientHello:
        return "wants-lookup";
      default:
        throw this.#handshakeError();
    }
  }

  #establish(pointer: Pointer): void {
    this.#established = true;
    if (this.#isServer) library().ssl.SSL_set_info_callback(pointer, trampolines().info);
  }

  #handshakeError(): OpenSslError {
    const error = openSslError("The TLS handshake failed", "it had failed before");
    const remark = error.errors.map(({ reason }) => {
      if (reason === "certificate verify failed") return this.verifyResult.reason;
      if (reason === "callback failed") return "refused by the client hello callback, or for want of a certificate";
      return reason === "http request" ? "the client spoke plain HTTP" : undefined;
    }).find((remark) => remark !== undefined);
    return remark ? new OpenSslError(`${error.message} (${remark})`, error.errors) : error;
  }

  /**
   * Reads plaintext into `buffer`. Moves the handshake on where it is not over.
   *
   * @returns how many bytes; 0 if more ciphertext is needed; null if the other side has ended its part with
   *   close_notify
   * @throws {OpenSslError} if the connection failed; there may be an alert to send
   * @throws what a callback threw; nothing that was read is lost, call again
   * @see SSL_read(3)
   */
  read(buffer: Uint8Array): number | null {
    this.#idle("read");
    const space = requireBytes("this buffer", buffer);
    if (space === 0) return 0;
    const bytes = this.#read(space);
    if (!bytes) return bytes === null ? null : 0;
    // The callbacks that a read runs could have taken the buffer away.
    const length = Math.min(lengthNow(buffer), bytes.length);
    if (length > 0) writeInto(buffer, bytes.subarray(0, length));
    if (length < bytes.length) this.#unreported = bytes.subarray(length);
    return length;
  }

  /** An array of its own with at most `space` bytes that were read; more only of what was read earlier. */
  #read(space: number): Uint8Array | null | undefined {
    const pointer = this.#idle("read");
    if (this.#unreported) return this.#report();
    const { ssl } = library();
    clearErrors();
    if (this.#dataCame) this.#caller.controlMessages = 0;
    let result = 0;
    // The callbacks could take the user's buffer away from under it.
    const plaintext = scratch.take();
    const outer = this.#enter();
    try {
      result = ssl.SSL_read(pointer, plaintext, Math.min(space, plaintext.length));
      this.#dataCame = result > 0;
      if (this.#dataCame) this.#unreported = plaintext.slice(0, result);
      // A read ends the handshake too, and so does one whose callback threw.
      if (!this.#established && this.#pointer && ssl.SSL_is_init_finished(pointer) === 1) this.#establish(pointer);
    } finally {
      scratch.give(plaintext, result);
      this.#leave(outer);
    }
    if (this.#unreported) return this.#report();
    switch (this.#errorOf(result)) {
      case sslError.wantRead:
      case sslError.wantWrite:
      case sslError.wantClientHello:
        return undefined;
      case sslError.zeroReturn:
        return null;
      default:
        throw openSslError("Cannot read from the TLS connection", "it had failed before");
    }
  }

  #report(): Uint8Array | undefined {
    const bytes = this.#unreported;
    this.#unreported = undefined;
    return bytes;
  }

  /**
   * Encrypts plaintext: all of it, or none before the handshake is over.
   *
   * @returns how many bytes: `bytes.length`, or 0 if the handshake is not over
   * @throws {OpenSslError} if the connection has failed or this side has shut it down
   * @see SSL_write(3)
   */
  write(bytes: Uint8Array): number {
    const pointer = this.#idle("write");
    const length = requireBytes("this plaintext", bytes);
    if (!this.#established || length === 0) return 0;
    const { ssl } = library();
    // As in read(): a renegotiation, say, runs callbacks.
    const plaintext = scratch.take();
    const { controlMessages } = this.#caller;
    let written = 0;
    let result = 1;
    const outer = this.#enter();
    try {
      // What a callback throws comes when all is written, and none goes on where one has disposed the connection.
      while (written < length && result > 0 && this.#pointer) {
        clearErrors();
        const part = Math.min(length - written, plaintext.length);
        plaintext.set(viewOf("this plaintext", bytes, written, part));
        result = ssl.SSL_write(pointer, plaintext, part);
        if (result > 0) written += result;
      }
    } finally {
      scratch.give(plaintext, Math.min(length, plaintext.length));
      // The answer to a KeyUpdate goes before the data, and is none of the client's.
      this.#caller.controlMessages = controlMessages;
      this.#leave(outer);
    }
    if (written === length) return length;
    this.#alive();
    throw openSslError(`Cannot write ${length - written} bytes to the TLS connection`, "it had failed before");
  }

  /**
   * Says goodbye with close_notify, once. A connection that is disposed without it, or without
   * {@linkcode SslConnection.shutdownQuietly}, has its session removed as one whose end was not clean.
   *
   * @returns whether both sides have said goodbye
   * @see SSL_shutdown(3)
   */
  shutdown(): boolean {
    const pointer = this.#idle("shut down");
    if (!this.#established) {
      this.shutdownQuietly();
      return false;
    }
    const { ssl } = library();
    clearErrors();
    const outer = this.#enter();
    try {
      if (!(ssl.SSL_get_shutdown(pointer) & shutdownSent)) ssl.SSL_shutdown(pointer);
    } finally {
      this.#leave(outer);
    }
    clearErrors();
    return ssl.SSL_get_shutdown(this.#alive()) === (shutdownSent | shutdownReceived);
  }

  /**
   * Takes the connection for shut down without sending anything: for when the other side has gone, and its session is
   * to stay good.
   *
   * @see SSL_set_shutdown(3)
   */
  shutdownQuietly(): void {
    library().ssl.SSL_set_shutdown(this.#idle("shut down"), shutdownSent | shutdownReceived);
  }

  #enter(): Caller | undefined {
    this.#busy = true;
    return enter(this.#caller);
  }

  #leave(outer: Caller | undefined): void {
    this.#busy = false;
    leave(outer);
  }

  /** Whether the connection has ended and can no longer be used. */
  get isReleased(): boolean {
    return this.#pointer === undefined;
  }

  /** Whether the handshake is over. */
  get isEstablished(): boolean {
    return this.#established;
  }

  /**
   * How many messages that are no data a client has sent in a row since its handshake: KeyUpdates of TLS 1.3, those that
   * ask for one in return counting up to twice, and attempts to renegotiate, which are refused, up to TLS 1.2. After a
   * read that brought data it is how many came before that data, and the next read counts from 0. A client's end has 0
   * always. A client that goes on and on costs work and sends nothing: end the connection.
   */
  get controlMessages(): number {
    return this.#caller.controlMessages;
  }

  /** The protocol that was negotiated: `TLSv1.3`. @see SSL_version(3) */
  get protocol(): ProtocolVersion {
    return protocolName(library().ssl.SSL_version(this.#alive()));
  }

  /** The cipher suite that was negotiated, by OpenSSL's name; undefined before it is. @see SSL_get_current_cipher(3) */
  get cipher(): string | undefined {
    const { ssl, memory } = library();
    const cipher = ssl.SSL_get_current_cipher(this.#alive());
    return cipher ? memory.readString(ssl.SSL_CIPHER_get_name(cipher)) : undefined;
  }

  /**
   * The cipher suite that was negotiated, by all of its names; undefined before it is.
   *
   * @see SSL_CIPHER_standard_name(3)
   */
  get cipherNames(): CipherNames | undefined {
    return cipherNamesOf(this.#alive());
  }

  /** The application protocol (ALPN) that was agreed on: `h2`. @see SSL_get0_alpn_selected(3) */
  get alpnProtocol(): string | undefined {
    return alpnProtocolOf(this.#alive());
  }

  /** The server name (SNI) that the client asked for, as {@linkcode ClientHello.serverName}. @see SSL_get_servername(3) */
  get serverName(): string | undefined {
    const { ssl, memory } = library();
    const hostName = 0; // TLSEXT_NAMETYPE_host_name
    return nameOfPeer(memory.readString(ssl.SSL_get_servername(this.#alive(), hostName)));
  }

  /** Whether the handshake resumed a session. @see SSL_session_reused(3) */
  get isResumed(): boolean {
    return library().ssl.SSL_session_reused(this.#alive()) === 1;
  }

  /**
   * The connection's session, as a reference of your own to dispose; undefined before there is one. With TLS 1.3 a
   * client's resumes only after the server's ticket has come: use the new session callback there.
   *
   * @see SSL_get1_session(3)
   */
  session(): Session | undefined {
    const pointer = library().ssl.SSL_get1_session(this.#alive());
    return pointer ? ownSession(pointer) : undefined;
  }

  /** The id of the connection's session; empty where there is none. @see SSL_get_session(3), SSL_SESSION_get_id(3) */
  get sessionId(): Uint8Array {
    const { ssl, memory } = library();
    const session = ssl.SSL_get_session(this.#alive());
    if (!session) return new Uint8Array();
    const length = new Uint32Array(1);
    const id = ssl.SSL_SESSION_get_id(session, length);
    return memory.readBytes(id, length[0]!);
  }

  /**
   * The id of the session that the handshake has resumed; undefined for a full handshake. With TLS 1.3 it is another
   * than {@linkcode SslConnection.sessionId}, which is the next one's. On a client it is the offered session's. Where a
   * server's context has a get callback and libssl has found the session in its own cache, it is not known for TLS 1.3.
   *
   * @see SSL_SESSION_get_id(3)
   */
  get resumedSessionId(): Uint8Array | undefined {
    if (!this.isResumed) return undefined;
    const id = this.#caller.resumedId ?? (this.protocol === "TLSv1.3" ? undefined : this.sessionId);
    return id && new Uint8Array(id);
  }

  /** The certificate that the other side showed, without its chain. @see SSL_get1_peer_certificate(3) */
  get peerCertificate(): X509Certificate | undefined {
    return peerCertificateOf(this.#alive());
  }

  /** Whether this side asks the other for a certificate. A client always gets one. @see SSL_get_verify_mode(3) */
  get asksForCertificate(): boolean {
    return library().ssl.SSL_get_verify_mode(this.#alive()) !== 0;
  }

  /**
   * Key material that both ends of the connection derive alike, and nobody else can: to bind something to this very
   * connection.
   *
   * @param length how many bytes
   * @param label the purpose, as registered with IANA: `EXPORTER-Channel-Binding`
   * @param context what it is bound to beside; with TLS 1.2, none and an empty one differ
   * @returns the bytes, a secret
   * @throws {Error} before the handshake is over
   * @see SSL_export_keying_material(3)
   */
  exportKeyingMaterial(length: number, label: string, context?: Uint8Array): Uint8Array {
    const pointer = this.#alive();
    if (!this.#established) throw new Error("Cannot export keying material: the handshake is not over");
    return exportKeyingMaterial(pointer, length, label, context);
  }

  /** How the verification of the other side's certificate ended. @see SSL_get_verify_result(3) */
  get verifyResult(): VerifyResult {
    return verifyResultOf(this.#alive());
  }

  /**
   * Frees the connection, from within one of its own callbacks as soon as that is over. Doing it twice does no harm.
   *
   * @see SSL_free(3)
   */
  dispose(): void {
    this.#end("dispose()");
  }

  /** The same as {@linkcode SslConnection.dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  #end(by: string): void {
    const pointer = this.#pointer;
    if (!pointer) return;
    this.#pointer = undefined;
    this.#endedBy = by;
    try {
      this.#onEnd?.();
    } finally {
      if (this.#own) {
        forgotten.unregister(this);
        freeConnection(this.#own);
      }
    }
  }
}
