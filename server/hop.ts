import type { RawSocket, RawSocketEvents } from "./raw_socket.ts";
import { socketsOfThisRuntime } from "./sockets.ts";
import type { TlsSocket, TlsSocketHandlers } from "./tls_socket.ts";

/** More than this is not kept for a hop that is not there yet: the client is held back. */
const mostWaiting = 64 * 1024;

/**
 * The way from one TLS connection to the runtime's own HTTP server, which listens inside the process: plaintext is
 * carried over a loopback connection, both ways, with backpressure both ways.
 */
export class Hop {
  readonly #socket: TlsSocket;
  readonly #opened: (port: number) => void;
  readonly #closed: (port: number) => void;
  #raw: RawSocket | undefined;
  #port = 0;
  /** What the client sent before the hop was there. */
  #early: Uint8Array[] = [];
  #earlyLength = 0;
  #ended = false;
  #isClosed = false;

  /**
   * @param opened called with the port that the HTTP server sees requests of this connection come from
   * @param closed called with it when none can come any more
   */
  constructor(socket: TlsSocket, opened: (port: number) => void, closed: (port: number) => void) {
    this.#socket = socket;
    this.#opened = opened;
    this.#closed = closed;
  }

  /** Connects to the HTTP server. Answers what the TLS socket is to call. */
  start(port: number): TlsSocketHandlers {
    socketsOfThisRuntime()
      .connect({ hostname: "127.0.0.1", port }, (raw) => this.#open(raw))
      .catch((error) => this.#socket.destroy(error));
    return {
      data: (_socket, bytes) => this.#fromClient(bytes),
      drain: () => this.#raw?.resume(),
      end: () => {
        this.#ended = true;
        this.#raw?.end();
      },
      close: () => {
        this.#isClosed = true;
        this.#raw?.destroy();
      },
    };
  }

  #open(raw: RawSocket): RawSocketEvents {
    return {
      open: () => {
        if (this.#isClosed) return raw.destroy();
        this.#raw = raw;
        this.#port = raw.localPort;
        this.#opened(this.#port);
        for (const bytes of this.#early.splice(0)) raw.write(bytes);
        if (this.#earlyLength > mostWaiting) this.#socket.resume();
        if (this.#ended) raw.end();
      },
      data: (bytes) => {
        if (!this.#socket.write(bytes)) raw.pause();
      },
      drain: () => this.#socket.resume(),
      end: () => this.#socket.end(),
      close: (error) => {
        this.#closed(this.#port);
        this.#raw = undefined;
        if (error) this.#socket.destroy();
        else this.#socket.end();
      },
    };
  }

  #fromClient(bytes: Uint8Array): void {
    if (this.#raw) {
      if (!this.#raw.write(bytes)) this.#socket.pause();
      return;
    }
    this.#early.push(bytes);
    this.#earlyLength += bytes.length;
    if (this.#earlyLength > mostWaiting) this.#socket.pause();
  }
}
