import { Buffer } from "node:buffer";
import type { X509Certificate } from "node:crypto";
import { isIPv6 } from "node:net";
import { Duplex } from "node:stream";
import { clearTimeout, setTimeout } from "node:timers";
import type { PeerCertificate } from "node:tls";
import type { CipherNames } from "../ssl/connection.ts";
import type { ProtocolVersion } from "../ssl/protocol.ts";
import { type TlsFacts, tlsFacts } from "./tls_facts.ts";
import { type ConnectionHandler, connectionOf, type TlsSocket, type TlsSocketHandlers } from "./tls_socket.ts";
import { type WebStreams, webStreams } from "./web_streams.ts";

/** What is encrypted at a time: seven records, which go out in one piece, and not more before a slow peer takes it. */
const partLength = 7 * 16_384;

/** What makes each connection a stream. For listen() and connect(). */
export let streamConnections: (onStream: (stream: TlsDuplex) => void) => ConnectionHandler;
/** What was noted of a stream's connection. */
export let factsOf: (stream: TlsDuplex) => TlsFacts;

/**
 * A TLS connection as a node:stream Duplex, which node:http, node:http2 and the frameworks on them accept as a
 * connection. It has what a TLSSocket of node:tls offers, by the same names; what was negotiated can still be asked for
 * when the connection is closed.
 *
 * It differs from a TLSSocket where that is safer: an `error` that nobody listens for does not end the process, as
 * clients can cause one at will; `listen`'s `onError` is told of it. The other side's end does not end this side.
 *
 * @see https://nodejs.org/api/tls.html#class-tlstlssocket
 *
 * @example
 * ```ts
 * import { listen, selfSigned } from "./mod.ts";
 *
 * await using server = await listen({ ...selfSigned(), hostname: "127.0.0.1" }, (stream) => void stream.pipe(stream));
 * ```
 */
export class TlsDuplex extends Duplex {
  /** The socket below. */
  readonly tls: TlsSocket;
  /** The other side's IP address. */
  readonly remoteAddress: string;
  /** The other side's port. */
  readonly remotePort: number;
  /** After how many idle milliseconds `timeout` is emitted; 0 for never. See {@linkcode TlsDuplex.setTimeout}. */
  timeout = 0;
  readonly #facts: TlsFacts;
  #bytesRead = 0;
  #bytesWritten = 0;
  #drained: ((error?: Error | null) => void) | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;

  private constructor(tls: TlsSocket) {
    super({ allowHalfOpen: true });
    this.tls = tls;
    this.remoteAddress = tls.remoteAddress;
    this.remotePort = tls.remotePort;
    this.#facts = tlsFacts(tls);
    this.on("error", () => {});
  }

  static {
    factsOf = (stream) => stream.#facts;
    streamConnections = (onStream) => (socket) => {
      const stream = new TlsDuplex(socket);
      onStream(stream);
      return stream.#handlers();
    };
  }

  #handlers(): TlsSocketHandlers {
    return {
      data: (socket, bytes) => {
        this.#idle?.refresh();
        this.#bytesRead += bytes.length;
        // A Buffer, which is what listeners of "data" expect.
        if (!this.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))) socket.pause();
      },
      drain: () => this.#goOn(),
      end: () => void this.push(null),
      close: (_socket, error) => void this.destroy(error),
    };
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
   * Null if it was, and if none was asked for.
   */
  get authorizationError(): string | null {
    return this.#facts.authorizationError;
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

  /**
   * The certificate that the other side showed, in the form that node:tls has had from its beginning. An empty object
   * if it showed none. `detailed` changes nothing but for a self-signed one, as the chain is not kept.
   */
  getPeerCertificate(detailed = false): PeerCertificate {
    const certificate = this.#facts.peerCertificate?.toLegacyObject();
    // What node:tls answers then as well, whatever its types say.
    if (!certificate) return {} as PeerCertificate;
    const { pubkey } = certificate;
    // Deno's is a plain Uint8Array.
    if (pubkey && !Buffer.isBuffer(pubkey)) certificate.pubkey = Buffer.from(pubkey);
    if (!detailed || !this.#facts.peerCertificate!.checkIssued(this.#facts.peerCertificate!)) return certificate;
    return Object.assign(certificate, { issuerCertificate: certificate });
  }

  /** The certificate that the other side showed. */
  getPeerX509Certificate(): X509Certificate | undefined {
    return this.#facts.peerCertificate;
  }

  /** The session in DER, a secret. Undefined if there is none, and once the connection is closed. */
  getSession(): Buffer | undefined {
    if (this.tls.isClosed) return undefined;
    const session = this.tls.session();
    try {
      return session && Buffer.from(session.toDer());
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
    return Buffer.from(connectionOf(this.tls).exportKeyingMaterial(length, label, context));
  }

  /** `IPv4` or `IPv6`: what {@linkcode TlsDuplex.remoteAddress} is. */
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

  /** `IPv4` or `IPv6`: what {@linkcode TlsDuplex.localAddress} is. */
  get localFamily(): "IPv4" | "IPv6" | undefined {
    return this.localAddress === undefined ? undefined : family(this.localAddress);
  }

  /** This side's address and port. An empty object once the connection is closed. */
  address(): { address?: string; family?: string; port?: number } {
    const { localAddress: address, localFamily: family, localPort: port } = this;
    return address && family && port ? { address, family, port } : {};
  }

  /** How many bytes of plaintext have come. */
  get bytesRead(): number {
    return this.#bytesRead;
  }

  /** How many bytes of plaintext were sent, those that are on their way among them. */
  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /** False: a connection comes with its handshake done. */
  get connecting(): false {
    return false;
  }

  /** False, as {@linkcode TlsDuplex.connecting}. */
  get pending(): false {
    return false;
  }

  /** False, as {@linkcode TlsDuplex.connecting}. */
  get secureConnecting(): false {
    return false;
  }

  /** Which ways are open. */
  get readyState(): "open" | "readOnly" | "writeOnly" | "closed" {
    if (this.readable) return this.writable ? "open" : "readOnly";
    return this.writable ? "writeOnly" : "closed";
  }

  /**
   * Ends this side when all that was written is sent. The connection is closed when the other side ends as well, which
   * it has a few seconds for.
   */
  destroySoon(): void {
    this.end();
  }

  /** Does nothing: nothing is delayed as it is. */
  setNoDelay(_noDelay?: boolean): this {
    return this;
  }

  /** Does nothing: that is left to the system's settings. */
  setKeepAlive(_enable?: boolean, _initialDelay?: number): this {
    return this;
  }

  /** Does nothing: an open connection keeps the program alive. */
  ref(): this {
    return this;
  }

  /** Does nothing: an open connection keeps the program alive. */
  unref(): this {
    return this;
  }

  /**
   * Emits `timeout` when nothing was read or written for this long, and again when that has happened anew after more
   * came or went, as node:net's sockets do: node:http ends idle connections by it.
   *
   * @param milliseconds the time; 0 for no limit
   * @param listener added as a listener of `timeout`, once; with no limit, removed
   * @throws {RangeError} if the time is negative or not finite
   */
  setTimeout(milliseconds: number, listener?: () => void): this {
    if (!(milliseconds >= 0 && milliseconds < Infinity)) {
      throw new RangeError(`Cannot wait ${milliseconds} ms for a timeout: it takes 0 or more`);
    }
    clearTimeout(this.#idle);
    this.timeout = milliseconds;
    this.#idle = milliseconds > 0 && !this.destroyed
      ? setTimeout(() => this.emit("timeout"), Math.min(milliseconds, 0x7fffffff)).unref()
      : undefined;
    if (listener) milliseconds > 0 ? this.once("timeout", listener) : this.off("timeout", listener);
    return this;
  }

  /** This connection as web streams, with backpressure both ways. The stream itself is then not to be used any more. */
  webStreams(): WebStreams {
    return webStreams(this);
  }

  /** As a Writable's, but once it has ended, ending it again makes no error: node:http does so with each connection. */
  override end(...parameters: unknown[]): this {
    if (this.writableEnded && parameters.length === 0) return this;
    return Reflect.apply(super.end, this, parameters);
  }

  /** For node:stream. */
  override _read(): void {
    this.tls.resume();
  }

  /** For node:stream. */
  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    this.#send(parts([chunk]), done);
  }

  /** For node:stream: what was written in one go is sent in one record, if it is not much. */
  override _writev(chunks: { chunk: Uint8Array }[], done: (error?: Error | null) => void): void {
    this.#send(parts(chunks.map(({ chunk }) => chunk)), done);
  }

  /** Sends part after part, each when the ones before it are gone, so that little is held however much is written. */
  #send(rest: Iterator<Uint8Array>, done: (error?: Error | null) => void): void {
    while (true) {
      this.#idle?.refresh();
      const { value: part } = rest.next();
      if (!part) return done();
      this.#bytesWritten += part.length;
      try {
        if (this.tls.write(part)) continue;
      } catch (error) {
        return done(error as Error);
      }
      if (this.tls.isClosed) done(closedError());
      else this.#drained = (error) => error ? done(error) : this.#send(rest, done);
      return;
    }
  }

  #goOn(error?: Error): void {
    const drained = this.#drained;
    this.#drained = undefined;
    drained?.(error);
  }

  /** For node:stream. */
  override _final(done: (error?: Error | null) => void): void {
    this.tls.end();
    done();
  }

  /** For node:stream. */
  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#idle);
    this.tls.destroy();
    // A write that waits for the peer would wait for ever.
    if (this.#drained) this.#goOn(error ?? closedError());
    done(error);
  }
}

function family(address: string): "IPv4" | "IPv6" {
  return isIPv6(address) ? "IPv6" : "IPv4";
}

function closedError(): Error {
  return Object.assign(new Error("Cannot write: the connection is closed"), { code: "EPIPE" });
}

/** The same bytes in parts of a good size: small ones are joined, large ones divided. */
function* parts(chunks: readonly Uint8Array[]): Generator<Uint8Array, undefined> {
  let small: Uint8Array[] = [];
  let length = 0;
  for (const chunk of chunks) {
    let rest = chunk;
    if (length + rest.length > partLength) {
      if (length > 0) yield joined(small);
      for (; rest.length > partLength; rest = rest.subarray(partLength)) yield rest.subarray(0, partLength);
      small = [];
      length = 0;
    }
    small.push(rest);
    length += rest.length;
  }
  if (length > 0) yield joined(small);
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
}
