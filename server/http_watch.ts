import { Buffer } from "node:buffer";
import { Deadlines } from "../cache/deadlines.ts";
import { AnswerRoom } from "./answer_room.ts";
import { Http1Watch } from "./http1_watch.ts";
import { Http2Watch } from "./http2_watch.ts";
import type { HttpServerParts } from "./http_server.ts";
import {
  allowBuffered,
  type ConnectionHandler,
  endTls,
  isPaused,
  observe,
  type TlsSocket,
  writeTls,
} from "./tls_socket.ts";

/** So many bytes of a body, in the time for it, give a client as much time again. */
const bodyPart = 16 * 1024;

const badRequest = Buffer.from("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");

/**
 * Holds the connections of an HTTP server to its limits, by what goes over them: the server behind knows nothing of TLS,
 * and what it would do for a socket of its own it does not do for these.
 */
export class HttpWatch {
  readonly #parts: HttpServerParts;
  readonly #heads: Deadlines<Watched> | undefined;
  readonly #bodies: Deadlines<Watched> | undefined;

  constructor(parts: HttpServerParts) {
    this.#parts = parts;
    const { headerTimeout, requestTimeout, counts } = parts;
    if (headerTimeout > 0) {
      this.#heads = new Deadlines(headerTimeout, (watched) => {
        if (isPaused(watched.socket)) return watched.again(this.#heads!);
        counts.headerTimeouts++;
        watched.socket.destroy(new Error(`The client did not send a request's head in ${headerTimeout} ms`));
      });
    }
    if (requestTimeout > 0) {
      this.#bodies = new Deadlines(requestTimeout, (watched) => {
        if (isPaused(watched.socket) || watched.isHeldBack()) return watched.again(this.#bodies!);
        counts.requestTimeouts++;
        const error =
          `The client did not send ${bodyPart} bytes of a request's body, nor its end, in ${requestTimeout} ms`;
        watched.socket.destroy(new Error(error));
      });
    }
  }

  /** Watches each connection before it is handed over. */
  over(onConnection: ConnectionHandler): ConnectionHandler {
    return (socket) => {
      const watched = new Watched(socket, this.#parts, this.#heads, this.#bodies);
      const isHttp2 = socket.alpnProtocol === "h2";
      const watch = isHttp2 ? new Http2Watch(watched, this.#parts) : new Http1Watch(watched);
      if (watch instanceof Http2Watch) {
        watched.isHeldBack = () => watch.isHeldBack;
        const { maxBufferedBytes: bytes, maxConcurrentStreams: requests } = this.#parts;
        const room = new AnswerRoom({ bytes, requests, onCrowd: () => watch.crowd() });
        this.#parts.rooms.set(socket, room);
        // Bun's node:http2 writes on as far as the client's window goes, whoever says that it is to wait.
        allowBuffered(socket, () => room.bytes);
      }
      observe(socket, watch);
      watched.awaitHead(true);
      return onConnection(socket);
    };
  }

  /** Gives its timers back. */
  close(): void {
    this.#heads?.close();
    this.#bodies?.close();
  }
}

/** One connection: the time that its client has, and its end. */
export class Watched {
  readonly socket: TlsSocket;
  /** Whether the client must not send at the moment, though it is to send a body. */
  isHeldBack: () => boolean = () => false;
  /** Whether nothing more of it is read. */
  isOver = false;
  readonly #parts: HttpServerParts;
  readonly #heads: Deadlines<Watched> | undefined;
  readonly #bodies: Deadlines<Watched> | undefined;
  #awaitsHead = false;
  #awaitsBody = false;
  /** What came of bodies in the time that runs. */
  #heard = 0;

  constructor(
    socket: TlsSocket,
    parts: HttpServerParts,
    heads: Deadlines<Watched> | undefined,
    bodies: Deadlines<Watched> | undefined,
  ) {
    this.socket = socket;
    this.#parts = parts;
    this.#heads = heads;
    this.#bodies = bodies;
  }

  /** Whether a head is on its way, or has to come. */
  awaitHead(awaits: boolean): void {
    if (awaits === this.#awaitsHead) return;
    this.#awaitsHead = awaits;
    if (awaits) this.#heads?.add(this);
    else this.#heads?.delete(this);
  }

  /** Whether a body is on its way. */
  awaitBody(awaits: boolean): void {
    if (awaits === this.#awaitsBody) return;
    this.#awaitsBody = awaits;
    this.#heard = 0;
    if (awaits) this.#bodies?.add(this);
    else this.#bodies?.delete(this);
  }

  /** So much of a body came. */
  bodyCame(length: number): void {
    this.#heard += length;
    if (this.#heard < bodyPart || !this.#awaitsBody) return;
    this.#heard = 0;
    this.#bodies?.add(this);
  }

  /** Starts the time anew, once the one that is over is forgotten. */
  again(deadlines: Deadlines<Watched>): void {
    queueMicrotask(() => {
      const awaits = deadlines === this.#heads ? this.#awaitsHead : this.#awaitsBody;
      if (awaits && !this.socket.isClosed) deadlines.add(this);
    });
  }

  /** The client does not speak what was negotiated. */
  refuse(why: string): void {
    this.#parts.counts.protocolMismatches++;
    this.#parts.onError(new Error(`The client ${why}`), { kind: "connection", socket: this.socket });
    this.closed();
    writeTls(this.socket, badRequest);
    endTls(this.socket);
  }

  /** The client goes beyond a limit. */
  cut(error: Error): void {
    this.#parts.onError(error, { kind: "connection", socket: this.socket });
    this.closed();
    this.socket.destroy(error);
  }

  /** The connection is over. */
  closed(): void {
    this.isOver = true;
    this.#parts.rooms.get(this.socket)?.close();
    this.awaitHead(false);
    this.awaitBody(false);
  }
}
