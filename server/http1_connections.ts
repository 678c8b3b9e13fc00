import type { ServerResponse } from "node:http";
import type { TlsDuplex } from "./tls_duplex.ts";

/** The HTTP/1.1 connections of a server of node:http, which knows only those that it has accepted itself. */
export class Http1Connections {
  readonly #connections = new Map<TlsDuplex, { hadRequest: boolean; readonly underWay: Set<ServerResponse> }>();
  #isFinishing = false;

  /** A connection is there. */
  add(stream: TlsDuplex): void {
    this.#connections.set(stream, { hadRequest: false, underWay: new Set() });
    stream.once("close", () => this.#connections.delete(stream));
  }

  /** A request has come. */
  begin(stream: TlsDuplex, response: ServerResponse): void {
    const connection = this.#connections.get(stream);
    if (!connection) return;
    connection.hadRequest = true;
    connection.underWay.add(response);
    response.once("close", () => {
      connection.underWay.delete(response);
      if (this.#isFinishing && connection.underWay.size === 0) stream.end();
    });
  }

  /** Ends each connection when the requests that are under way are answered. WebSockets stay. */
  finish(): void {
    this.#isFinishing = true;
    for (const [stream, { hadRequest, underWay }] of this.#connections) {
      if (underWay.size === 0 && (hadRequest || stream.bytesRead === 0)) stream.end();
    }
  }
}
