import { Deadlines } from "../cache/deadlines.ts";
import type { BunUpgrader } from "./fetch_handler.ts";
import type { Entrance } from "./entrance.ts";
import { Hop, type HopOwner } from "./hop.ts";
import { answerOf } from "./answer.ts";
import type { HttpServerParts } from "./http_server.ts";
import { lateHeads } from "./late_heads.ts";
import type { ConnectionHandler, TlsSocket } from "./tls_socket.ts";

/** For how long the HTTP server may take to notice that a client has gone, in milliseconds. */
const patience = 5000;

/** So many bytes in the time for a head give a client more time. */
const longHead = 16 * 1024;

/** All ways to one HTTP server inside the process. */
export class Hops {
  readonly #parts: HttpServerParts;
  readonly #entrance: () => Entrance;
  readonly #open = new Set<Hop>();
  #isFinishing = false;
  readonly #leaving = new Deadlines<Hop>(patience, (hop) => hop.giveUp());
  readonly #heads: Deadlines<TlsSocket> | undefined;
  readonly #waiting = new WeakSet<Hop>();

  /** @param entrance answers the one for the next connection */
  constructor(parts: HttpServerParts, entrance: () => Entrance) {
    this.#parts = parts;
    this.#entrance = entrance;
    this.#heads = lateHeads(parts);
  }

  /** Takes a TLS connection over. */
  readonly onConnection: ConnectionHandler = (socket) => {
    if (this.#isFinishing) {
      socket.end();
      return {};
    }
    const hop = new Hop(socket, this.#owner, this.#entrance());
    this.#open.add(hop);
    this.#await(hop);
    return hop.start();
  };

  /** Answers a request. One that did not come from a connection of ours is refused. */
  answer(
    request: Request,
    hop: Hop | undefined,
    server?: BunUpgrader,
  ): Promise<Response | undefined> | Response | undefined {
    if (!hop) return new Response(null, { status: 403, headers: { connection: "close" } });
    hop.hadRequest = true;
    hop.underWay++;
    this.#stopWaiting(hop);
    return answerOf(this.#parts, secured(request), hop.info(server), hop.socket, (isUpgraded) => {
      // A WebSocket asks for nothing more.
      if (!isUpgraded) hop.underWay--;
    });
  }

  /** Takes no more connections: those whose handshake ends only now are ended. */
  finish(): void {
    this.#isFinishing = true;
  }

  /** Ends the connections that no request has come on. */
  endUnused(): void {
    for (const hop of this.#open) if (!hop.hadRequest) hop.socket.end();
  }

  /** Gives its timer back. */
  close(): void {
    this.#heads?.close();
    this.#leaving.close();
  }

  readonly #owner: HopOwner = {
    awaitsRequest: (hop, length) => {
      // Of HTTP/2 there is no telling whether it is a request that comes.
      if (hop.isHttp2) return;
      if (this.#waiting.has(hop)) {
        // What is long is no head, but the rest of a request that is answered already.
        hop.heard += length;
        if (hop.heard < longHead) return;
      }
      this.#await(hop);
    },
    answers: (hop) => {
      if (hop.hadRequest) this.#stopWaiting(hop);
    },
    leaves: (hop) => {
      this.#stopWaiting(hop);
      this.#leaving.add(hop);
    },
    failed: ({ socket }, cause) => {
      const error = new Error(`Cannot reach the HTTP server inside the process: ${cause.message}`, { cause });
      this.#parts.onError(error, { kind: "connection", socket });
    },
    closed: (hop) => {
      this.#open.delete(hop);
      this.#leaving.delete(hop);
      this.#stopWaiting(hop);
    },
  };

  #await(hop: Hop): void {
    if (!this.#heads) return;
    hop.heard = 0;
    this.#waiting.add(hop);
    this.#heads.add(hop.socket);
  }

  #stopWaiting(hop: Hop): void {
    if (this.#waiting.delete(hop)) this.#heads?.delete(hop.socket);
  }
}

// The HTTP server sees what comes out of TLS.
const url = Object.getOwnPropertyDescriptor(Request.prototype, "url")!.get!;
const securedUrl = {
  configurable: true,
  get(this: Request): string {
    return url.call(this).replace(/^http:/, "https:");
  },
};

function secured(request: Request): Request {
  return Object.defineProperty(request, "url", securedUrl);
}
