import { flag } from "../ssl/option_kinds.ts";
import { type OptionKinds, pickOptions, readOptions } from "../ssl/options.ts";
import { type Server, startServer } from "./server.ts";
import { streamConnections, type TlsDuplex } from "./tls_duplex.ts";
import type { ConnectionHandler, TlsSocket, TlsSocketHandlers } from "./tls_socket.ts";
import { serverKinds, type TlsServerOptions } from "./tls_server_options.ts";

/** What the sockets of {@linkcode listen} call where they are driven by events. One object serves all of them. */
export interface ListenHandlers extends TlsSocketHandlers {
  /** A connection is there, its handshake done. */
  open?(socket: TlsSocket): void;
}

/** The options of {@linkcode listen}. */
export interface ListenServerOptions extends TlsServerOptions {
  /**
   * Whether a stream whose other side has ended stays until this side ends as well. If false, this side ends by itself
   * when all was read. By default that depends on whether somebody listens for the stream's `end`: who does is to end it.
   */
  allowHalfOpen?: boolean;
}

const kinds: OptionKinds<ListenServerOptions> = { ...serverKinds, allowHalfOpen: flag };

/**
 * Listens for TLS connections, on the runtime's own sockets. Sessions are kept in memory, or where `sessions` says.
 *
 * @param options certificates, and where to listen
 * @param onConnection called with each connection whose handshake is done, a stream; or an object with what sockets are
 *   to call, which costs less than streams do
 * @returns the server, once it listens
 * @throws {Error} if it cannot listen: the port is in use, or the address is not this machine's
 * @throws {OpenSslError} if OpenSSL refuses a certificate or another option; the message says which
 * @throws {TypeError} for an option that is not known, or of another type; and {RangeError} for one out of range
 *
 * @example An echo server
 * ```ts
 * import { listen, selfSigned } from "@openssl-sessions/openssl-sessions";
 *
 * await using server = await listen({ ...selfSigned(), hostname: "127.0.0.1" }, (socket) => void socket.pipe(socket));
 * console.log(`Listening on port ${server.port}`);
 * ```
 *
 * @example The same, driven by events
 * ```ts
 * import { listen, selfSigned } from "@openssl-sessions/openssl-sessions";
 *
 * await using server = await listen({ ...selfSigned(), hostname: "127.0.0.1" }, {
 *   data: (socket, bytes) => void (socket.write(bytes) || socket.pause()),
 *   drain: (socket) => socket.resume(),
 * });
 * ```
 */
export async function listen(
  options: ListenServerOptions,
  onConnection: ((socket: TlsDuplex) => void) | ListenHandlers,
): Promise<Server> {
  const read = readOptions("listen()", kinds, options);
  const handler = handlerOf(onConnection, read.allowHalfOpen);
  return await startServer(pickOptions(serverKinds, read), { onConnection: handler, grace: 0 });
}

/** The same, with handlers of their own for each socket. */
export async function listenSockets(options: TlsServerOptions, onConnection: ConnectionHandler): Promise<Server> {
  return await startServer(readOptions("listen()", serverKinds, options), { onConnection, grace: 0 });
}

function handlerOf(
  onConnection: ((socket: TlsDuplex) => void) | ListenHandlers,
  allowHalfOpen: boolean | undefined,
): ConnectionHandler {
  if (typeof onConnection === "function") return streamConnections(onConnection, allowHalfOpen);
  if (typeof onConnection !== "object" || onConnection === null) {
    throw new TypeError("Cannot listen without a handler of connections: give a function, or an object of handlers");
  }
  if (allowHalfOpen !== undefined) {
    throw new TypeError("Cannot use allowHalfOpen with handlers: their sockets stay where they have `end`");
  }
  return (socket) => {
    onConnection.open?.(socket);
    return onConnection;
  };
}
