import type { MaybePromise } from "../cache/session_store.ts";
import type { TlsFacts } from "./tls_facts.ts";
import type { TlsSocket } from "./tls_socket.ts";

/**
 * Answers a request, as a handler of Deno.serve and Bun.serve does. `request.url` begins with `https:`, and
 * `request.signal` is aborted when the client goes (in Deno, unless it is told otherwise, also when the response is
 * complete). On Bun it answers undefined where it has upgraded the request to a WebSocket.
 */
export type FetchHandler = (request: Request, info: ServeInfo) => MaybePromise<Response | undefined>;

/** What a handler is told of a request's connection. All requests of one have the same. */
export class ServeInfo {
  /** The client's address, in the form that Deno has it. */
  readonly remoteAddr: { readonly transport: "tcp"; readonly hostname: string; readonly port: number };
  /** What the handshake led to: protocol, cipher, whether it resumed a session, the client's certificate. */
  readonly tls: TlsFacts;
  /** On Bun, its server, to upgrade requests to WebSockets with: `info.server.upgrade(request)`. */
  readonly server: BunUpgrader | undefined;

  /** Not for use: it is handed to the handler. */
  constructor(socket: TlsSocket, tls: TlsFacts, server?: BunUpgrader) {
    this.remoteAddr = { transport: "tcp", hostname: socket.remoteAddress, port: socket.remotePort };
    this.tls = tls;
    this.server = server;
  }
}

/** The part of Bun's Server that handlers use. */
export interface BunUpgrader {
  /** Makes the request a WebSocket, for the handlers in `websocket`. Answer undefined then. */
  upgrade(request: Request, options?: { data?: unknown; headers?: Headers | Record<string, string> }): boolean;
  /** Sends a message to all WebSockets that have subscribed to a topic. */
  publish(topic: string, data: string | ArrayBufferLike | Uint8Array, compress?: boolean): number;
}
