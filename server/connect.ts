import { isIP } from "node:net";
import { wasThrownByCallback } from "../ssl/calls.ts";
import { SslConnection } from "../ssl/connection.ts";
import { SslContext } from "../ssl/context.ts";
import { checkName } from "../ssl/names.ts";
import {
  abortSignal,
  anyText,
  callback,
  either,
  flag,
  instance,
  integer,
  milliseconds,
  text,
} from "../ssl/option_kinds.ts";
import { type OptionKind, type OptionKinds, pickOptions, readOptions } from "../ssl/options.ts";
import { Session } from "../ssl/session.ts";
import { clientContextKinds, type ClientContextOptions, setConnectionCallbacks } from "./client_contexts.ts";
import { ClientSessions, contextsOf, sessionsOfWholeProgram } from "./client_sessions.ts";
import { ClientVisit } from "./client_visit.ts";
import { handshakeError, unreachableError } from "./connect_error.ts";
import type { ReportError } from "./error_report.ts";
import { ignoredSocket, type RawSocket, type RawSocketEvents } from "./raw_socket.ts";
import { socketsOfThisRuntime } from "./sockets.ts";
import { streamConnections, type TlsDuplex } from "./tls_duplex.ts";
import {
  closingDeadlines,
  startTls,
  type TlsSocket,
  type TlsSocketHandlers,
  type TlsSocketOwner,
} from "./tls_socket.ts";

/**
 * The options of {@linkcode connect}: where to, and what a client's context is made of if none is given. Contexts are shared
 * among connections with equal options. Files are read at each connection.
 */
export interface ConnectOptions extends ClientContextOptions {
  /** The server's address, also one of a zone (`fe80::1%eth0`), or its name, in ASCII or not (`bücher.example`). */
  hostname: string;
  /** The server's port. */
  port: number;
  /**
   * The name to ask for (SNI) and to find in the server's certificate; by default `hostname`. It goes in ASCII (IDNA) and
   * lower case. A dot at its end, which is DNS's alone, is left out, and so is an address's zone.
   */
  serverName?: string;
  /**
   * Where sessions are kept and looked for; by default one {@linkcode ClientSessions} for the whole program. `false` for
   * no resumption. Not with `context`.
   */
  sessions?: ClientSessions | false;
  /** A session to resume in place of one that is kept. It stays yours, and so does the trust in what it rests on. */
  session?: Session;
  /**
   * A context of your own, in place of the options of one. It stays yours, and may be disposed while the connection
   * lives. Sessions are not kept for it: that is left to its callbacks.
   */
  context?: SslContext;
  /** For how long connecting and the handshake may take, in milliseconds; by default 10,000. */
  handshakeTimeout?: number;
  /**
   * Whether the stream stays when the server has ended, until this side ends as well; by default false. Without it this
   * side ends by itself when all was read.
   */
  allowHalfOpen?: boolean;
  /** Gives up connecting when it is aborted. It means nothing to a connection that is there. */
  signal?: AbortSignal;
  /**
   * Called with what callbacks and handlers threw, and with what goes wrong on the connection. Its `kind` is `handshake`
   * until the connection is there, and `connection` then. What it throws is ignored.
   */
  onError?: ReportError;
}

const kinds: OptionKinds<ConnectOptions> = {
  ...clientContextKinds,
  hostname: text,
  port: integer(1, 65_535),
  serverName: anyText,
  sessions: either(
    (value) => value === false,
    flag as OptionKind<false>,
    instance(ClientSessions, "ClientSessions, or false for none"),
  ),
  session: instance(Session, "a Session"),
  context: instance(SslContext, "an SslContext"),
  handshakeTimeout: milliseconds,
  allowHalfOpen: flag,
  signal: abortSignal,
  onError: callback(),
};

/**
 * Connects to a TLS server, on the runtime's own sockets, and resumes a session if one is kept of the server. The
 * server's certificate must be for `serverName`, and signed by an authority that the system trusts, or that
 * `certificateAuthorities` has.
 *
 * @param options where to connect to, and whom to trust
 * @returns the connection as a stream, once its handshake is done
 * @throws {OpenSslError} if the handshake fails, for a certificate that is not trusted, say
 * @throws {Error} if the server cannot be reached, or does not answer in time
 * @throws {TypeError} for an option that is not known, or of another type; and {RangeError} for one out of range
 * @throws the reason of `signal`, if that is aborted
 *
 * @example
 * ```ts
 * import { connect, listen, selfSigned, SslContext } from "@openssl-sessions/openssl-sessions";
 *
 * const credentials = selfSigned();
 * using context = SslContext.server(credentials);
 * await using server = await listen({ context, hostname: "127.0.0.1" }, {
 *   data: (socket, bytes) => void socket.end(bytes),
 * });
 *
 * const socket = await connect({
 *   hostname: "localhost",
 *   port: server.port,
 *   certificateAuthorities: credentials.certificate, // without it, those of the system
 * });
 * console.log(socket.tls.protocol); // TLSv1.3
 * socket.write("Hello");
 * for await (const bytes of socket) console.log(String(bytes)); // Hello
 * ```
 */
export function connect(options: ConnectOptions): Promise<TlsDuplex>;
/**
 * The same, for a socket that is driven by events.
 *
 * @param options where to connect to, and whom to trust
 * @param handlers what the socket is to call
 * @returns the socket, once its handshake is done
 */
export function connect(options: ConnectOptions, handlers: TlsSocketHandlers): Promise<TlsSocket>;
export async function connect(options: ConnectOptions, handlers?: TlsSocketHandlers): Promise<TlsDuplex | TlsSocket> {
  const read = readOptions("connect()", kinds, options);
  const { hostname, port, serverName: fullName = hostname, session, sessions, context } = read;
  const { handshakeTimeout = 10_000, allowHalfOpen, signal, onError } = read;
  signal?.throwIfAborted();
  if (hostname === undefined) {
    throw new TypeError("Cannot connect without a hostname: give the server's name or address");
  }
  if (port === undefined) throw new TypeError("Cannot connect without a port: give the server's");
  if (fullName === "" || fullName === ".") {
    throw new TypeError("Cannot connect without a server name: no name would be looked for in the certificate");
  }
  // Where to connect to keeps its zone, and the dot that tells DNS to look no further.
  const host = isIP(unbracketed(hostname)) ? unbracketed(hostname) : nameOf("hostname", hostname);
  const serverName = nameOf("serverName", fullName);
  const address = hostname.endsWith(".") ? `${host}.` : host;
  if (handlers !== undefined && (typeof handlers !== "object" || handlers === null)) {
    throw new TypeError("Cannot connect with these handlers: they are an object with what to call");
  }
  if (handlers && allowHalfOpen !== undefined) {
    throw new TypeError("Cannot use allowHalfOpen with handlers: their socket stays where they have `end`");
  }
  const contextOptions = pickOptions(clientContextKinds, read);
  const target: Target = { hostname: address, port, serverName, session };
  const { connection, visit } = context
    ? withOwnContext(target, context, { ...contextOptions, ...(sessions && { sessions }) })
    : withSharedContext(target, contextOptions, sessions);
  const where = `${address.includes(":") ? `[${address}]` : address}:${port}`;

  return await new Promise((resolve, reject) => {
    let socket: TlsSocket | undefined;
    let isConnected = false;
    let isOver = false;
    let isAborted = false;
    let timedOut: Error | undefined;
    let told: Error | undefined;
    const connecting = new AbortController();
    const closings = closingDeadlines();
    const stream = streamConnections(resolve, allowHalfOpen === true);
    const timer = setTimeout(() => {
      const awaited = socket ? "handshake" : "connection";
      timedOut = new Error(`Cannot connect to ${where}: no ${awaited} within ${handshakeTimeout} ms`);
      fail(timedOut);
      socket?.destroy(timedOut);
    }, handshakeTimeout);
    signal?.addEventListener("abort", abort);

    function abort(): void {
      isAborted = true;
      fail(signal!.reason);
      socket?.destroy();
    }
    function stopWaiting(): void {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
    function fail(reason: unknown): void {
      if (isOver) return;
      isOver = true;
      stopWaiting();
      // Whoever aborts says nothing against the session.
      if (!isAborted) visit?.failed();
      // A socket that is there ends by itself, after its alert.
      if (!socket) {
        connection.dispose();
        connecting.abort();
      }
      reject(reason);
    }
    const owner: TlsSocketOwner = {
      role: "client",
      maxBufferedBytes: Infinity,
      handshakes: { add() {}, delete: stopWaiting },
      closings,
      onOpen: (opened) => socket = opened,
      onConnection(opened) {
        isConnected = true;
        visit?.established();
        if (!handlers) return stream(opened);
        resolve(opened);
        return handlers;
      },
      onError(error, socket) {
        if (isConnected) return onError?.(error, { kind: "connection", socket });
        if (isAborted || error === told) return undefined;
        told = error;
        const isCallbacks = wasThrownByCallback(error);
        const answer = isCallbacks || error === timedOut ? error : handshakeError(where, serverName, error, socket);
        // The error is the answer: nobody gets the socket any more. One that has failed ends by itself.
        fail(answer);
        if (isCallbacks) socket.destroy(error);
        return onError?.(answer, { kind: "handshake", socket });
      },
      onClose: () => closings.close(),
    };
    function opened(raw: RawSocket): RawSocketEvents {
      if (isOver) return ignoredSocket(raw);
      if (!session) visit?.offer();
      return startTls(raw, connection, owner);
    }
    socketsOfThisRuntime()
      .connect({ hostname: address, port }, opened, connecting.signal)
      .catch((cause) => fail(unreachableError(where, cause)));
  });
}

/** A name in the form that it is asked for, looked for in certificates, and told from others by. */
function nameOf(option: string, text: string): string {
  const checked = checkName(text);
  if ("name" in checked) return checked.name;
  throw new TypeError(`Cannot connect with the ${option} ${JSON.stringify(text)}: ${checked.fault}`);
}

/** Addresses stand in brackets in URLs alone. */
function unbracketed(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, "$1");
}

/** Whom to connect to, and by which session. */
interface Target {
  readonly hostname: string;
  readonly port: number;
  readonly serverName: string;
  readonly session: Session | undefined;
}

/** A connection that has not begun, and what it does with the sessions that are kept. */
interface Beginning {
  readonly connection: SslConnection;
  readonly visit: ClientVisit | undefined;
}

function withOwnContext(target: Target, context: SslContext, others: object): Beginning {
  const given = Object.keys(others);
  if (given.length > 0) {
    throw new TypeError(`Cannot connect with a context and with ${given.join(", ")}: leave out one or the other`);
  }
  return { connection: makeConnection(target, context), visit: undefined };
}

function withSharedContext(
  target: Target,
  options: ClientContextOptions,
  sessions: ClientSessions | false = sessionsOfWholeProgram(),
): Beginning {
  const { context, key } = contextsOf(sessions || sessionsOfWholeProgram()).get(options);
  const connection = makeConnection(target, context);
  const server = JSON.stringify([key, target.hostname, target.port, target.serverName]);
  const visit = sessions ? new ClientVisit(sessions, server, connection) : undefined;
  setConnectionCallbacks(connection, {
    keep: (session) => visit?.keep(session) ?? false,
    keylog: options.keylog,
  });
  return { connection, visit };
}

function makeConnection({ serverName, session }: Target, context: SslContext): SslConnection {
  return SslConnection.client(context, { serverName, ...(session && { session }) });
}
