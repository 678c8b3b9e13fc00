import { isPromise } from "../cache/maybe_promise.ts";
import { MemoryStore } from "../cache/memory_store.ts";
import { SessionCache } from "../cache/session_cache.ts";
import { contextPointer, contextState, SslContext } from "../ssl/context.ts";
import { FileWatch } from "./file_watch.ts";
import { limitNames, requireMilliseconds } from "./limits.ts";
import { ServerContexts } from "./server_contexts.ts";
import type { ServerStats } from "./server_stats.ts";
import { tlsFacts } from "./tls_facts.ts";
import { TlsServer } from "./tls_server.ts";
import type { ServerCertificates, TlsServerOptions } from "./tls_server_options.ts";
import type { ConnectionHandler, TlsSocket } from "./tls_socket.ts";

/** A server that listens. */
export interface Server {
  /** The address that it listens on. */
  readonly hostname: string;
  /** The port that it listens on. */
  readonly port: number;
  /** How many connections there are, those in their handshake among them. */
  readonly connections: number;
  /** Where its sessions are kept; undefined where it was given a `context`. */
  readonly sessions: SessionCache | undefined;
  /** What it has counted. */
  stats(): ServerStats;
  /**
   * Loads certificates anew, for the connections to come: those that are there go on, and so do their sessions. Without
   * changes the files are read again. A certificate among the changes takes the place of all that were there.
   *
   * @throws {OpenSslError} and what else {@linkcode SslContext.server} throws; all stays as it was then
   * @throws {TypeError} if the server was given a `context`
   */
  reload(changes?: ServerCertificates): void;
  /**
   * Stops listening at once, and ends the connections: when they have done what is under way, or `grace` milliseconds
   * are over. Those of HTTP/1.1 that are idle are closed a second later, as a request may be on its way. Each gets
   * close_notify. Those whose other side does not say goodbye as well are closed a second later.
   *
   * @returns a Promise that is kept when all is closed
   */
  close(options?: { grace?: number }): Promise<void>;
  /** The same as {@linkcode Server.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** What makes servers of different kinds different. */
export interface ServerKind {
  readonly onConnection: ConnectionHandler;
  /** For how long `close()` waits where it is not said, in milliseconds. */
  readonly grace: number;
  /** Has clients told that their connections end with what they ask for next. */
  leave?(): void;
  /** Whether `finish` can end a connection without cutting off what its client has just asked for. */
  isReady?(socket: TlsSocket): boolean;
  /** Has the connections end as soon as what is under way on them is done. */
  finish?(): void;
  /** Gives back what the kind itself holds. */
  end?(): Promise<void>;
}

/** Makes a server and has it listen. For listen() and serve(). */
export async function startServer(options: TlsServerOptions, kind: ServerKind): Promise<Server> {
  const { port = 0, hostname = "0.0.0.0", reusePort = false, authorize, signal, watch = false } = options;
  signal?.throwIfAborted();
  if (authorize !== undefined && typeof authorize !== "function") {
    throw new TypeError("Cannot listen with this authorize: give a function of a client's certificate");
  }
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new RangeError(`Cannot listen on port ${port}: there are 0 to 65535`);
  }
  const onError = heedless(options.onError);
  const { contexts, cache } = contextsOf(options, onError);
  const context = contexts ? () => contexts.first : () => options.context!;
  let watching: FileWatch | undefined;
  let tls: TlsServer;
  try {
    if (watch !== false && contexts) watching = watchOf(contexts, watch === true ? 1000 : watch, onError);
    tls = new TlsServer({
      ...options,
      context,
      onError,
      onConnection: kind.onConnection,
      admit: authorize && ((socket) => {
        const facts = tlsFacts(socket);
        return authorize(facts.peerCertificate, facts);
      }),
    });
    await tls.listen(port, hostname, reusePort);
  } catch (error) {
    watching?.close();
    contexts?.dispose();
    throw error;
  }

  let closing: Promise<void> | undefined;
  async function close(grace: number): Promise<void> {
    signal?.removeEventListener("abort", abort);
    watching?.close();
    const freed = tls.stopListening();
    if (grace > 0) {
      const began = performance.now();
      kind.leave?.();
      if (kind.isReady) await tls.ready(kind.isReady, grace);
      kind.finish?.();
      await tls.empty(Math.max(0, grace - (performance.now() - began)));
    }
    await tls.end();
    await freed;
    await kind.end?.();
    contexts?.dispose();
  }
  const closeOnce = ({ grace = kind.grace }: { grace?: number } = {}) => {
    if (!(grace >= 0)) throw new RangeError(`Cannot wait ${grace} ms for connections to end: it takes 0 and more`);
    return closing ??= close(grace);
  };
  const abort = () => void closeOnce();
  signal?.addEventListener("abort", abort, { once: true });
  if (signal?.aborted) {
    await closeOnce();
    signal.throwIfAborted();
  }
  return {
    hostname: tls.hostname,
    port: tls.port,
    get connections() {
      return tls.connections;
    },
    sessions: cache,
    stats: () => tls.stats(),
    reload(changes) {
      if (!contexts) throw new TypeError("Cannot reload certificates: the server was given a context of its own");
      if (closing) throw new Error("Cannot reload certificates: the server is closed");
      contexts.reload(changes);
    },
    close: closeOnce,
    [Symbol.asyncDispose]: () => closeOnce(),
  };
}

/** Calls the operator's handler of errors, which must not take the server with it, nor a rejection the program. */
export function heedless(onError: TlsServerOptions["onError"]): (error: Error, socket?: TlsSocket) => void {
  return (error, socket) => {
    try {
      const answer: unknown = onError?.(error, socket);
      if (isPromise(answer)) Promise.resolve(answer).catch(() => {});
    } catch {
      // There is nobody left to tell.
    }
  };
}

function contextsOf(
  options: TlsServerOptions,
  onError: (error: Error) => void,
): { contexts: ServerContexts | undefined; cache: SessionCache | undefined } {
  const { context, sessions } = options;
  if (sessions !== undefined && !(sessions instanceof SessionCache)) {
    throw new TypeError("Cannot listen with these sessions: give a SessionCache, made with the store");
  }
  if (context === undefined) {
    const cache = sessions ?? new SessionCache({ store: new MemoryStore() });
    return { contexts: new ServerContexts(certificatesOf(options), cache, onError), cache };
  }
  if (!(context instanceof SslContext)) throw new TypeError("Cannot listen without a context: give an SslContext");
  if (contextState(context).role === "client") throw new TypeError("Cannot listen with a client's context");
  const [other] = Object.keys(certificatesOf(options));
  if (sessions || other) {
    throw new TypeError(`Cannot use both a context and ${other ?? "sessions"}: give the context what it needs instead`);
  }
  // A disposed one says so.
  contextPointer(context);
  return { contexts: undefined, cache: undefined };
}

/** Those of the options that make contexts. */
function certificatesOf(options: TlsServerOptions): ServerCertificates {
  const own = new Set<string>(
    [
      "port",
      "hostname",
      "reusePort",
      "context",
      "sessions",
      "authorize",
      "signal",
      "onError",
    ] satisfies (keyof TlsServerOptions)[],
  );
  const rest = Object.entries(options).filter(([name, value]) =>
    value !== undefined && !own.has(name) && !limitNames.includes(name)
  );
  return Object.fromEntries(rest);
}

function watchOf(contexts: ServerContexts, milliseconds: number, onError: (error: Error) => void): FileWatch {
  requireMilliseconds("files to change", milliseconds);
  return new FileWatch(() => contexts.files, milliseconds, () => {
    try {
      contexts.reload();
    } catch (cause) {
      onError(new Error(`Cannot reload the certificates: ${(cause as Error).message}`, { cause }));
    }
  });
}
