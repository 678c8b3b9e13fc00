import type { X509Certificate } from "node:crypto";
import type { SslConnection, VerifyResult } from "../ssl/connection.ts";
import { OpenSslError } from "../ssl/openssl_error.ts";
import type { ProtocolVersion } from "../ssl/protocol.ts";
import type { Session } from "../ssl/session.ts";
import type { Deadlines } from "../cache/deadlines.ts";
import type { RawSocket, RawSocketEvents } from "./raw_socket.ts";

/**
 * What a {@linkcode TlsSocket} calls. One object may serve many sockets. If one of these throws, the socket is
 * destroyed and the error goes to `onError`.
 */
export interface TlsSocketHandlers {
  /** Plaintext came. The bytes are yours. */
  data?(socket: TlsSocket, bytes: Uint8Array): void;
  /** More can be written, after `write` answered false. */
  drain?(socket: TlsSocket): void;
  /** The other side has ended its part. Left out, this side ends as well. */
  end?(socket: TlsSocket): void;
  /** The socket is closed; for this error, if there is one. */
  close?(socket: TlsSocket, error?: Error): void;
}

/** Called with each connection whose handshake is done; answers what the socket is to call. */
export type ConnectionHandler = (socket: TlsSocket) => TlsSocketHandlers;

/** Who made a socket: listen() or connect(). */
export interface TlsSocketOwner {
  readonly role: "server" | "client";
  readonly onConnection: ConnectionHandler;
  readonly onError: (error: Error, socket: TlsSocket) => void;
  readonly onOpen: (socket: TlsSocket) => void;
  readonly onClose: (socket: TlsSocket) => void;
  readonly handshakes: Pick<Deadlines<TlsSocket>, "add" | "delete">;
  readonly closings: Deadlines<TlsSocket>;
}

/** Up to this many bytes of plaintext wait for a slow peer before `write` answers false. */
const highWaterMark = 256 * 1024;

// One of each for all sockets: what is in them is used up before anything else can run.
const ciphertext = new Uint8Array(128 * 1024);
const plaintext = new Uint8Array(64 * 1024);

const secret = Symbol("TlsSocket");

/** Puts TLS on a raw socket. Answers what the raw socket is to call. For listen() and connect(). */
export let startTls: (raw: RawSocket, connection: SslConnection, owner: TlsSocketOwner) => RawSocketEvents;

/**
 * One TLS connection over TCP, its handshake done. It comes from {@linkcode listen} or {@linkcode connect}.
 *
 * It is driven by events: see {@linkcode TlsSocketHandlers}. For node:stream there is {@linkcode TlsDuplex}.
 */
export class TlsSocket {
  readonly #raw: RawSocket;
  readonly #connection: SslConnection;
  readonly #owner: TlsSocketOwner;
  #handlers: TlsSocketHandlers = {};
  #established = false;
  #reading = false;
  #paused = false;
  /** The raw socket takes nothing more before it drains. */
  #blocked = false;
  /** Plaintext that was encrypted and not yet passed to the raw socket, in bytes. */
  #pending = 0;
  #needsDrain = false;
  #localEnded = false;
  #remoteEnded = false;
  #rawEnded = false;
  #failed = false;
  #closed = false;
  #error: Error | undefined;

  /** Not for use: sockets come from {@linkcode listen} and {@linkcode connect}. */
  private constructor(key: symbol, raw: RawSocket, connection: SslConnection, owner: TlsSocketOwner) {
    if (key !== secret) throw new TypeError("Cannot construct a TlsSocket: use listen() or connect()");
    this.#raw = raw;
    this.#connection = connection;
    this.#owner = owner;
  }

  static {
    startTls = (raw, connection, owner) => {
      const socket = new TlsSocket(secret, raw, connection, owner);
      connection.onWake = () => socket.#woken();
      return {
        open: () => socket.#open(),
        data: (bytes) => socket.#receive(bytes),
        drain: () => socket.#drained(),
        end: () => socket.#ended(),
        close: (error) => socket.#close(error),
      };
    };
  }

  /** The other side's IP address. */
  get remoteAddress(): string {
    return this.#raw.remoteAddress;
  }

  /** The other side's port. */
  get remotePort(): number {
    return this.#raw.remotePort;
  }

  /** The protocol that was negotiated: `TLSv1.3`. */
  get protocol(): ProtocolVersion {
    return this.#connection.protocol;
  }

  /** The cipher suite that was negotiated, by OpenSSL's name. */
  get cipher(): string {
    return this.#connection.cipher ?? "";
  }

  /** The application protocol (ALPN) that was agreed on: `h2`. */
  get alpnProtocol(): string | undefined {
    return this.#connection.alpnProtocol;
  }

  /** The server name (SNI) that the client asked for. */
  get serverName(): string | undefined {
    return this.#connection.serverName;
  }

  /** Whether the handshake resumed a session. */
  get isResumed(): boolean {
    return this.#connection.isResumed;
  }

  /** The certificate that the other side showed. */
  get peerCertificate(): X509Certificate | undefined {
    return this.#connection.peerCertificate;
  }

  /** How the verification of the other side's certificate ended. */
  get verifyResult(): VerifyResult {
    return this.#connection.verifyResult;
  }

  /** The connection's session, yours to dispose. See {@linkcode SslConnection.session}. */
  session(): Session | undefined {
    return this.#connection.session();
  }

  /** Whether the socket is closed. What was negotiated can no longer be asked for then: a ReleasedError. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /**
   * Encrypts and sends bytes, which are yours again when this returns.
   *
   * @returns false if much is waiting for a slow peer: better wait for `drain`. Also false, and nothing is sent, once
   *   the socket is closed
   * @throws {Error} after `end()`
   */
  write(bytes: Uint8Array): boolean {
    if (this.#localEnded && !this.#closed) throw new Error("Cannot write to this socket: end() was called");
    if (this.#closed || this.#failed) return false;
    if (!this.#failing(() => this.#connection.write(bytes))) return false;
    this.#pending += bytes.length;
    this.#flush();
    this.#needsDrain = this.#pending >= highWaterMark;
    return !this.#needsDrain && !this.#closed;
  }

  /** Ends this side, after `bytes` if there are any: close_notify and FIN. The other side may still send. */
  end(bytes?: Uint8Array): void {
    if (this.#localEnded || this.#closed) return;
    if (!this.#established) {
      // There is nothing to say goodbye to yet.
      this.#localEnded = true;
      this.destroy();
      return;
    }
    const ended = this.#failing(() => {
      if (bytes) this.#connection.write(bytes);
      this.#connection.shutdown();
    });
    if (ended) this.#finish();
  }

  /** Closes at once. What was written may be lost. */
  destroy(error?: Error): void {
    if (this.#closed) return;
    this.#error ??= error;
    this.#raw.destroy();
  }

  /** Stops `data` until `resume()`. The other side is held back. */
  pause(): void {
    if (this.#paused || this.#closed) return;
    this.#paused = true;
    this.#raw.pause();
  }

  /** Lets `data` flow again. */
  resume(): void {
    if (!this.#paused || this.#closed) return;
    this.#paused = false;
    this.#raw.resume();
    if (this.#established) this.#deliver();
  }

  #open(): void {
    this.#owner.onOpen(this);
    this.#owner.handshakes.add(this);
    // A client speaks first; a server has nothing to say yet.
    if (this.#owner.role === "client") this.#advance();
  }

  #receive(bytes: Uint8Array): void {
    if (this.#closed || this.#failed) return;
    if (this.#failing(() => this.#connection.pushCiphertext(bytes))) this.#advance();
  }

  /** A handshake that was suspended can go on, or what was held back can go out. */
  #woken(): void {
    this.#advance();
    this.#sendOn();
  }

  #advance(): void {
    if (this.#closed || this.#failed) return;
    if (!this.#established && !this.#shakeHands()) return;
    this.#deliver();
  }

  /** Moves the handshake on. True once it is done. */
  #shakeHands(): boolean {
    const state = this.#tolerate(() => this.#connection.handshake());
    this.#flush();
    if (state !== "done" || this.#closed) return false;
    this.#established = true;
    this.#owner.handshakes.delete(this);
    this.#call(() => this.#handlers = this.#owner.onConnection(this));
    return !this.#closed;
  }

  /** Hands on what there is to read. */
  #deliver(): void {
    // From within a handler, say by resume(): the loop that called it goes on.
    if (this.#reading) return;
    this.#reading = true;
    try {
      while (!this.#closed && !this.#failed && !this.#paused && !this.#remoteEnded) {
        const length = this.#tolerate(() => this.#connection.read(plaintext));
        if (length === undefined || length === 0) break;
        if (length === null) {
          this.#endRemote();
          break;
        }
        // With nobody to read it, it is let go.
        if (!this.#handlers.data) continue;
        const bytes = plaintext.slice(0, length);
        this.#call(() => this.#handlers.data!(this, bytes));
      }
      // The end without close_notify that many clients are content with.
      if (this.#rawEnded && !this.#paused) this.#endRemote();
    } finally {
      this.#reading = false;
    }
    this.#flush();
  }

  #endRemote(): void {
    if (this.#remoteEnded || this.#closed || this.#failed) return;
    this.#remoteEnded = true;
    const endedFirst = this.#localEnded;
    if (this.#handlers.end) this.#call(() => this.#handlers.end!(this));
    else this.end();
    // Both have said goodbye. What this side wrote is on its way, unless the socket still holds some of it.
    if (endedFirst && !this.#holdsBack() && !this.#closed) this.#raw.destroy();
  }

  /** Makes a call whose failure ends the connection. True if it did not. What the user did wrong is thrown. */
  #failing(call: () => void): boolean {
    try {
      call();
      return true;
    } catch (error) {
      if (!(error instanceof OpenSslError) && !this.#connection.isReleased) throw error;
      this.#fail(error as Error);
      return false;
    }
  }

  /**
   * Makes a call that may throw what the user's session callbacks threw: that is reported, the connection goes on, and
   * the call is made again. A failure of the connection ends it.
   */
  #tolerate<T>(call: () => T): T | undefined {
    while (true) {
      try {
        return call();
      } catch (error) {
        if (error instanceof OpenSslError || this.#connection.isReleased) {
          this.#fail(error as Error);
          return undefined;
        }
        this.#report(error as Error);
        if (this.#closed) return undefined;
      }
    }
  }

  /** Calls one of the user's handlers. */
  #call(handler: () => void): void {
    try {
      handler();
    } catch (error) {
      this.#report(error as Error);
      this.destroy(error as Error);
    }
  }

  #report(error: Error): void {
    try {
      this.#owner.onError(error, this);
    } catch {
      // The operator's handler must not take the server with it.
    }
  }

  /** Sends what there is to send, as far as the raw socket takes it. */
  #flush(): void {
    if (this.#closed || this.#connection.isReleased || this.#connection.isHeld) return;
    let length = 0;
    while (!this.#blocked) {
      length = this.#connection.pullCiphertext(ciphertext);
      if (length > 0) this.#blocked = !this.#raw.write(ciphertext.subarray(0, length));
      if (length < ciphertext.length) break;
    }
    if (this.#blocked && (length === 0 || length === ciphertext.length)) return;
    this.#pending = 0;
    if (this.#localEnded && !this.#closed) this.#raw.end();
  }

  /** Whether there may be ciphertext that cannot go out yet. */
  #holdsBack(): boolean {
    return this.#blocked || this.#connection.isHeld;
  }

  #drained(): void {
    this.#blocked = false;
    this.#sendOn();
  }

  /** Sends what had to wait, and does what had to wait for that. */
  #sendOn(): void {
    if (this.#closed) return;
    this.#flush();
    if (this.#needsDrain && this.#pending === 0) {
      this.#needsDrain = false;
      if (this.#handlers.drain) this.#call(() => this.#handlers.drain!(this));
    }
    if (this.#closed || this.#holdsBack()) return;
    if (this.#localEnded && (this.#remoteEnded || (this.#failed && this.#rawEnded))) this.#raw.destroy();
  }

  /** The raw socket's other side ended. */
  #ended(): void {
    if (this.#closed) return;
    this.#rawEnded = true;
    if (this.#failed) this.#raw.destroy();
    else if (this.#established) this.#deliver();
    else this.#fail(new Error("The other side closed the connection during the TLS handshake"));
  }

  /** The connection cannot go on. An alert may say so to the other side. */
  #fail(error: Error): void {
    if (this.#failed || this.#closed) return;
    this.#failed = true;
    this.#error = error;
    this.#report(error);
    this.#finish();
  }

  /** Sends the rest and the FIN, and waits for the other side's, but not for ever. */
  #finish(): void {
    if (this.#closed) return;
    this.#localEnded = true;
    this.#owner.handshakes.delete(this);
    this.#owner.closings.add(this);
    this.#flush();
    if (this.#closed) return;
    // Nothing can be flushed from a connection that was disposed in a callback.
    if (this.#connection.isReleased || (this.#rawEnded && !this.#holdsBack())) this.#raw.destroy();
  }

  #close(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#owner.handshakes.delete(this);
    this.#owner.closings.delete(this);
    // A reset after both sides said goodbye is no error.
    if (!(this.#localEnded && this.#remoteEnded)) this.#error ??= error;
    if (!this.#established && !this.#failed && !this.#localEnded) {
      this.#report(this.#error ?? new Error("The other side closed the connection during the TLS handshake"));
    }
    try {
      // A peer that has vanished says nothing against its session: it is to stay good.
      if (!this.#connection.isReleased && !this.#failed) this.#connection.shutdownQuietly();
    } catch {
      // Destroyed from within a session callback of its own, where that cannot be said: the session is removed.
    }
    try {
      this.#connection.dispose();
    } catch (error) {
      this.#report(error as Error);
    }
    if (this.#established && this.#handlers.close) {
      try {
        this.#handlers.close(this, this.#error);
      } catch (error) {
        this.#report(error as Error);
      }
    }
    this.#owner.onClose(this);
  }
}
