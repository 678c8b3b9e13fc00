import type { IncomingMessage, ServerResponse } from "node:http";
import { Http1Connections, type Pipeline } from "./http1_connections.ts";
import type { TlsDuplex } from "./tls_duplex.ts";

/** The part of node:http's and node:http2's servers that connections are handed to. */
export interface ConnectionEmitter {
  /** For how long a client may take for a request's head, in milliseconds; 0 for no limit. */
  readonly headersTimeout?: number;
  /** For how long a client may take for a whole request; 0 for no limit. */
  readonly requestTimeout?: number;
  /** For how long a connection may be idle between requests; 0 for no limit. */
  readonly keepAliveTimeout?: number;
  /** How many listen. */
  listenerCount(event: string): number;
  /** For the beginning of requests. */
  prependListener(event: string, listener: (request: IncomingMessage, response: ServerResponse) => void): unknown;
  /** Hands a connection over. */
  emit(event: "connection", stream: TlsDuplex): boolean;
  /** For the session of HTTP/2 that node:http2 makes of a connection. */
  on(event: "session", listener: (session: { readonly socket: object }) => void): unknown;
  /** Takes a listener away. */
  off(event: "session", listener: (session: { readonly socket: object }) => void): unknown;
}

/**
 * A handler for {@linkcode listen} that hands each connection to a server of node:http, or of a framework on it. The
 * server itself listens nowhere. In its handlers, `request.socket` is the {@linkcode TlsDuplex}. The server's
 * `headersTimeout`, `requestTimeout` and `keepAliveTimeout` hold, on all runtimes.
 *
 * @param server the server, from `createServer` of node:http
 * @returns the handler
 *
 * @example
 * ```ts
 * import { createServer } from "node:http";
 * import { httpConnections, listen, selfSigned } from "@openssl-sessions/openssl-sessions";
 *
 * const http = createServer((_request, response) => response.end("Hello\n"));
 * await using server = await listen({ ...selfSigned(), hostname: "127.0.0.1" }, httpConnections(http));
 * console.log(`https://localhost:${server.port}`);
 * ```
 */
export function httpConnections(server: ConnectionEmitter): (stream: TlsDuplex) => void {
  return handOver(server).take;
}

/** Hands connections to a server, and ends those of HTTP/1.1. For serve(). */
export function handOver(
  server: ConnectionEmitter,
  pipeline?: Pipeline,
): { take(stream: TlsDuplex): void; finish(): void } {
  // Deno ends the connections of a server that does not listen after one response.
  Object.defineProperty(server, "listening", { value: true, configurable: true });
  const http1 = new Http1Connections(server, pipeline);
  const take = (stream: TlsDuplex) => {
    if (stream.alpnProtocol !== "h2") {
      http1.watch(stream);
      server.emit("connection", stream);
      return;
    }
    // HTTP/2 knows no half-closed connections. Node ends them itself; Deno and Bun would keep them for ever.
    stream.once("end", () => stream.destroy());
    const onSession = ({ socket }: { readonly socket: object }) => describe(socket, stream);
    server.on("session", onSession);
    server.emit("connection", stream);
    server.off("session", onSession);
  };
  return { take, finish: () => http1.finish() };
}

/** What applications ask a connection for, that a plain socket does not have. */
const facts = ["encrypted", "authorized", "authorizationError", "alpnProtocol", "servername"] as const;
const methods = [
  "getPeerCertificate",
  "getPeerX509Certificate",
  "getProtocol",
  "getCipher",
  "isSessionReused",
  "getSession",
  "exportKeyingMaterial",
] as const;

/** Node puts a socket of its own between HTTP/2 and a stream: it is told what the stream knows. */
function describe(socket: { encrypted?: boolean }, stream: TlsDuplex): void {
  if (socket.encrypted) return;
  const { remoteAddress: address, remotePort: port, remoteFamily: family } = stream;
  Object.assign(
    socket,
    // Where its remoteAddress and the like come from.
    { _peername: { address, port, family }, tls: stream.tls },
    Object.fromEntries(facts.map((name) => [name, stream[name]])),
    Object.fromEntries(methods.map((name) => [name, stream[name].bind(stream)])),
  );
}
