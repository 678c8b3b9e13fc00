import { SslConnection } from "../ssl/connection.ts";
import { contextPointer, contextState, SslContext } from "../ssl/context.ts";
import { Deadlines } from "../cache/deadlines.ts";
import { listenError } from "./listen_error.ts";
import { socketsOfThisRuntime } from "./sockets.ts";
import { ignoredSocket, type RawSocket, type RawSocketEvents } from "./raw_socket.ts";
import {
  closingDeadlines,
  type ConnectionHandler,
  endTls,
  startTls,
  type TlsSocket,
  type TlsSocketOwner,
} from "./tls_socket.ts";

/** The options of {@linkcode listen}. */
export interface ListenOptions {
  /** The context for the connections. It stays yours, and may be disposed once the server is closed. */
  context: SslContext;
  /** The port; 0, the default, for a free one. */
  port?: number;
  /** The address or name to listen on; by default `0.0.0.0`, all of this machine's IPv4 addresses. */
  hostname?: string;
  /** For how long a client may take for its handshake, in milliseconds; by default 10,000. */
  handshakeTimeout?: number;
  /**
   * Called with what goes wrong on a connection: handshakes that fail, protocol errors, and what callbacks and
   * handlers threw. The server goes on. What it throws is ignored. The socket is missing where there was none yet.
   */
  onError?: (error: Error, socket?: TlsSocket) => void;
}

/** A server that listens. */
export interface Listener {
  /** The address that it listens on. */
  readonly hostname: string;
  /** The port that it listens on. */
  readonly port: number;
  /** How many connections there are, those in their handshake among them. */
  readonly connections: number;
  /**
   * Stops listening and ends each connection, as `end()` does; what is written to one from then on is not sent.
   * Connections whose other side does not end as well are destroyed after a second.
   *
   * It does not wait for answers that are under way: a response of node:http that is not complete is cut off. Where
   * they are to be finished, close the server of node:http first, and this when its `close` callback was called.
   *
   * @returns a Promise that is kept when all have closed
   */
  close(): Promise<void>;
  /** The same as {@linkcode Listener.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** For how long the other sides may take when the whole server closes. */
const patience = 1000;

/**
 * Listens for TLS connections, on the runtime's own sockets.
 *
 * @param options the context, and where to listen
 * @param onConnection called with each connection whose handshake is done; answers the handlers of its events
 * @returns the server, once it listens
 * @throws {Error} if it cannot listen: the port is in use, or the address is not this machine's
 *
 * @example An echo server
 * ```ts
 * import { listen, selfSigned, SslContext } from "./mod.ts";
 *
 * using context = SslContext.server(selfSigned());
 * await using server = await listen({ context, hostname: "127.0.0.1" }, () => ({
 *   data: (socket, bytes) => void socket.write(bytes),
 * }));
 * console.log(`Listening on port ${server.port}`);
 * ```
 */
export async function listen(options: ListenOptions, onConnection: ConnectionHandler): Promise<Listener> {
  const { context, port = 0, hostname = "0.0.0.0", handshakeTimeout = 10_000, onError = () => {} } = options;
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new RangeError(`Cannot listen on port ${port}: there are 0 to 65535`);
  }
  if (!(handshakeTimeout > 0 && handshakeTimeout <= 0x7fffffff)) {
    throw new RangeError(`Cannot wait ${handshakeTimeout} ms for a handshake: it takes 1 to 2147483647`);
  }
  if (!(context instanceof SslContext)) throw new TypeError("Cannot listen without a context: give an SslContext");
  if (contextState(context).role === "client") throw new TypeError("Cannot listen with a client's context");
  if (typeof onConnection !== "function") throw new TypeError("Cannot listen without a handler of connections");
  // A disposed one says so.
  contextPointer(context);
  const sockets = new Set<TlsSocket>();
  let allClosed: (() => void) | undefined;
  const handshakes = new Deadlines<TlsSocket>(handshakeTimeout, (socket) => {
    socket.destroy(new Error(`The client did not finish its handshake in ${handshakeTimeout} ms`));
  });
  const closings = closingDeadlines();
  const owner: TlsSocketOwner = {
    role: "server",
    onConnection,
    onOpen: (socket) => void sockets.add(socket),
    onError,
    onClose: (socket) => {
      sockets.delete(socket);
      if (sockets.size === 0) allClosed?.();
    },
    handshakes,
    closings,
  };
  let isClosing = false;
  function accept(raw: RawSocket): RawSocketEvents {
    if (isClosing) return ignoredSocket(raw);
    try {
      return startTls(raw, SslConnection.server(context), owner);
    } catch (error) {
      // The context was disposed, say. Without TLS there is nothing to be done with the client.
      try {
        onError(error as Error);
      } catch {
        // The operator's handler must not take the server with it.
      }
      return ignoredSocket(raw);
    }
  }
  const listener = await socketsOfThisRuntime()
    .listen({ hostname, port }, accept)
    .catch((cause) => {
      throw listenError(hostname, port, cause);
    });

  let closing: Promise<void> | undefined;
  async function close(): Promise<void> {
    isClosing = true;
    const freed = listener.close();
    for (const socket of sockets) endTls(socket);
    await freed;
    const impatience = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, patience);
    if (sockets.size > 0) await new Promise<void>((resolve) => allClosed = resolve);
    clearTimeout(impatience);
    handshakes.close();
    closings.close();
  }
  const closeOnce = () => closing ??= close();
  return {
    hostname: listener.hostname,
    port: listener.port,
    get connections() {
      return sockets.size;
    },
    close: closeOnce,
    [Symbol.asyncDispose]: closeOnce,
  };
}
