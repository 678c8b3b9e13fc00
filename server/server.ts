import { MemoryStore } from "../cache/memory_store.ts";
import { SessionCache } from "../cache/session_cache.ts";
import { contextPointer, contextState } from "../ssl/context.ts";
import { number } from "../ssl/option_kinds.ts";
import { type OptionKinds, pickOptions, readOptions } from "../ssl/options.ts";
import { heedless, type ReportError } from "./error_report.ts";
import { FileWatch } from "./file_watch.ts";
import { limitKinds } from "./limits.ts";
import { looksOf } from "./files.ts";
import { ServerContexts, serverFilesOf } from "./server_contexts.ts";
import type { ServerStats } from "./server_stats.ts";
import { tlsFacts } from "./tls_facts.ts";
import { TlsServer } from "./tls_server.ts";
import { certificatesKinds, type ServerCertificates, type TlsServerOptions } from "./tls_server_options.ts";
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
   * changes the files are read again. A certificate among the changes takes the place of all that were there. A change
   * that is undefined is none. Only what has changed is made anew, and in pieces: connections are served meanwhile.
   * Several reloads happen one after the other.
   *
   * @returns a Promise that is kept when connections get the new certificates
   * @throws {OpenSslError} and what else {@linkcode SslContext.server} throws, as a rejection; all stays as it was then
   * @throws {TypeError} if the server was given a `context`; for an option that is not known, or of another type
   * @throws {Error} if the server is closed, or closes before the new certificates are there
   */
  reload(changes?: Omit<ServerCertificates, "watch">): Promise<void>;
  /**
   * Stops listening at once, and ends the connections: when they have done what is under way, or `grace` milliseconds
   * are over. Those of HTTP/1.1 that are idle are closed a second later, as a request may be on its way. Each gets
   * close_notify. Those whose other side does not say goodbye as well are closed a second later. Called again, it can
   * shorten the time: `close({ grace: 0 })`.
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

const { watch: _watch, ...reloadKinds } = certificatesKinds;
const closeKinds: OptionKinds<{ grace?: number }> = { grace: number(0, Infinity, "milliseconds") };

/** Makes a server of options that were read, and has it listen. For listen() and serve(). */
export async function startServer(options: Readonly<TlsServerOptions>, kind: ServerKind): Promise<Server> {
  const { port = 0, hostname = "0.0.0.0", reusePort = false, authorize, signal, watch = false } = options;
  signal?.throwIfAborted();
  const onError = heedless(options.onError);
  const certificates = pickOptions(certificatesKinds, options);
  const isWatching = watch !== false && options.context === undefined;
  // Before they are loaded: what changes meanwhile is a change.
  const looks = isWatching ? await looksOf(serverFilesOf(certificates)) : "";
  const { contexts, cache } = await contextsOf(options, certificates, onError);
  const context = contexts ? () => contexts.first : () => options.context!;
  let watching: FileWatch | undefined;
  let tls: TlsServer;
  try {
    if (isWatching) watching = watchOf(contexts!, watch === true ? 1000 : watch, onError, looks);
    tls = new TlsServer({
      limits: pickOptions(limitKinds, options),
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
    await contexts?.dispose();
    throw error;
  }

  let closing: Promise<void> | undefined;
  /** Until when what is under way is waited for. */
  let ends = 0;
  let isPatient = false;
  async function close(grace: number): Promise<void> {
    signal?.removeEventListener("abort", abort);
    watching?.close();
    const freed = tls.stopListening();
    if (grace > 0) {
      ends = performance.now() + grace;
      kind.leave?.();
      if (kind.isReady) await tls.ready(kind.isReady, grace);
      kind.finish?.();
      isPatient = true;
      while (tls.connections > 0 && performance.now() < ends) await tls.empty(ends - performance.now());
      isPatient = false;
    }
    await tls.end();
    await freed;
    await kind.end?.();
    await contexts?.dispose();
  }
  const closeOnce = (options?: { grace?: number }) => {
    const { grace } = readOptions("close()", closeKinds, options);
    if (closing && grace !== undefined) {
      ends = Math.min(ends, performance.now() + grace);
      if (isPatient) tls.stopWaiting();
    }
    return closing ??= close(grace ?? kind.grace);
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
    async reload(changes) {
      if (!contexts) throw new TypeError("Cannot reload certificates: the server was given a context of its own");
      if (closing) throw new Error("Cannot reload certificates: the server is closed");
      await contexts.reload(readOptions("reload()", reloadKinds, changes));
    },
    close: closeOnce,
    [Symbol.asyncDispose]: () => closeOnce(),
  };
}

async function contextsOf(
  { context, sessions, certificateFor, certificateTimeout: timeout = 5000 }: Readonly<TlsServerOptions>,
  certificates: Readonly<ServerCertificates>,
  onError: ReportError,
): Promise<{ contexts: ServerContexts | undefined; cache: SessionCache | undefined }> {
  if (context === undefined) {
    const cache = sessions ?? new SessionCache({ store: new MemoryStore() });
    return {
      contexts: await ServerContexts.make(certificates, cache, onError, certificateFor && { certificateFor, timeout }),
      cache,
    };
  }
  if (contextState(context).role === "client") throw new TypeError("Cannot listen with a client's context");
  const others = [...Object.keys(certificates), sessions && "sessions", certificateFor && "certificateFor"];
  const other = others.find((name) => name);
  if (other) throw new TypeError(`Cannot use both a context and ${other}: give the context what it needs instead`);
  // A disposed one says so.
  contextPointer(context);
  return { contexts: undefined, cache: undefined };
}

function watchOf(
  contexts: ServerContexts,
  milliseconds: number,
  onError: ReportError,
  looks: string,
): FileWatch {
  const reload = () =>
    contexts.reload().catch((cause: Error) => {
      // A server that closes has nothing to tell of its certificates.
      if (contexts.isDisposed) return;
      const error = new Error(`Cannot reload the certificates: ${cause.message}`, { cause });
      onError(error, { kind: "reload", socket: undefined });
    });
  return new FileWatch(() => contexts.files, milliseconds, reload, looks);
}
