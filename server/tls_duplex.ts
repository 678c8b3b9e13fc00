import { Buffer } from "node:buffer";
import { clearTimeout, setTimeout } from "node:timers";
import { codedError } from "./coded_error.ts";
import { NodeTlsSocket } from "./node_tls_socket.ts";
import {
  type ConnectionHandler,
  joinTls,
  type LowerSocket,
  type TlsSocket,
  type TlsSocketHandlers,
} from "./tls_socket.ts";
import { type WebStreams, webStreams } from "./web_streams.ts";

/** What is encrypted at a time: seven records, which go out in one piece, and not more before a slow peer takes it. */
const partLength = 7 * 16_384;

/** For how long a stream may be left unread when the other side has ended, in milliseconds. */
const unreadTimeout = 5000;

/**
 * What makes each connection a stream. For listen() and connect().
 *
 * @param allowHalfOpen whether this side goes on when the other one has ended; left out, where somebody listens for `end`
 */
export let streamConnections: (onStream: (stream: TlsDuplex) => void, allowHalfOpen?: boolean) => ConnectionHandler;

/**
 * A TLS connection as a node:stream Duplex, which node:http, node:http2 and the frameworks on them accept as a
 * connection. It has what a TLSSocket of node:tls offers, by the same names; what was negotiated can still be asked for
 * when the connection is closed.
 *
 * It differs from a TLSSocket where that is safer: an `error` that nobody listens for does not end the process, as
 * clients can cause one at will; `listen`'s `onError` is told of it.
 *
 * The other side's end ends this side too, once all was read and what was written is sent; `allowHalfOpen` says
 * otherwise. A write's callback is called when the system has taken the bytes, and `finish` is emitted when it has taken
 * all of them and the FIN: to destroy the stream then loses nothing.
 *
 * @see https://nodejs.org/api/tls.html#class-tlstlssocket
 *
 * @example
 * ```ts
 * import { listen, selfSigned } from "@openssl-sessions/openssl-sessions";
 *
 * await using server = await listen({ ...selfSigned(), hostname: "127.0.0.1" }, (stream) => void stream.pipe(stream));
 * ```
 */
export class TlsDuplex extends NodeTlsSocket {
  /** After how many idle milliseconds `timeout` is emitted; 0 for never. See {@linkcode TlsDuplex.setTimeout}. */
  timeout = 0;
  #bytesRead = 0;
  #bytesWritten = 0;
  readonly #lower: LowerSocket;
  readonly #endsItself: boolean;
  /** What node:stream waits for: that a write, or the end, is with the system. */
  #unsent: ((error?: Error | null) => void) | undefined;
  readonly #sent: (error?: Error) => void;
  /** How many bytes were given to be sent in one go. */
  #inHand = 0;
  #hasEnded = false;
  #isOver = false;
  #idle: ReturnType<typeof setTimeout> | undefined;
  #unread: ReturnType<typeof setTimeout> | undefined;

  private constructor(tls: TlsSocket, allowHalfOpen: boolean | undefined) {
    super(tls, { allowHalfOpen: allowHalfOpen !== false });
    this.#endsItself = allowHalfOpen === undefined;
    this.#lower = joinTls(tls, this);
    this.#sent = (error) => {
      const unsent = this.#unsent;
      this.#unsent = undefined;
      this.#inHand = 0;
      unsent?.(error);
    };
    this.on("error", () => {});
  }

  static {
    streamConnections = (onStream, allowHalfOpen) => (socket) => {
      const stream = new TlsDuplex(socket, allowHalfOpen);
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
      end: () => this.#ended(),
      close: (_socket, error) => this.#closed(error),
    };
  }

  #ended(): void {
    this.#hasEnded = true;
    if (this.#endsItself) {
      // It is no listener any more when it is called.
      this.prependOnceListener("end", () => this.allowHalfOpen = this.listenerCount("end") > 0);
    }
    this.push(null);
    // Has `end` emitted also where nobody reads, if there is nothing to read.
    this.read(0);
    if (this.allowHalfOpen && !this.#endsItself || this.readableEnded || this.readableLength === 0) return;
    this.#unread = setTimeout(() => {
      if (this.readableFlowing !== null) return;
      this.destroy(new Error(`Nobody read what the other side had sent in ${unreadTimeout} ms after its end`));
    }, unreadTimeout).unref();
  }

  #closed(error = this.writableLength > 0 ? closedError() : undefined): void {
    if (error || !this.#hasEnded || this.readableEnded) return void this.destroy(error);
    // What came before the end is still to be read.
    this.#isOver = true;
    this.once("end", () => this.destroy());
  }

  /**
   * Whether the other side has said by TLS that it sends no more, before its end. See
   * {@linkcode TlsSocket.wasClosedCleanly}.
   */
  get wasClosedCleanly(): boolean {
    return this.tls.wasClosedCleanly;
  }

  /** How many bytes of plaintext have come. */
  get bytesRead(): number {
    return this.#bytesRead;
  }

  /** How many bytes of plaintext were sent, those that are on their way among them. */
  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /**
   * Ends this side when all that was written is sent. The connection is closed when the other side ends as well, which
   * it has a few seconds for.
   */
  destroySoon(): void {
    this.end();
  }

  /**
   * Emits `timeout` when nothing was read or written for this long, and again when that has happened anew after more
   * came or went, as node:net's sockets do: node:http ends idle connections by it.
   *
   * @param milliseconds the time; 0 for no limit
   * @param listener added as a listener of `timeout`, once; with no limit, removed
   * @throws {RangeError} if the time is negative or not finite
   * @throws {TypeError} if it is no number, or the listener no function
   */
  setTimeout(milliseconds: number, listener?: () => void): this {
    if (typeof milliseconds !== "number" || listener !== undefined && typeof listener !== "function") {
      throw new TypeError("Cannot set this timeout: it takes a number of milliseconds, and a function if any");
    }
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

  /**
   * As a Writable's. Whoever goes on writing though `maxBufferedBytes` wait already, beside what is being sent, has the
   * connection closed. What is written in one go, however much, is one piece: answers of HTTP are.
   */
  override write(chunk: unknown, callback?: (error: Error | null | undefined) => void): boolean;
  /** The same, for text. */
  override write(
    chunk: unknown,
    encoding?: BufferEncoding,
    callback?: (error: Error | null | undefined) => void,
  ): boolean;
  override write(chunk: unknown, encoding?: unknown, callback?: unknown): boolean {
    if (this.writableCorked === 0) this.#holdToLimit();
    return super.write(chunk, encoding as BufferEncoding, callback as () => void);
  }

  /** As a Writable's. What is written until it is uncorked is one piece. */
  override cork(): void {
    if (this.writableCorked === 0) this.#holdToLimit();
    super.cork();
  }

  #holdToLimit(): void {
    const waiting = this.writableLength - this.#inHand;
    if (waiting > 0) this.#lower.holdToLimit(waiting);
  }

  /** For node:stream. */
  override _read(): void {
    this.tls.resume();
  }

  /** For node:stream. */
  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    this.#send([chunk], done);
  }

  /** For node:stream: what was written in one go is sent in one record, if it is not much. */
  override _writev(chunks: { chunk: Uint8Array }[], done: (error?: Error | null) => void): void {
    this.#send(chunks.map(({ chunk }) => chunk), done);
  }

  #send(chunks: readonly Uint8Array[], done: (error?: Error | null) => void): void {
    this.#unsent = done;
    this.#inHand = this.writableLength;
    this.#sendParts(parts(chunks));
  }

  /** Sends part after part, each when the ones before it are gone, so that little is held however much is written. */
  #sendParts(rest: Iterator<Uint8Array>): void {
    while (true) {
      this.#idle?.refresh();
      const { value: part } = rest.next();
      if (!part) return this.#lower.whenSent(this.#sent);
      this.#bytesWritten += part.length;
      try {
        if (this.tls.write(part)) continue;
      } catch (error) {
        return this.#sent(error as Error);
      }
      if (this.tls.isClosed) this.#sent(closedError());
      // Else the end of the connection tells of it.
      else if (this.#lower.takesData()) this.#lower.whenSent(() => this.#sendParts(rest));
      return;
    }
  }

  /** For node:stream. */
  override _final(done: (error?: Error | null) => void): void {
    if (this.#isOver) return done();
    this.#unsent = done;
    this.tls.end();
    this.#lower.whenSent(this.#sent);
  }

  /** For node:stream. */
  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#idle);
    clearTimeout(this.#unread);
    this.tls.destroy();
    // A write that waits for the peer would wait for ever.
    this.#sent(error ?? closedError());
    done(error);
  }
}

function closedError(): Error {
  return codedError("Cannot write: the connection is closed", "EPIPE");
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
