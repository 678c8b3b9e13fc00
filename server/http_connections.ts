import type { ConnectionHandler } from "./tls_socket.ts";
import { TlsDuplex } from "./tls_duplex.ts";

/** The part of node:http's and node:http2's servers that connections are handed to. */
export interface ConnectionEmitter {
  /** Hands a connection over. */
  emit(event: "connection", stream: TlsDuplex): boolean;
}

/**
 * A handler for {@linkcode listen} that hands each connection to a server of node:http, or of a framework on it. The
 * server itself listens nowhere. In its handlers, `request.socket` is the {@linkcode TlsDuplex}.
 *
 * @param server the server, from `createServer` of node:http
 * @returns the handler
 *
 * @example
 * ```ts
 * import { createServer } from "node:http";
 * import { httpConnections, listen, selfSigned, SslContext } from "./mod.ts";
 *
 * const http = createServer((_request, response) => response.end("Hello\n"));
 * using context = SslContext.server(selfSigned());
 * await using server = await listen({ context, hostname: "127.0.0.1" }, httpConnections(http));
 * console.log(`https://localhost:${server.port}`);
 * ```
 */
export function httpConnections(server: ConnectionEmitter): ConnectionHandler {
  // Deno ends the connections of a server that does not listen after one response.
  Object.defineProperty(server, "listening", { value: true, configurable: true });
  return TlsDuplex.connections((stream) => {
    // HTTP/2 knows no half-closed connections. Node ends them itself; Deno and Bun would keep them for ever.
    if (stream.tls.alpnProtocol === "h2") stream.once("end", () => stream.destroy());
    server.emit("connection", stream);
  });
}
