import type { X509Certificate } from "node:crypto";
import { readPlaintext, type SslConnection, type VerifyResult } from "../ssl/connection.ts";
import { copyOf, requireBytes } from "../ssl/bytes.ts";
import { wasThrownByCallback, whenUnwound } from "../ssl/calls.ts";
import { OpenSslError } from "../ssl/openssl_error.ts";
import type { ProtocolVersion } from "../ssl/protocol.ts";
import type { Session } from "../ssl/session.ts";
import { Deadlines } from "../cache/deadlines.ts";
import type { MaybePromise } from "../cache/session_store.ts";
import { goneError } from "./coded_error.ts";
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

/** Who made a socket: a server or connect(). */
export interface TlsSocketOwner {
  readonly role: "server" | "client";
  readonly onConnection: ConnectionHandler;
  readonly onError: (error: Error, socket: TlsSocket) => unknown;
  readonly onOpen: (socket: TlsSocket) => void;
  readonly onClose: (socket: TlsSocket) => void;
  /**
   * Asked once the handshake is done whether the other side may come in: true, or false, or a Promise of either. What
   * it throws closes the connection as well. Left out, everybody may.
   */
  readonly admit?: ((socket: TlsSocket) => MaybePromise<boolean>) | undefined;
  /** Called before a connection is closed for going beyond a limit. */
  readonly onLimit?: (limit: "buffered bytes" | "control messages") => void;
  readonly handshakes: Pick<Deadlines<TlsSocket>, "add" | "delete">;
  readonly closings: Deadlines<TlsSocket>;
  /** More plaintext than this may not wait for the other side. */
  readonly maxBufferedBytes: number;
  /** Where bytes are counted, and what time it is for those who look for idle connections. */
  readonly traffic?: { bytesRead: number; bytesWritten: number; now: number };
}

/** Sees the plaintext of a connection before anybody else does, and says when it is active. For serve(). */
export interface SocketObserver {
  /** Bytes came. False if nobody else is to get them. */
  received(bytes: Uint8Array): boolean;
  /** Bytes are to go out. False if they are not to, yet. */
  sent(bytes: Uint8Array): boolean;
  /** What waited for the other side has gone out. */
  drained(): void;
  /** The socket is closed. */
  closed(): void;
}

/** After this many bytes during a lookup, or at the door, a client is held back: it has little to say then. */
const mostWaiting = 64 * 1024;

/** What a client may send in a row without any data: KeyUpdates, requests to renegotiate. Nobody needs that many. */
const mostControlMessages = 32;

/** Up to this many bytes of plaintext wait for a slow peer before `write` answers false. */
const highWaterMark = 256 * 1024;

// One of each for all sockets. It is taken out while it is used: reading may run callbacks, and another socket's reading
// in them, which then has one of its own.
let spareCiphertext: Uint8Array | undefined;

/** Up to this many bytes are said to be sent before they are: they go out even if the socket is destroyed right then. */
const mostPromised = 16 * 1024;

/** For how long an ended connection may wait for the other side, in milliseconds. */
const closingTimeout = 5000;

/** So much a client has to send in that time, to be listened to for as long again. */
const leastUpload = 16 * 1024;

/** The time that ended connections have, for listen() and connect(). */
export function closingDeadlines(): Deadlines<TlsSocket> {
  return new Deadlines(closingTimeout, (socket) => giveUp(socket));
}

let giveUp: (socket: TlsSocket) => void;

/** A stream above a socket. */
export interface UpperStream {
  /** How many bytes wait in it, those that are being sent among them. */
  readonly writableLength: number;
}

/** What a stream can ask of the socket below, beyond what everybody can. */
export interface LowerSocket {
  /** Whether what is written is sent. Not once it has failed, was closed, or was ended, by whomever. */
  takesData(): boolean;
  /**
   * Calls back once when the system has taken all that was written, and the FIN after the end: now, or later; at once if
   * it is little and not the end, which then goes out whatever happens on this side. Not if the socket is closed before.
   */
  whenSent(callback: () => void): void;
  /** Closes the connection if more bytes than may wait for the other side, with those that wait in the stream. */
  holdToLimit(bytes: number): void;
}

const secret = Symbol("TlsSocket");

/** Puts TLS on a raw socket. Answers what the raw socket is to call. For servers and connect(). */
export let startTls: (raw: RawSocket, connection: SslConnection, owner: TlsSocketOwner) => RawSocketEvents;
/**
 * Ends a socket whose user did not ask for it, and may go on writing in vain: when what a stream above it holds is sent.
 * For servers.
 */
export let endTls: (socket: TlsSocket) => void;
/**
 * Writes to a socket for those that stand between it and its user, who may have ended it: what comes after that goes
 * nowhere. For serve().
 */
export let writeTls: (socket: TlsSocket, bytes: Uint8Array) => void;
/** Closes a socket whose time is over. It is told if something that was written is lost by that. For servers. */
export let abandonTls: (socket: TlsSocket, error?: Error) => void;
/** Has a socket know of what waits above it. Answers how the stream asks and tells it. For TlsDuplex. */
export let joinTls: (socket: TlsSocket, stream: UpperStream) => LowerSocket;
/** When bytes last came or went, by the owner's clock. */
export let lastActive: (socket: TlsSocket) => number;
/** Puts an observer on a socket. From then on it alone says when the socket is active, by {@linkcode touch}. */
export let observe: (socket: TlsSocket, observer: SocketObserver) => void;
/** Something happened on the socket that it may be kept open for. */
export let touch: (socket: TlsSocket) => void;
/** Allows more bytes to wait for the other side than may: as many as this answers. For what is bounded elsewhere. */
export let allowBuffered: (socket: TlsSocket, bytes: () => number) => void;
/** Whether the other side takes nothing of what waits for it. */
export let isBlocked: (socket: TlsSocket) => boolean;
/** Whether the other side is held back. */
export let isPaused: (socket: TlsSocket) => boolean;
/** Whether its handshake is done. */
export let isEstablished: (socket: TlsSocket) => boolean;
/** Whether its owner was told of it as a connection: what goes wrong before that is the handshake's. */
export let isIn: (socket: TlsSocket) => boolean;
/** The connection below a socket, to be asked and not to be moved. For TlsDuplex. */
export let connectionOf: (socket: TlsSocket) => SslConnection;

/** The TCP socket below. For TlsDuplex. */
export let rawOf: (socket: TlsSocket) => RawSocket;

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
  #observer: SocketObserver | undefined;
  #established = false;
  /** Nobody has been told of the connection yet, as it is being asked whether the other side may come in. */
  #atTheDoor = false;
  #isIn = false;
  #lastActive = 0;
  #reading = false;
  /** The handshake waits for a lookup. */
  #suspended = false;
  /** Bytes that came meanwhile. */
  #waiting = 0;
  #paused = false;
  /** The raw socket takes nothing more before it drains. */
  #blocked = false;
  /** How many bytes may wait beyond the limit, and how many that was at most since all had gone. */
  #allowance: (() => number) | undefined;
  #allowed = 0;
  /** Plaintext that was encrypted and not yet passed to the raw socket, in bytes. */
  #pending = 0;
  /** Bytes that the raw socket has, and the system has not. */
  #inRaw = 0;
  /** Plaintext was written that the system has not taken yet. */
  #owesData = false;
  /** Plaintext was written that will never go out, as it came after the end. */
  #lostData = false;
  /** The stream was told that what waits is sent. */
  #promised = false;
  #needsDrain = false;
  /** The user called end(). */
  #endCalled = false;
  /** This side ends, whoever wanted it. */
  #localEnded = false;
  /** All was handed to the raw socket, and the FIN after it. */
  #finGiven = false;
  /** And the system has taken it. */
  #finSent = false;
  /** It is to end when nothing waits in the stream above any more. */
  #leaving = false;
  #stream: UpperStream | undefined;
  #onSent: (() => void) | undefined;
  /** Bytes that came since the other side was last given time to end. */
  #uploaded = 0;
  #remoteEnded = false;
  #saidGoodbye = false;
  #rawEnded = false;
  /** The raw socket is closed, or will be at once. */
  #rawIsOver = false;
  #failed = false;
  /** The user called destroy(). */
  #aborted = false;
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
      connection.onWake = () => whenUnwound(() => socket.#woken());
      return {
        open: () => socket.#open(),
        data: (bytes) => socket.#receive(bytes),
        drain: () => socket.#drained(),
        end: () => socket.#ended(),
        close: (error) => socket.#rawClosed(error),
      };
    };
    endTls = (socket) => {
      if (socket.#stream?.writableLength) socket.#leaving = true;
      else socket.#end();
    };
    writeTls = (socket, bytes) => {
      if (!socket.#endCalled) socket.write(bytes);
    };
    abandonTls = (socket, error) => socket.#abandon(error);
    joinTls = (socket, stream) => {
      socket.#stream = stream;
      return {
        takesData: () => !socket.#closed && !socket.#failed && !socket.#localEnded,
        whenSent: (callback) => socket.#whenSent(callback),
        holdToLimit: (bytes) => void socket.#holdToLimit(bytes),
      };
    };
    lastActive = (socket) => socket.#lastActive;
    observe = (socket, observer) => void (socket.#observer = observer);
    touch = (socket) => socket.#noteActivity();
    allowBuffered = (socket, bytes) => void (socket.#allowance = bytes);
    isBlocked = (socket) => socket.#blocked;
    isPaused = (socket) => socket.#paused;
    isEstablished = (socket) => socket.#established;
    isIn = (socket) => socket.#isIn;
    connectionOf = (socket) => socket.#connection;
    rawOf = (socket) => socket.#raw;
    giveUp = (socket) => {
      // Where both have said goodbye only the FIN is missing.
      const error = new Error(`The other side did not end the connection in ${closingTimeout} ms`);
      // A client that has not read all yet is not to blame the server for it.
      if (socket.#paused && !socket.#aborted && socket.#owner.role === "client") socket.#owner.closings.add(socket);
      else socket.#abandon(socket.#remoteEnded ? undefined : error);
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

  /** This side's IP address; empty once the socket is closed. */
  get localAddress(): string {
    return this.#raw.localAddress;
  }

  /** This side's port; 0 once the socket is closed. */
  get localPort(): number {
    return this.#raw.localPort;
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

  /**
   * The id of the connection's session, which who resumes it next has as `resumedSessionId`; empty where there is none.
   * With TLS 1.3 it is that of the last ticket, and at a client's end known when that has come.
   */
  get sessionId(): Uint8Array {
    return this.#connection.sessionId;
  }

  /**
   * The id of the session that was resumed; undefined for a full handshake. By it a server knows whose session it is: one
   * of FTP lets a client's data connections in that resume what its control connection was given. With TLS 1.3 each
   * connection brings a session of its own (`sessionId`), which clients may use for the next one. Such servers want
   * `singleUse: false` for their cache, and `numTickets` to be 1, as it is with one, so that no ids are left unknown. A
   * server whose context has libssl's own cache and a get callback does not know it for TLS 1.3.
   *
   * @example
   * ```ts
   * import { listen, MemoryStore, selfSigned, SessionCache } from "@openssl-sessions/openssl-sessions";
   *
   * const sessions = new SessionCache({ store: new MemoryStore(), singleUse: false });
   * const options = { ...selfSigned(), sessions, hostname: "127.0.0.1" };
   * const ids = new Set<string>();
   * await using control = await listen(options, (stream) => void ids.add(stream.sessionId.toString("hex")));
   * await using data = await listen(options, (stream) => {
   *   const resumed = stream.resumedSessionId?.toString("hex");
   *   if (resumed === undefined || !ids.has(resumed)) return void stream.destroy();
   *   ids.add(stream.sessionId.toString("hex"));
   *   stream.end("the file");
   * });
   * ```
   */
  get resumedSessionId(): Uint8Array | undefined {
    return this.#connection.resumedSessionId;
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
   * Whether the other side has said by TLS that it sends no more (close_notify). If it has ended and this is false, what
   * it sent may have been cut off by somebody in between: take it for whole only if it says itself where it ends
   * (RFC 8446, section 6.1). False as long as it has not ended.
   */
  get wasClosedCleanly(): boolean {
    return this.#saidGoodbye;
  }

  /**
   * Encrypts and sends bytes, which are yours again when this returns.
   *
   * @returns false if much is waiting for a slow peer: better wait for `drain`. Also false, and nothing is sent, once
   *   the socket is closed, has failed or was ended by the other side's end or the server's, and before its handshake is
   *   done; `close` then tells of an error
   * @throws {Error} after `end()`
   */
  write(bytes: Uint8Array): boolean {
    if (this.#closed || this.#failed || !this.#established) return false;
    if (this.#endCalled) throw new Error("Cannot write to this socket: end() was called");
    const length = requireBytes("this plaintext", bytes);
    if (this.#localEnded) {
      if (length > 0) this.#lostData = true;
      return false;
    }
    if (this.#observer && !this.#observer.sent(bytes)) return true;
    if (!this.#failing(() => this.#connection.write(bytes))) return false;
    this.#wrote(length);
    this.#flush();
    if (!this.#holdToLimit(0)) return false;
    this.#needsDrain = this.#pending >= highWaterMark;
    return !this.#needsDrain && !this.#closed;
  }

  #wrote(length: number): void {
    this.#owesData = true;
    this.#pending += length;
    if (this.#owner.traffic) this.#owner.traffic.bytesWritten += length;
  }

  /** Ends a connection whose other side lets too much wait. False if it has. */
  #holdToLimit(above: number): boolean {
    const waiting = this.#pending + above;
    // Answers that are counted elsewhere may wait beside, until all has gone.
    this.#allowed = waiting === 0 ? 0 : Math.max(this.#allowed, this.#allowance?.() ?? 0);
    const most = this.#owner.maxBufferedBytes + this.#allowed;
    // What only the raw socket has is on its way.
    if (waiting === 0 || waiting + this.#inRaw <= most || this.#closed) return true;
    this.#owner.onLimit?.("buffered bytes");
    this.#blame(new Error(`The other side does not read: ${waiting + this.#inRaw} bytes wait for it`));
    return false;
  }

  /**
   * Ends this side, after `bytes` if there are any: close_notify and FIN. The other side may still send, and is closed
   * if it is silent for 5 s when all that was written has gone out. A client is closed as well if a server hears less
   * than 16 KiB from it in 5 s. `close` tells of an error if something that was written could not be sent.
   */
  end(bytes?: Uint8Array): void {
    if (this.#endCalled || this.#closed) return;
    const copy = bytes && copyOf("this plaintext", bytes);
    if (this.#localEnded) {
      // What comes after the server's end goes nowhere.
      if (copy?.length) this.#lostData = true;
      return;
    }
    this.#endCalled = true;
    this.#end(copy);
  }

  #end(bytes?: Uint8Array): void {
    if (this.#localEnded || this.#closed) return;
    if (!this.#established) {
      // There is nothing to say goodbye to yet.
      this.#localEnded = true;
      this.destroy();
      return;
    }
    // Within a session callback no connection of its context can be used.
    whenUnwound(() => {
      if (this.#localEnded || this.#closed) return;
      const isRefused = this.#atTheDoor;
      this.#atTheDoor = false;
      try {
        if (bytes) {
          if (!this.#failing(() => this.#connection.write(bytes))) return;
          this.#wrote(bytes.length);
        }
        if (this.#failing(() => this.#connection.shutdown())) this.#finish();
        if (!isRefused) return;
        this.#letFlow();
        this.#advance();
      } catch (error) {
        this.#report(error as Error);
        this.destroy(error as Error);
      }
    });
  }

  /** Closes at once. What was written may be lost. */
  destroy(error?: Error): void {
    if (this.#closed) return;
    const goesOut = this.#promised && !this.#aborted && !this.#failed && !this.#finGiven;
    this.#aborted = true;
    if (!goesOut || this.#connection.isReleased) return this.#abandon(error);
    // As if both sides had ended: nothing is read any more, and what waits goes out, but not for ever.
    this.#error ??= error;
    this.#localEnded = this.#remoteEnded = true;
    this.#owner.closings.add(this);
    this.#flush();
  }

  /** Closes at once, though nobody wants what was written to be lost. */
  #abandon(error?: Error): void {
    if (this.#closed) return;
    this.#error ??= error;
    this.#closeRaw();
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
    // Within a session callback no connection of its context can be used.
    if (this.#established) whenUnwound(() => this.#deliver());
  }

  #open(): void {
    this.#owner.onOpen(this);
    this.#owner.handshakes.add(this);
    // A client speaks first; a server has nothing to say yet.
    if (this.#owner.role === "client") this.#advance();
  }

  #receive(bytes: Uint8Array): void {
    // After the other side's goodbye nobody reads what it sends.
    if (this.#closed || this.#failed || this.#remoteEnded) return;
    if (!this.#failing(() => this.#connection.pushCiphertext(bytes))) return;
    if (!this.#suspended && !this.#atTheDoor) return this.#advance();
    this.#waiting += bytes.length;
    if (this.#waiting > mostWaiting) this.#raw.pause();
  }

  /** A handshake that was suspended can go on, or what was held back can go out. */
  #woken(): void {
    this.#suspended = false;
    this.#letFlow();
    this.#advance();
    this.#sendOn();
  }

  /** Takes on what had to wait for a lookup or at the door. */
  #letFlow(): void {
    if (this.#waiting > mostWaiting && !this.#paused && !this.#closed) this.#raw.resume();
    this.#waiting = 0;
  }

  #touch(): void {
    if (!this.#observer) this.#noteActivity();
  }

  #noteActivity(): void {
    if (this.#owner.traffic) this.#lastActive = this.#owner.traffic.now;
  }

  #advance(): void {
    if (this.#closed || this.#failed || this.#atTheDoor) return;
    if (!this.#established && !this.#shakeHands()) return;
    this.#deliver();
  }

  /** Moves the handshake on. True once it is done. */
  #shakeHands(): boolean {
    const state = this.#tolerate(() => this.#connection.handshake());
    this.#flush();
    this.#suspended = state === "wants-lookup";
    if (state !== "done" || this.#closed) return false;
    this.#established = true;
    this.#touch();
    return this.#owner.admit ? this.#knock() : this.#welcome();
  }

  /** Asks whether the other side may come in. True if it is in. */
  #knock(): boolean {
    let answer: MaybePromise<boolean>;
    try {
      answer = this.#owner.admit!(this);
    } catch (error) {
      this.#blame(error);
      return false;
    }
    if (!isThenable(answer)) return this.#letIn(answer as boolean);
    this.#atTheDoor = true;
    Promise.resolve(answer).then((admitted) => {
      // Ended meanwhile: nobody was told of it, and nobody is now.
      if (!this.#atTheDoor || this.#closed) return;
      this.#atTheDoor = false;
      this.#letFlow();
      if (this.#letIn(admitted)) this.#advance();
    }, (error) => this.#blame(error));
    return false;
  }

  #letIn(admitted: boolean): boolean {
    if (admitted === true) return this.#welcome();
    this.destroy(new Error("The other side was refused after its handshake"));
    return false;
  }

  /** Tells of the connection. */
  #welcome(): boolean {
    this.#owner.handshakes.delete(this);
    this.#isIn = true;
    this.#call(() => {
      const handlers = this.#owner.onConnection(this);
      if (typeof handlers !== "object" || handlers === null || "then" in handlers) {
        this.#watch(handlers);
        throw new TypeError("Cannot serve this connection: its handler must answer an object with what to call");
      }
      this.#handlers = handlers;
    });
    return !this.#closed;
  }

  /** Hands on what there is to read. */
  #deliver(): void {
    // From within a handler, say by resume(): the loop that called it goes on.
    if (this.#reading) return;
    this.#reading = true;
    try {
      while (!this.#closed && !this.#failed && !this.#paused && !this.#remoteEnded) {
        const bytes = this.#read();
        // Also where a little data came after them.
        if (!this.#connection.isReleased && this.#connection.controlMessages > mostControlMessages) {
          this.#owner.onLimit?.("control messages");
          this.#blame(new Error(`The other side sent more than ${mostControlMessages} control messages and no data`));
          return;
        }
        if (bytes === undefined) break;
        if (bytes === null) {
          this.#saidGoodbye = true;
          this.#endRemote();
          break;
        }
        if (this.#owner.traffic) this.#owner.traffic.bytesRead += bytes.length;
        // Who takes nothing of what waits for it is silent, whatever it says. Records without data say nothing.
        if (!this.#blocked && bytes.length > 0) this.#touch();
        if (this.#observer && !this.#observed(this.#observer, bytes)) continue;
        if (this.#finSent && this.#handlers.data) this.#allowTime(bytes.length);
        // With nobody to read it, it is let go.
        if (this.#handlers.data) this.#call(() => this.#handlers.data!(this, bytes));
      }
      // The end without close_notify that many clients are content with.
      if (this.#rawEnded && !this.#paused) this.#endRemote();
    } finally {
      this.#reading = false;
    }
    this.#flush();
  }

  /** Whether what came goes on to the handlers. What an observer throws must cost no more than the connection. */
  #observed(observer: SocketObserver, bytes: Uint8Array): boolean {
    try {
      return observer.received(bytes);
    } catch (error) {
      this.#blame(error);
      return false;
    }
  }

  /** Who still says something that is listened to has more time to say goodbye. A client has to say enough for it. */
  #allowTime(length: number): void {
    this.#uploaded += length;
    if (this.#uploaded < leastUpload && this.#owner.role === "server") return;
    this.#uploaded = 0;
    this.#owner.closings.add(this);
  }

  /** The plaintext there is; null at the other side's goodbye. */
  #read(): Uint8Array | null | undefined {
    return this.#tolerate(() => readPlaintext(this.#connection));
  }

  #endRemote(): void {
    if (this.#remoteEnded || this.#closed || this.#failed) return;
    this.#remoteEnded = true;
    if (this.#handlers.end) this.#call(() => this.#handlers.end!(this));
    else this.#end();
    this.#closeIfOver();
  }

  /**
   * Makes a call whose failure ends the connection. True if it did not. What the user's callbacks threw is reported, as
   * the call has had its effect; what the user did wrong is thrown.
   */
  #failing(call: () => void): boolean {
    try {
      call();
      return true;
    } catch (error) {
      if (!this.#connection.isReleased) {
        if (wasThrownByCallback(error)) {
          this.#report(error as Error);
          return !this.#closed;
        }
        if (!(error instanceof OpenSslError)) throw error;
      }
      this.#fail(error as Error);
      return false;
    }
  }

  /**
   * Makes a call that may throw what the user's session callbacks threw: that is reported, the connection goes on, and
   * the call is made again. A failure of the connection ends it. Where the connection cannot be used now, it is moved
   * on later.
   */
  #tolerate<T>(call: () => T): T | undefined {
    while (true) {
      try {
        return call();
      } catch (error) {
        const isCallbacks = wasThrownByCallback(error);
        if (this.#connection.isReleased || (error instanceof OpenSslError && !isCallbacks)) {
          this.#fail(error as Error);
          return undefined;
        }
        this.#report(error as Error);
        if (this.#closed) return undefined;
        if (!isCallbacks) {
          setTimeout(() => this.#advance(), 0);
          return undefined;
        }
      }
    }
  }

  /** Calls one of the user's handlers. */
  #call(handler: () => unknown): void {
    try {
      this.#watch(handler());
    } catch (error) {
      this.#blame(error);
    }
  }

  /** An async handler's rejection is the same as what another one throws. */
  #watch(answer: unknown): void {
    if (isThenable(answer)) Promise.resolve(answer).catch((error) => this.#blame(error));
  }

  #blame(error: unknown): void {
    this.#report(error as Error);
    this.#abandon(error as Error);
  }

  #report(error: Error): void {
    try {
      const answer: unknown = this.#owner.onError(error, this);
      if (isThenable(answer)) Promise.resolve(answer).catch(() => {});
    } catch {
      // The operator's handler must not take the server with it.
    }
  }

  /** Sends what there is to send, as far as the raw socket takes it. */
  #flush(): void {
    if (this.#closed || this.#connection.isReleased || this.#connection.isHeld) return;
    const buffer = spareCiphertext ?? new Uint8Array(128 * 1024);
    spareCiphertext = undefined;
    let length = 0;
    try {
      while (!this.#blocked) {
        length = this.#connection.pullCiphertext(buffer);
        if (length > 0) {
          this.#blocked = !this.#raw.write(buffer.subarray(0, length));
          if (!this.#blocked) this.#touch();
          // Ciphertext is longer: as long as there may be more, something waits.
          this.#pending = Math.max(1, this.#pending - length);
          this.#inRaw = this.#raw.isSent ? 0 : this.#inRaw + length;
        }
        if (length < buffer.length) break;
      }
    } finally {
      spareCiphertext = buffer;
    }
    if (this.#blocked && (length === 0 || length === buffer.length)) return;
    this.#pending = 0;
    if (this.#localEnded && !this.#blocked && !this.#finGiven && !this.#closed) {
      this.#finGiven = true;
      this.#raw.end();
    }
    this.#settle();
  }

  /** The raw socket is rid of all that it had. */
  #drained(): void {
    if (this.#closed) return;
    this.#inRaw = 0;
    this.#touch();
    this.#observer?.drained();
    // Else there is nothing that waits for its turn.
    const isMore = this.#blocked;
    this.#blocked = false;
    if (this.#pending === 0) this.#owesData = false;
    if (isMore) this.#sendOn();
    else this.#settle();
  }

  /** Sends what had to wait. */
  #sendOn(): void {
    if (this.#closed) return;
    this.#flush();
    if (this.#closed || !this.#needsDrain || this.#pending > 0) return;
    this.#needsDrain = false;
    if (this.#handlers.drain) this.#call(() => this.#handlers.drain!(this));
  }

  /** Whether the system has taken all that was written, and the FIN after the end. */
  #isSent(): boolean {
    if (this.#pending > 0 || this.#connection.isHeld || !this.#raw.isSent) return false;
    return this.#finGiven || !(this.#localEnded || this.#endCalled);
  }

  /** Does what had to wait until all is with the system. */
  #settle(): void {
    if (this.#closed || !this.#isSent()) return;
    this.#owesData = false;
    this.#promised = false;
    if (this.#finGiven && !this.#finSent) {
      this.#finSent = true;
      // The time for the other side's end begins when nothing of this side's is on its way any more.
      if (!this.#failed && !this.#remoteEnded) this.#owner.closings.add(this);
    }
    this.#tellSent();
    this.#closeIfOver();
  }

  #whenSent(callback: () => void): void {
    this.#onSent = callback;
    if (this.#closed || this.#failed) return;
    if (!this.#isSent()) {
      if (this.#localEnded || this.#endCalled || this.#pending + this.#inRaw > mostPromised) return;
      this.#promised = true;
    }
    this.#tellSent();
  }

  #tellSent(): void {
    const onSent = this.#onSent;
    if (onSent && !this.#failed) {
      this.#onSent = undefined;
      onSent();
    }
    if (this.#leaving && !this.#stream!.writableLength) this.#end();
  }

  /** Closes what both sides have ended, once all of this side's is with the system. */
  #closeIfOver(): void {
    if (this.#closed || !this.#finSent) return;
    if (this.#remoteEnded || (this.#failed && this.#rawEnded)) this.#closeRaw();
  }

  #closeRaw(): void {
    const isOver = this.#rawIsOver;
    this.#rawIsOver = true;
    if (isOver) this.#close();
    else this.#raw.destroy();
  }

  #rawClosed(error?: Error): void {
    // What came before the end is still to be read by whoever has paused.
    const isUnread = this.#paused && this.#rawEnded && !this.#remoteEnded;
    if (this.#rawIsOver || error || !isUnread || this.#failed || this.#owesData) return this.#close(error);
    this.#rawIsOver = true;
  }

  /** The raw socket's other side ended. */
  #ended(): void {
    if (this.#closed) return;
    this.#rawEnded = true;
    if (this.#failed) this.#closeIfOver();
    else if (this.#atTheDoor) return;
    else if (this.#established) this.#deliver();
    else this.#fail(goneError());
  }

  /** The connection cannot go on. An alert may say so to the other side. */
  #fail(error: Error): void {
    if (this.#failed || this.#closed) return;
    this.#failed = true;
    this.#error = error;
    this.#report(error);
    this.#finish();
  }

  /** Sends the rest and the FIN. The other side's is waited for, but not for ever. */
  #finish(): void {
    if (this.#closed) return;
    this.#localEnded = true;
    this.#owner.handshakes.delete(this);
    // Whoever broke the protocol has no more time for what is left to send.
    if (this.#failed) this.#owner.closings.add(this);
    this.#flush();
    if (this.#closed) return;
    // Nothing can be flushed from a connection that was disposed in a callback.
    if (this.#connection.isReleased) this.#closeRaw();
  }

  #close(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#owner.handshakes.delete(this);
    this.#owner.closings.delete(this);
    // A reset after both sides said goodbye is no error, if nothing is lost by it.
    if (!(this.#localEnded && this.#remoteEnded) || this.#owesData) this.#error ??= error;
    if ((this.#owesData || this.#lostData) && !this.#aborted) {
      this.#error ??= new Error("The connection was closed before all that was written could be sent");
    }
    if (!this.#established && !this.#failed && !this.#localEnded) {
      this.#report(this.#error ?? goneError());
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
    // Never from within destroy(), and not before onConnection has answered.
    const isWhole = this.#localEnded && this.#remoteEnded && !this.#error;
    queueMicrotask(() => {
      this.#observer?.closed();
      // The other side did not wait for this one's goodbye, and all that was before it is sent.
      if (isWhole) this.#onSent?.();
      if (this.#established && this.#handlers.close) this.#call(() => this.#handlers.close!(this, this.#error));
      this.#owner.onClose(this);
    });
  }
}

function isThenable(answer: unknown): boolean {
  return typeof answer === "object" && answer !== null && "then" in answer;
}
