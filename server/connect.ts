import { SslConnection } from "../ssl/connection.ts";
import type { SslContext } from "../ssl/context.ts";
import type { Session } from "../ssl/session.ts";
import { Deadlines } from "../cache/deadlines.ts";
import { ignoredSocket, type RawSocket, type RawSocketEvents } from "./raw_socket.ts";
import { socketsOfThisRuntime } from "./sockets.ts";
import { startTls, type TlsSocket, type TlsSocketHandlers, type TlsSocketOwner } from "./tls_socket.ts";

/** The options of {@linkcode connect}. */
export interface ConnectOptions {
  /** The context for the connection. It stays yours, and may be disposed while the connection lives. */
  context: SslContext;
  /** The server's address or name. */
  hostname: string;
  /** The server's port. */
  port: number;
  /** The name to ask for (SNI) and to find in the server's certificate; by default `hostname`. */
  serverName?: string;
  /** A session to resume. It stays yours. */
  session?: Session;
  /** For how long connecting and the handshake may take, in milliseconds; by default 10,000. */
  handshakeTimeout?: number;
  /** Called with what callbacks and handlers threw, and with what goes wrong on the connection. */
  onError?: (error: Error) => void;
}

/** For how long an ended connection may wait for the other side's end. */
const closingTimeout = 5000;

/**
 * Connects to a TLS server, on the runtime's own sockets.
 *
 * @param options the context, where to connect to, and a session to resume
 * @param handlers what the socket is to call
 * @returns the socket, once its handshake is done
 * @throws {OpenSslError} if the handshake fails, for a certificate that is not trusted, say
 * @throws {Error} if the server cannot be reached, or does not answer in time
 *
 * @example
 * ```ts
 * import { connect, listen, selfSigned, SslContext } from "./mod.ts";
 *
 * const credentials = selfSigned();
 * using serverContext = SslContext.server(credentials);
 * await using server = await listen({ context: serverContext, hostname: "127.0.0.1" }, () => ({}));
 *
 * using context = SslContext.client({ certificateAuthorities: credentials.certificate });
 * const socket = await connect({ context, hostname: "127.0.0.1", port: server.port });
 * console.log(socket.protocol); // TLSv1.3
 * socket.end();
 * ```
 */
export function connect(options: ConnectOptions, handlers: TlsSocketHandlers = {}): Promise<TlsSocket> {
  const { context, hostname, port, serverName = hostname, session, handshakeTimeout = 10_000 } = options;
  const connection = SslConnection.client(context, { serverName, ...(session && { session }) });
  const where = `${hostname}:${port}`;
  return new Promise((resolve, reject) => {
    let socket: TlsSocket | undefined;
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      const error = new Error(`Cannot connect to ${where}: no handshake within ${handshakeTimeout} ms`);
      reject(error);
      socket?.destroy(error);
    }, handshakeTimeout);
    const closings = new Deadlines<TlsSocket>(closingTimeout, (socket) => socket.destroy());
    const owner: TlsSocketOwner = {
      role: "client",
      handshakes: { add() {}, delete: () => clearTimeout(timer) },
      closings,
      onOpen: (opened) => socket = opened,
      onConnection(connected) {
        resolve(connected);
        return handlers;
      },
      onError(error) {
        // Before there is a connection the error is its answer; afterwards this changes nothing.
        reject(error);
        options.onError?.(error);
      },
      onClose: () => closings.close(),
    };
    function opened(raw: RawSocket): RawSocketEvents {
      if (!late) return startTls(raw, connection, owner);
      connection.dispose();
      return ignoredSocket(raw);
    }
    socketsOfThisRuntime().connect({ hostname, port }, opened).catch((cause) => {
      clearTimeout(timer);
      connection.dispose();
      reject(new Error(`Cannot connect to ${where}: ${(cause as Error).message}`, { cause }));
    });
  });
}
