import type { IncomingMessage, ServerResponse } from "node:http";
import { Deadlines } from "../cache/deadlines.ts";
import type { ConnectionEmitter } from "./http_connections.ts";
import type { TlsDuplex } from "./tls_duplex.ts";

/** What a connection is at. */
interface Progress {
  /** How many requests are under way: several if they are pipelined. */
  underWay: number;
  /** How much had been read when the last one was over; -1 before the first. */
  read: number;
  latest?: { request: IncomingMessage; response: ServerResponse };
}

/** How many requests a client may have under way: Node begins with each that comes, whether those before are answered or not. */
export interface Pipeline {
  readonly most: number;
  overflow(stream: TlsDuplex): void;
}

/** As Node has it, for a request that crosses with the end. */
const keepAliveBuffer = 1000;

/** For how long those that were refused may take to go. */
const patience = 1000;

const requestTimedOut = "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n";

/**
 * The HTTP/1.1 connections that a server of node:http was handed, in its stead: it knows only those that it has accepted
 * itself. They are held to its time limits, as Node and Deno enforce `headersTimeout` and `requestTimeout` only for a
 * server that listens, and Bun enforces none of the three for what it is handed.
 */
export class Http1Connections {
  readonly #server: ConnectionEmitter;
  readonly #pipeline: Pipeline | undefined;
  readonly #connections = new Map<TlsDuplex, Progress>();
  readonly #events = new Set<string>();
  #headers: Deadlines<TlsDuplex> | undefined;
  #requests: Deadlines<TlsDuplex> | undefined;
  #idle: Deadlines<TlsDuplex> | undefined;
  #leaving: Deadlines<TlsDuplex> | undefined;
  #isFinishing = false;

  constructor(server: ConnectionEmitter, pipeline: Pipeline | undefined) {
    this.#server = server;
    this.#pipeline = pipeline;
  }

  /** Begins with a connection. */
  watch(stream: TlsDuplex): void {
    if (this.#connections.size === 0) this.#begin();
    this.#listen();
    this.#connections.set(stream, { underWay: 0, read: -1 });
    this.#headers?.add(stream);
    stream.once("close", () => this.#forget(stream));
  }

  /** Ends each connection when the requests that are under way are answered. WebSockets stay. */
  finish(): void {
    this.#isFinishing = true;
    for (const [stream, { underWay, read }] of this.#connections) {
      if (underWay === 0 && (read >= 0 || stream.bytesRead === 0)) stream.end();
    }
  }

  /** Reads the limits, which may have been set meanwhile. */
  #begin(): void {
    const { headersTimeout = 0, requestTimeout = 0, keepAliveTimeout = 0 } = this.#server;
    const idleTime = keepAliveTimeout && keepAliveTimeout + keepAliveBuffer;
    this.#headers = deadlines(headersTimeout, (stream) => this.#headersAreLate(stream));
    this.#requests = deadlines(requestTimeout, (stream) => this.#requestIsLate(stream));
    this.#idle = deadlines(idleTime, (stream) => this.#isIdle(stream) && stream.end());
    this.#leaving = deadlines(patience, (stream) => stream.destroy());
  }

  /** Has itself told of requests. Where the application does not listen, listening would change what the server does. */
  #listen(): void {
    for (const event of ["request", "checkContinue", "checkExpectation", "upgrade", "connect"]) {
      if (this.#events.has(event) || this.#server.listenerCount(event) === 0) continue;
      this.#events.add(event);
      const isHandedOver = event === "upgrade" || event === "connect";
      this.#server.prependListener(event, (request, response) => {
        const stream = request.socket as unknown as TlsDuplex;
        if (isHandedOver) this.#forget(stream);
        else this.#requested(stream, request, response);
      });
    }
  }

  #requested(stream: TlsDuplex, request: IncomingMessage, response: ServerResponse): void {
    const progress = this.#connections.get(stream);
    if (!progress) return;
    if (this.#pipeline && progress.underWay >= this.#pipeline.most) {
      this.#forget(stream);
      this.#pipeline.overflow(stream);
      return;
    }
    progress.underWay++;
    progress.latest = { request, response };
    this.#headers?.delete(stream);
    this.#idle?.delete(stream);
    this.#requests?.add(stream);
    response.once("close", () => {
      if (--progress.underWay > 0 || !this.#connections.has(stream)) return;
      delete progress.latest;
      progress.read = stream.bytesRead;
      if (this.#isFinishing) stream.end();
      this.#requests?.delete(stream);
      this.#headers?.add(stream);
      this.#idle?.add(stream);
    });
  }

  /** Whether nothing of another request has come yet. */
  #isIdle(stream: TlsDuplex): boolean {
    return this.#connections.get(stream)?.read === stream.bytesRead;
  }

  #headersAreLate(stream: TlsDuplex): void {
    // The time of those that are idle between requests is another one. They are looked at again.
    if (this.#isIdle(stream)) {
      queueMicrotask(() => this.#connections.has(stream) && this.#headers?.add(stream));
      return;
    }
    this.#refuse(stream);
  }

  #requestIsLate(stream: TlsDuplex): void {
    const latest = this.#connections.get(stream)?.latest;
    if (!latest || latest.request.complete) return;
    if (latest.response.headersSent) stream.destroy();
    else this.#refuse(stream);
  }

  #refuse(stream: TlsDuplex): void {
    if (stream.writable) stream.end(requestTimedOut);
    this.#leaving?.add(stream);
  }

  #forget(stream: TlsDuplex): void {
    if (!this.#connections.delete(stream)) return;
    const all = [this.#headers, this.#requests, this.#idle, this.#leaving];
    for (const deadlines of all) deadlines?.delete(stream);
    // The last one takes the timers with it.
    if (this.#connections.size === 0) { for (const deadlines of all) deadlines?.close(); }
  }
}

function deadlines(milliseconds: number, expire: (stream: TlsDuplex) => void): Deadlines<TlsDuplex> | undefined {
  return milliseconds > 0 ? new Deadlines(milliseconds, expire) : undefined;
}
