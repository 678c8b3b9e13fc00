import { Buffer } from "node:buffer";
import { Duplex } from "node:stream";
import { clearTimeout, setTimeout } from "node:timers";
import type { ConnectionHandler, TlsSocket, TlsSocketHandlers } from "./tls_socket.ts";

/**
 * A {@linkcode TlsSocket} as a node:stream Duplex, which node:http, node:http2 and the frameworks on them accept as a
 * connection.
 *
 * @see https://nodejs.org/api/stream.html#class-streamduplex
 *
 * @example
 * ```ts
 * import { listen, selfSigned, SslContext, TlsDuplex } from "./mod.ts";
 *
 * using context = SslContext.server(selfSigned());
 * await using server = await listen(
 *   { context, hostname: "127.0.0.1" },
 *   TlsDuplex.connections((stream) => void stream.pipe(stream)),
 * );
 * ```
 */
export class TlsDuplex extends Duplex {
  /** The socket below, which knows what was negotiated. */
  readonly tls: TlsSocket;
  /** True, as node:tls has it: frameworks look at it. */
  readonly encrypted: boolean = true;
  /** The other side's IP address. */
  readonly remoteAddress: string;
  /** The other side's port. */
  readonly remotePort: number;
  #drained: (() => void) | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;

  private constructor(tls: TlsSocket) {
    super({ allowHalfOpen: true });
    this.tls = tls;
    this.remoteAddress = tls.remoteAddress;
    this.remotePort = tls.remotePort;
  }

  /**
   * A handler for {@linkcode listen} that makes each connection a stream.
   *
   * @param onStream called with each stream
   * @returns the handler
   */
  static connections(onStream: (stream: TlsDuplex) => void): ConnectionHandler {
    return (socket) => {
      const stream = new TlsDuplex(socket);
      onStream(stream);
      return stream.#handlers();
    };
  }

  #handlers(): TlsSocketHandlers {
    return {
      data: (socket, bytes) => {
        this.#idle?.refresh();
        // A Buffer, which is what listeners of "data" expect.
        if (!this.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))) socket.pause();
      },
      drain: () => {
        const drained = this.#drained;
        this.#drained = undefined;
        drained?.();
      },
      end: () => void this.push(null),
      close: (_socket, error) => void this.destroy(error),
    };
  }

  /** For node:stream. */
  override _read(): void {
    this.tls.resume();
  }

  /** For node:stream. */
  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    this.#idle?.refresh();
    try {
      if (this.tls.write(chunk)) return done();
    } catch (error) {
      return done(error as Error);
    }
    if (this.tls.isClosed) done(new Error("Cannot write: the connection is closed"));
    else this.#drained = done;
  }

  /** For node:stream: what was written in one go is sent in one record. */
  override _writev(chunks: { chunk: Uint8Array }[], done: (error?: Error | null) => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "buffer", done);
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
    const waiting = this.#drained;
    this.#drained = undefined;
    waiting?.();
    done(error);
  }

  /**
   * Emits `timeout` when nothing was read or written for this long, as node:net's sockets do: node:http ends idle
   * connections by it.
   *
   * @param milliseconds the time; 0 for no limit
   * @param listener added as a listener of `timeout`, once
   */
  setTimeout(milliseconds: number, listener?: () => void): this {
    clearTimeout(this.#idle);
    this.#idle = milliseconds > 0 ? setTimeout(() => this.emit("timeout"), milliseconds).unref() : undefined;
    if (listener) this.once("timeout", listener);
    return this;
  }
}
