import { Deadlines } from "../cache/deadlines.ts";
import type { BunUpgrader } from "./fetch_handler.ts";
import type { Entrance } from "./entrance.ts";
import { Hop, type HopOwner } from "./hop.ts";
import { answerOf } from "./answer.ts";
import type { HttpServerParts } from "./http_server.ts";
import { secure } from "./request_url.ts";
import type { ConnectionHandler } from "./tls_socket.ts";

/** For how long the HTTP server may take to notice that a client has gone, in milliseconds. */
const patience = 5000;

/** All ways to one HTTP server inside the process. */
export class Hops {
  readonly #parts: HttpServerParts;
  readonly #entrance: () => Entrance;
  readonly #open = new Set<Hop>();
  #isFinishing = false;
  readonly #leaving = new Deadlines<Hop>(patience, (hop) => hop.giveUp());

  /** @param entrance answers the one for the next connection */
  constructor(parts: HttpServerParts, entrance: () => Entrance) {
    this.#parts = parts;
    this.#entrance = entrance;
  }

  /** Takes a TLS connection over. */
  readonly onConnection: ConnectionHandler = (socket) => {
    if (this.#isFinishing) {
      socket.end();
      return {};
    }
    const hop = new Hop(socket, this.#owner, this.#entrance());
    this.#open.add(hop);
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
    const authority = hop.authorityOf(request);
    if (authority === undefined) return new Response(null, { status: 400 });
    return answerOf(this.#parts, secure(request, authority), hop.info(server), hop.socket);
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
    this.#leaving.close();
  }

  readonly #owner: HopOwner = {
    leaves: (hop) => this.#leaving.add(hop),
    failed: ({ socket }, cause) => {
      const error = new Error(`Cannot reach the HTTP server inside the process: ${cause.message}`, { cause });
      this.#parts.onError(error, { kind: "connection", socket });
    },
    closed: (hop) => {
      this.#open.delete(hop);
      this.#leaving.delete(hop);
    },
  };
}
