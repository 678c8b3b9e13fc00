import { Buffer } from "node:buffer";
import type { X509Certificate } from "node:crypto";
import { isIPv6 } from "node:net";
import { Duplex, type DuplexOptions } from "node:stream";
import type { PeerCertificate } from "node:tls";
import type { CipherNames } from "../ssl/connection.ts";
import {
  type EphemeralKey,
  ephemeralKeyOf,
  finishedOf,
  isServers,
  ownCertificateOf,
  peerChainOf,
  setMaxSendFragment,
  sharedSignatureAlgorithmsOf,
  ticketOf,
} from "../ssl/connection_details.ts";
import type { ProtocolVersion } from "../ssl/protocol.ts";
import { coded, codedError } from "./coded_error.ts";
import { type SessionIds, sessionIds, type TlsFacts, tlsFacts } from "./tls_facts.ts";
import { connectionOf, rawOf, type TlsSocket } from "./tls_socket.ts";

/** What was noted of a stream's connection. */
export let factsOf: (stream: NodeTlsSocket) => TlsFacts;

/**
 * What a TLSSocket of node:tls tells of its connection, by the same names. What was negotiated can still be asked for when
 * the connection is closed, where a TLSSocket answers null. {@linkcode TlsDuplex} is one.
 *
 * What cannot be had throws an error that says what to use in its place: `setKeyCert`, `setServername`, `setSession`,
 * `enableTrace`, `resetAndDestroy`, `connect`, `setTypeOfService`, `getTypeOfService`. `renegotiate` is always refused.
 * What begins with an underscore in node:tls, and `ssl`, is not here. NODE_TLS.md lists all that differs.
 *
 * @see https://nodejs.org/api/tls.html#class-tlstlssocket
 */
export abstract class NodeTlsSocket extends Duplex {
  /** The socket below. */
  readonly tls: TlsSocket;
  /** The other side's IP address. */
  readonly remoteAddress: string;
  /** The other side's port. */
  readonly remotePort: number;
  /** The server that it came to, where that is one of {@linkcode createServer}. */
  server: object | undefined;
  readonly #ids: SessionIds;
  readonly #facts: TlsFacts;

  /** Not for use: sockets come from {@linkcode listen}, {@linkcode createServer} and {@linkcode connect}. */
  protected constructor(tls: TlsSocket, options: DuplexOptions) {
    super(options);
    this.tls = tls;
    this.remoteAddress = tls.remoteAddress;
    this.remotePort = tls.remotePort;
    this.#ids = sessionIds(tls);
    this.#facts = tlsFacts(tls, this.#ids);
  }

  static {
    factsOf = (stream) => stream.#facts;
  }

  /** True, as node:tls has it: frameworks look at it. */
  get encrypted(): true {
    return true;
  }

  /** Whether the other side showed a certificate, and it was verified. */
  get authorized(): boolean {
    return this.#facts.authorized;
  }

  /**
   * Why the other side's certificate was not verified, as OpenSSL and node:tls name it: `DEPTH_ZERO_SELF_SIGNED_CERT`.
   * `ERR_TLS_CERT_ALTNAME_INVALID` if it is a good one for another name. Null if it was, and if none was asked for.
   */
  get authorizationError(): string | null {
    const { authorizationError } = this.#facts;
    // node:tls looks at the name by itself.
    return /^(HOSTNAME|IP_ADDRESS)_MISMATCH$/.test(authorizationError ?? "")
      ? "ERR_TLS_CERT_ALTNAME_INVALID"
      : authorizationError;
  }

  /** The application protocol (ALPN) that was agreed on: `h2`. False if there is none. */
  get alpnProtocol(): string | false {
    return this.#facts.alpnProtocol ?? false;
  }

  /** The server name (SNI) that the client asked for. False if there is none. */
  get servername(): string | false {
    return this.#facts.serverName ?? false;
  }

  /** The protocol that was negotiated: `TLSv1.3`. */
  getProtocol(): ProtocolVersion {
    return this.#facts.protocol;
  }

  /** The cipher suite that was negotiated. */
  getCipher(): CipherNames {
    return { ...this.#facts.cipher };
  }

  /** Whether the handshake resumed a session. */
  isSessionReused(): boolean {
    return this.#facts.isResumed;
  }

  /** The id of the connection's session when its handshake was over. See {@linkcode TlsSocket.sessionId}. */
  get sessionId(): Buffer {
    return Buffer.from(this.#ids.sessionId);
  }

  /** The id of the session that was resumed; undefined where none was. See {@linkcode TlsSocket.resumedSessionId}. */
  get resumedSessionId(): Buffer | undefined {
    const { resumedSessionId } = this.#ids;
    return resumedSessionId && Buffer.from(resumedSessionId);
  }

  /**
   * The certificate that the other side showed, in the form that node:tls has had from its beginning. An empty object
   * if it showed none.
   *
   * @param detailed whether each certificate has its issuer's as `issuerCertificate`, as far as the other side sent them
   *   or they are trusted here. A self-signed authority is its own. Once the connection is closed the first is all there is,
   *   and so it is with a resumed connection whose authority is not trusted here
   */
  getPeerCertificate(detailed = false): PeerCertificate {
    const { peerCertificate } = this.#facts;
    // What node:tls answers then as well, whatever its types say.
    if (!peerCertificate) return {} as PeerCertificate;
    if (!detailed) return legacyForm(peerCertificate);
    const chain = this.tls.isClosed ? [peerCertificate] : peerChainOf(connectionOf(this.tls));
    const forms = chain.map(legacyForm) as (PeerCertificate & { issuerCertificate?: PeerCertificate })[];
    for (const [index, form] of forms.entries()) {
      if (index + 1 < forms.length) form.issuerCertificate = forms[index + 1]!;
      else if (chain[index]!.checkIssued(chain[index]!)) form.issuerCertificate = form;
    }
    return forms[0]!;
  }

  /** The certificate that the other side showed. */
  getPeerX509Certificate(): X509Certificate | undefined {
    return this.#facts.peerCertificate;
  }

  /** The session in DER, a secret. Undefined if there is none, null once the connection is closed. */
  getSession(): Buffer | undefined | null {
    if (this.tls.isClosed) return null;
    const session = this.tls.session();
    try {
      return session && bufferOf(session.toDer());
    } finally {
      session?.dispose();
    }
  }

  /**
   * Key material that both ends derive alike, to bind something to this connection.
   *
   * @param length how many bytes
   * @param label the purpose, as registered with IANA
   * @param context what it is bound to beside
   * @throws {ReleasedError} once the connection is closed
   * @see SSL_export_keying_material(3)
   */
  exportKeyingMaterial(length: number, label: string, context?: Uint8Array): Buffer {
    return bufferOf(connectionOf(this.tls).exportKeyingMaterial(length, label, context));
  }

  /**
   * This side's certificate, in the form that node:tls has had from its beginning. An empty object if it showed none,
   * null once the connection is closed.
   */
  getCertificate(): PeerCertificate | object | null {
    if (this.tls.isClosed) return null;
    const certificate = this.getX509Certificate();
    return certificate ? legacyForm(certificate) : {};
  }

  /** This side's certificate. Undefined if it showed none, and once the connection is closed. */
  getX509Certificate(): X509Certificate | undefined {
    return this.tls.isClosed ? undefined : ownCertificateOf(connectionOf(this.tls));
  }

  /**
   * What this side's Finished message held, which binds something to this handshake. With TLS 1.3 rather take
   * {@linkcode NodeTlsSocket.exportKeyingMaterial}. Null once the connection is closed.
   *
   * @see SSL_get_finished(3)
   */
  getFinished(): Buffer | undefined | null {
    return this.#finished("own");
  }

  /** What the other side's Finished message held. Null once the connection is closed. */
  getPeerFinished(): Buffer | undefined | null {
    return this.#finished("peer");
  }

  #finished(whose: "own" | "peer"): Buffer | undefined | null {
    if (this.tls.isClosed) return null;
    const content = finishedOf(connectionOf(this.tls), whose);
    return content && bufferOf(content);
  }

  /**
   * The signature algorithms that both sides know: `ECDSA+SHA256`. An empty array at a client's end, null once the
   * connection is closed.
   *
   * @see SSL_get_shared_sigalgs(3)
   */
  getSharedSigalgs(): string[] | null {
    return this.tls.isClosed ? null : sharedSignatureAlgorithmsOf(connectionOf(this.tls));
  }

  /**
   * The server's part of the key exchange, for clients: `{ type: "ECDH", name: "X25519", size: 253 }`. An empty object
   * where there was none or it is no single key; null at a server's end, and once the connection is closed.
   */
  getEphemeralKeyInfo(): Partial<EphemeralKey> | null {
    if (this.tls.isClosed) return null;
    const connection = connectionOf(this.tls);
    return isServers(connection) ? null : ephemeralKeyOf(connection) ?? {};
  }

  /** The ticket that a client has of its session. Undefined if it has none; null once the connection is closed. */
  getTLSTicket(): Buffer | undefined | null {
    if (this.tls.isClosed) return null;
    const ticket = ticketOf(connectionOf(this.tls));
    return ticket && bufferOf(ticket);
  }

  /**
   * Has records hold less plaintext, so that the other side can read the first bytes sooner.
   *
   * @param size how many bytes at most: 512 to 16,384
   * @returns whether it is so now
   * @throws {TypeError} for what is no number
   */
  setMaxSendFragment(size: number): boolean {
    if (typeof size !== "number") throw new TypeError(`Cannot use a ${typeof size} as a record's size: give a number`);
    if (!Number.isInteger(size) || this.tls.isClosed) return false;
    return setMaxSendFragment(connectionOf(this.tls), size);
  }

  /** Does nothing: no server of this library lets a client shake hands again. */
  disableRenegotiation(): void {}

  /**
   * Always refused, as TLS 1.3 has no renegotiation and this library has none before it.
   *
   * @param _options ignored
   * @param callback called with an error whose code is `ERR_TLS_RENEGOTIATION_DISABLED`
   * @returns false; undefined once the stream is destroyed
   */
  renegotiate(_options: object, callback?: (error: Error | null) => void): boolean | undefined {
    if (this.destroyed) return undefined;
    const message = "Cannot renegotiate: TLS 1.3 has no such thing, and before it is disabled";
    const error = codedError(message, "ERR_TLS_RENEGOTIATION_DISABLED");
    if (callback) queueMicrotask(() => callback(error));
    return false;
  }

  /** Not here: throws an error that says what to use in its place. */
  setKeyCert(_context?: unknown): never {
    throw notHere("setKeyCert", "the handshake is over. Use addContext() or SNICallback for certificates by name");
  }

  /** Not here: throws an error that says what to use in its place. */
  setServername(_name?: string): never {
    if (!this.tls.isClosed && isServers(connectionOf(this.tls))) {
      throw codedError("Cannot set a server name: this is the server's end", "ERR_TLS_SNI_FROM_SERVER");
    }
    throw notHere("setServername", "the handshake is over. Use connect()'s option serverName");
  }

  /** Not here: throws an error that says what to use in its place. */
  setSession(_session?: unknown): never {
    throw notHere("setSession", "the handshake is over. Use connect()'s options session or sessions");
  }

  /** Not here: throws an error that says what to use in its place. */
  enableTrace(): never {
    throw notHere("enableTrace", "OpenSSL's trace is not open. Use the keylog event and Wireshark");
  }

  /** Not here: throws, as node:tls does for a TLSSocket. */
  resetAndDestroy(): never {
    const error = new TypeError("Cannot reset a TLS connection: use destroy()");
    throw coded(error, "ERR_INVALID_HANDLE_TYPE");
  }

  /** Not here: throws an error that says what to use in its place. */
  connect(..._parameters: unknown[]): never {
    throw notHere("connect", "the connection is there. Use the function connect() for another");
  }

  /** Not here: throws. */
  setTypeOfService(_value?: number): never {
    throw notHere("setTypeOfService", "not all runtimes have it");
  }

  /** Not here: throws. */
  getTypeOfService(): never {
    throw notHere("getTypeOfService", "not all runtimes have it");
  }

  /** `IPv4` or `IPv6`: what {@linkcode NodeTlsSocket.remoteAddress} is. */
  get remoteFamily(): "IPv4" | "IPv6" {
    return family(this.remoteAddress);
  }

  /** This side's IP address. Undefined once the connection is closed. */
  get localAddress(): string | undefined {
    return this.tls.isClosed ? undefined : this.tls.localAddress;
  }

  /** This side's port. Undefined once the connection is closed. */
  get localPort(): number | undefined {
    return this.tls.isClosed ? undefined : this.tls.localPort;
  }

  /** `IPv4` or `IPv6`: what {@linkcode NodeTlsSocket.localAddress} is. */
  get localFamily(): "IPv4" | "IPv6" | undefined {
    return this.localAddress === undefined ? undefined : family(this.localAddress);
  }

  /** This side's address and port. An empty object once the connection is closed. */
  address(): { address?: string; family?: string; port?: number } {
    const { localAddress: address, localFamily: family, localPort: port } = this;
    return address && family && port ? { address, family, port } : {};
  }

  /** False: a connection comes with its handshake done. */
  get connecting(): false {
    return false;
  }

  /** False while the connection is open, and true afterwards, as there is no socket then. */
  get pending(): boolean {
    return this.tls.isClosed;
  }

  /** False, as {@linkcode NodeTlsSocket.connecting}. */
  get secureConnecting(): false {
    return false;
  }

  /** Which ways are open. */
  get readyState(): "open" | "readOnly" | "writeOnly" | "closed" {
    if (this.readable) return this.writable ? "open" : "readOnly";
    return this.writable ? "writeOnly" : "closed";
  }

  /** How many bytes wait to be sent: the same as `writableLength`. Undefined once the connection is closed. */
  get bufferSize(): number | undefined {
    return this.tls.isClosed ? undefined : this.writableLength;
  }

  /** Does nothing: small writes are never held back. */
  setNoDelay(_noDelay?: boolean): this {
    return this;
  }

  /**
   * Has the system ask now and then whether the other side is still there.
   *
   * @param enable whether it does
   * @param initialDelay after how many milliseconds of silence it asks first; 0 for the system's own setting, which Deno
   *   always has
   */
  setKeepAlive(enable = false, initialDelay = 0): this {
    if (!this.tls.isClosed) rawOf(this.tls).setKeepAlive(enable, initialDelay);
    return this;
  }

  /** Has the open connection keep the program alive, as it does at first. */
  ref(): this {
    if (!this.tls.isClosed) rawOf(this.tls).ref();
    return this;
  }

  /** Lets the program end while the connection is open. */
  unref(): this {
    if (!this.tls.isClosed) rawOf(this.tls).unref();
    return this;
  }
}

function family(address: string): "IPv4" | "IPv6" {
  return isIPv6(address) ? "IPv6" : "IPv4";
}

/** The same memory as a Buffer. */
function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function legacyForm(certificate: X509Certificate): PeerCertificate {
  const form = certificate.toLegacyObject();
  const { pubkey } = form;
  // Deno's is a plain Uint8Array.
  if (pubkey && !Buffer.isBuffer(pubkey)) form.pubkey = Buffer.from(pubkey);
  return form;
}

function notHere(member: string, why: string): Error {
  return codedError(`Cannot use ${member}() here: ${why}`, "ERR_METHOD_NOT_IMPLEMENTED");
}
