import { wasThrownByCallback } from "../ssl/calls.ts";
import { SslConnection } from "../ssl/connection.ts";
import type { SslContext } from "../ssl/context.ts";
import type { Session } from "../ssl/session.ts";
import { ignoredSocket, type RawSocket, type RawSocketEvents } from "./raw_socket.ts";
import { socketsOfThisRuntime } from "./sockets.ts";
import {
  closingDeadlines,
  startTls,
  type TlsSocket,
  type TlsSocketHandlers,
  type TlsSocketOwner,
} from "./tls_socket.ts";

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
export async function connect(options: ConnectOptions, handlers: TlsSocketHandlers = {}): Promise<TlsSocket> {
  const { context, hostname, port, serverName = hostname, session, handshakeTimeout = 10_000 } = options;
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw new RangeError(`Cannot connect to port ${port}: there are 1 to 65535`);
  }
  if (!(handshakeTimeout > 0 && handshakeTimeout <= 0x7fffffff)) {
    throw new RangeError(`Cannot wait ${handshakeTimeout} ms for a handshake: it takes 1 to 2147483647`);
  }
  if (typeof serverName !== "string" || serverName === "") {
    throw new TypeError("Cannot connect without a server name: no name would be looked for in the certificate");
  }
  if (typeof handlers !== "object" || handlers === null) throw new TypeError("Cannot connect with these handlers");
  const connection = SslConnection.client(context, { serverName, ...(session && { session }) });
  const where = `${hostname}:${port}`;
  return await new Promise((resolve, reject) => {
    let connected = false;
    let told: Error | undefined;
    let socket: TlsSocket | undefined;
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      const error = new Error(`Cannot connect to ${where}: no handshake within ${handshakeTimeout} ms`);
      reject(error);
      socket?.destroy(error);
    }, handshakeTimeout);
    const closings = closingDeadlines();
    const owner: TlsSocketOwner = {
      role: "client",
      handshakes: { add() {}, delete: () => clearTimeout(timer) },
      closings,
      onOpen: (opened) => socket = opened,
      onConnection(opened) {
        connected = true;
        resolve(opened);
        return handlers;
      },
      onError(error, socket) {
        if (!connected) {
          if (error === told) return undefined;
          told = error;
          // The error is the answer: nobody gets the socket any more. One that has failed ends by itself.
          reject(error);
          if (wasThrownByCallback(error)) socket.destroy(error);
        }
        return options.onError?.(error);
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
