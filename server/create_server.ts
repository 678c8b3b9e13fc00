import { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";
import { isIPv6 } from "node:net";
import { SessionCache } from "../cache/session_cache.ts";
import { whenUnwound } from "../ssl/calls.ts";
import type { SslConnection } from "../ssl/connection.ts";
import { mergeOptions, pickOptions, readOptions } from "../ssl/options.ts";
import { isBlocked } from "./block_list.ts";
import { beforeListeners, callListeners } from "./call_listeners.ts";
import { closeWhenAborted } from "./close_when_aborted.ts";
import { codedError } from "./coded_error.ts";
import { type ConnectionLimits, limitKinds, limitsOf } from "./limits.ts";
import { ListenerStore } from "./listener_store.ts";
import { alreadyListening, type ListenOptions, listenParameters } from "./listen_parameters.ts";
import { NodeTlsContexts } from "./node_tls_contexts.ts";
import type { DroppedConnection, NodeTlsServerEvents } from "./node_tls_events.ts";
import {
  contextOptions,
  nodeContextKinds,
  nodeServerKinds,
  type NodeTlsContextOptions,
  type NodeTlsServerOptions,
  withChanges,
} from "./node_tls_options.ts";
import { bothForAlpn, noTicketKeys } from "./node_tls_refusals.ts";
import type { RawSocket } from "./raw_socket.ts";
import { refuseListeners } from "./refuse_listeners.ts";
import { SecureContext, secureContextOptions } from "./secure_context.ts";
import { SniQuestions } from "./sni_questions.ts";
import { streamConnections, type TlsDuplex } from "./tls_duplex.ts";
import { TlsServer } from "./tls_server.ts";
import { connectionOf, isEstablished, type TlsSocket } from "./tls_socket.ts";

/**
 * A server with the interface of node:tls's, on all runtimes and on the system's libssl. It comes from
 * {@linkcode createServer}.
 *
 * @see https://nodejs.org/api/tls.html#class-tlsserver
 */
export class NodeTlsServer extends EventEmitter<NodeTlsServerEvents> {
  readonly #limits: ConnectionLimits;
  readonly #sockets: Pick<
    NodeTlsServerOptions,
    "allowHalfOpen" | "blockList" | "keepAlive" | "keepAliveInitialDelay" | "pauseOnConnect"
  >;
  /** What stays when `setSecureContext` replaces the rest, and holds for all names. */
  readonly #kept: Readonly<NodeTlsContextOptions>;
  readonly #store: ListenerStore;
  readonly #contexts: NodeTlsContexts;
  readonly #questions: SniQuestions | undefined;
  readonly #secrets = new WeakMap<SslConnection, Buffer[]>();
  readonly #failures = new WeakSet<TlsSocket>();
  #tls: TlsServer | undefined;
  #starting: Promise<void> | undefined;
  #maxConnections: number | undefined;
  #isKeptAlive = true;
  #isClosing = false;

  /** Not for use: servers come from {@linkcode createServer}. */
  constructor(options: NodeTlsServerOptions, listener?: (socket: TlsDuplex) => void) {
    super();
    const read = readOptions("createServer()", nodeServerKinds, options);
    const { lookupTimeout = 250 } = read;
    this.#limits = mergeOptions<ConnectionLimits>({ idleTimeout: 0 }, pickOptions(limitKinds, read));
    this.#sockets = read;
    this.#kept = pickOptions(keptKinds, read);
    this.#store = new ListenerStore(this, lookupTimeout);
    const cache = new SessionCache({
      store: this.#store,
      unsealed: true,
      durableTickets: true,
      lookupTimeout,
      onStoreError: (error) => this.#report(error),
      onEvent: ({ type }) => {
        if (type !== "timed out") return;
        this.#report(new Error(`A listener of resumeSession did not call its callback in ${lookupTimeout} ms`));
      },
    });
    const { SNICallback, ALPNCallback } = read;
    if (ALPNCallback && read.ALPNProtocols) throw bothForAlpn();
    this.#questions = SNICallback && new SniQuestions(SNICallback, (answer) => this.#contexts.prepare(answer));
    this.#contexts = new NodeTlsContexts(contextOptions(pickOptions(nodeContextKinds, read)), cache, {
      questions: this.#questions,
      optionsOf: (answer) => contextOptions(withChanges(this.#kept, secureContextOptions(answer))),
      alpn: ALPNCallback,
    });
    refuseListeners(this);
    if (listener) this.on("secureConnection", listener);
    beforeListeners(this, "keylog", () => {
      this.#contexts.tellSecrets((connection, line) => {
        const secrets = this.#secrets.get(connection) ?? [];
        this.#secrets.set(connection, secrets);
        secrets.push(Buffer.from(`${line}\n`));
      });
    });
  }

  /** Whether it listens. */
  get listening(): boolean {
    return !this.#isClosing && this.#tls?.isListening === true;
  }

  /**
   * How many connections there may be at once; undefined for what the option of this name says. Those beyond are closed
   * at once, and `drop` is emitted. It can be set at any time.
   */
  get maxConnections(): number | undefined {
    return this.#maxConnections;
  }

  set maxConnections(count: number | null | undefined) {
    if (count != null && !(count >= 0)) {
      throw new RangeError(`Cannot have ${count} connections at most: it takes numbers from 0 on`);
    }
    this.#maxConnections = count ?? undefined;
    if (this.#tls) this.#limit(this.#tls);
  }

  #limit(tls: TlsServer): void {
    tls.maxConnections = this.#maxConnections ?? limitsOf(this.#limits).maxConnections;
  }

  /**
   * Starts to listen. `listening` follows, or `error`. Without a host it listens at once, and `address()` says where; with
   * one, when that has been looked up.
   *
   * @param port the port; by default a free one
   * @param host the address or name to listen on; by default all of this machine's addresses, of IPv6 and IPv4
   * @param backlog ignored: it is the system's
   * @param listener added as a listener of `listening`, once
   * @throws {Error} if it listens already
   * @throws {RangeError} for a port that is none
   * @throws {TypeError} for a path, a handle, and options that are not here
   */
  listen(port?: number | string | null, host?: string, backlog?: number, listener?: () => void): this;
  /** The same. */
  listen(port: number | string | null, host: string, listener: () => void): this;
  /** The same, on all addresses. */
  listen(port: number | string | null, backlog: number, listener?: () => void): this;
  /** The same, on all addresses. */
  listen(port: number | string | null, listener: () => void): this;
  /** The same, on a free port of all addresses. */
  listen(listener: () => void): this;
  /** The same, with names. */
  listen(options: ListenOptions, listener?: () => void): this;
  listen(...parameters: unknown[]): this {
    if (this.#tls) throw alreadyListening();
    const { port, host, reusePort, signal, listener } = listenParameters(parameters);
    const tls = new TlsServer({
      limits: this.#limits,
      context: () => this.#contexts.first,
      onConnection: streamConnections((stream) => this.#connected(stream), this.#sockets.allowHalfOpen ?? false),
      onError: (error, { socket }) => this.#failed(error, socket),
      accepts: ({ remoteAddress }) => !isBlocked(this.#sockets.blockList, remoteAddress),
      onRefused: (raw) => this.#dropped(raw),
    });
    this.#limit(tls);
    this.#contexts.open();
    if (listener) this.once("listening", listener);
    this.#tls = tls;
    this.#starting = this.#start(tls, port, host, reusePort);
    if (signal?.aborted) queueMicrotask(() => this.close());
    else if (signal) closeWhenAborted(this, signal);
    return this;
  }

  async #start(tls: TlsServer, port: number, host: string | undefined, reusePort: boolean): Promise<void> {
    try {
      await tls.listen(port, host, reusePort);
    } catch (error) {
      this.#tls = undefined;
      this.#contexts.close();
      queueMicrotask(() => this.emit("error", error as Error));
      return;
    }
    tls.keepAlive(this.#isKeptAlive);
    if (this.#isClosing) return;
    queueMicrotask(() => this.emit("listening"));
  }

  /**
   * Stops listening. Connections go on; `close` follows when the last has ended.
   *
   * @param callback called then; with an error if the server did not listen
   * @throws {TypeError} for what is no function, such as the options that servers of `listen()` take
   */
  close(callback?: ((error?: Error) => void) | null): this {
    if (callback != null && typeof callback !== "function") {
      throw new TypeError("Cannot close with options: this server's connections go on until they end; give a function");
    }
    const isRunning = this.#tls !== undefined && !this.#isClosing;
    const error = Object.assign(new Error("Cannot close: the server is not listening"), {
      code: "ERR_SERVER_NOT_RUNNING",
    });
    if (callback) this.once("close", () => isRunning ? callback() : callback(error));
    if (isRunning) {
      this.#isClosing = true;
      this.#end();
    } else if (!this.#tls) queueMicrotask(() => this.emit("close"));
    return this;
  }

  async #end(): Promise<void> {
    await this.#starting;
    const tls = this.#tls;
    if (tls) {
      const freed = tls.stopListening();
      await tls.empty(Infinity);
      await tls.end();
      await freed;
      this.#contexts.close();
      this.#store.close();
      this.#tls = undefined;
    }
    this.#isClosing = false;
    queueMicrotask(() => this.emit("close"));
  }

  /** Where it listens; null if it does not. */
  address(): { address: string; family: "IPv4" | "IPv6"; port: number } | null {
    if (!this.listening) return null;
    const { hostname: address, port } = this.#tls!;
    return { address, family: familyOf(address), port };
  }

  /** Tells how many connections there are, those in their handshake among them. */
  getConnections(callback: (error: Error | null, count: number) => void): this {
    queueMicrotask(() => callback(null, this.#tls?.connections ?? 0));
    return this;
  }

  /**
   * Has clients that ask for a name (SNI) get another certificate. It counts for connections to come. Nothing else is made
   * anew, and the certificate's context is made when the first client asks for it; what its files hold now counts then.
   *
   * @param hostname the name; `*.example.com` stands for one label
   * @param context its certificate and key, or what {@linkcode createSecureContext} made of them
   * @throws {OpenSslError} if OpenSSL refuses them
   * @throws {Error} without a name
   */
  addContext(hostname: string, context: NodeTlsContextOptions | SecureContext): void {
    if (!hostname) throw codedError("Cannot add a context without a name", "ERR_TLS_REQUIRED_SERVER_NAME");
    const changes = context instanceof SecureContext
      ? secureContextOptions(context)
      : readOptions("addContext()", nodeContextKinds, context);
    this.#contexts.add(hostname, contextOptions(withChanges(this.#kept, changes)));
  }

  /**
   * Replaces the certificate and all that goes with it, except for `ALPNProtocols`, `requestCert` and
   * `rejectUnauthorized` where they are left out or undefined. It counts for connections to come; sessions made before
   * still resume if the names are the same. What was added by `addContext()` stays, and is not made anew.
   *
   * @param options what is to be instead
   * @throws {OpenSslError} if OpenSSL refuses them: all stays as it was then
   */
  setSecureContext(options: NodeTlsContextOptions): void {
    if (options === undefined) throw new TypeError("Cannot set a secure context without options: give a certificate");
    const changes = readOptions("setSecureContext()", nodeContextKinds, options);
    this.#contexts.set(contextOptions(withChanges(this.#kept, changes)));
  }

  /** Has listening keep the program alive, as it does at first. */
  ref(): this {
    return this.#keepAlive(true);
  }

  /** Lets the program end though the server listens. */
  unref(): this {
    return this.#keepAlive(false);
  }

  #keepAlive(isKept: boolean): this {
    this.#isKeptAlive = isKept;
    this.#tls?.keepAlive(isKept);
    return this;
  }

  /** Not here: throws an error that says what to use in its place. */
  getTicketKeys(): never {
    throw noTicketKeys("get");
  }

  /** Not here: throws an error that says what to use in its place. */
  setTicketKeys(_keys?: Uint8Array): never {
    throw noTicketKeys("set");
  }

  /** The same as {@linkcode NodeTlsServer.close}, for `await using`: kept when the last connection has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => this.close(() => resolve()));
  }

  #dropped(raw: RawSocket): void {
    if (this.listenerCount("drop") === 0) return;
    const { localAddress, localPort, remoteAddress, remotePort } = raw;
    const addresses: DroppedConnection = {
      ...{ localAddress, localPort, localFamily: familyOf(localAddress) },
      ...{ remoteAddress, remotePort, remoteFamily: familyOf(remoteAddress) },
    };
    callListeners(this, "drop", [addresses], (error) => this.#report(error));
  }

  #connected(stream: TlsDuplex): void {
    const { keepAlive = false, keepAliveInitialDelay = 0, pauseOnConnect = false } = this.#sockets;
    stream.server = this;
    if (keepAlive) stream.setKeepAlive(true, keepAliveInitialDelay);
    if (pauseOnConnect) stream.pause();
    this.#tellSecrets(stream.tls, stream);
    callListeners(this, "secureConnection", [stream], (error) => {
      this.#report(error, stream.tls);
      stream.destroy(error as Error);
    });
  }

  #failed(error: Error, socket?: TlsSocket): void {
    if (socket) this.#tellSecrets(socket, socket);
    // Of a handshake that fails the first error is told: what a callback threw, and not what OpenSSL makes of it.
    if (socket && !isEstablished(socket)) {
      if (this.#failures.has(socket)) return;
      this.#failures.add(socket);
    }
    // What an SNICallback said tells more than OpenSSL, which only knows that it was refused.
    const refusal = socket && this.#questions?.refusal(connectionOf(socket));
    this.#report(refusal ?? error, socket);
  }

  #tellSecrets(of: TlsSocket, socket: TlsDuplex | TlsSocket): void {
    const connection = connectionOf(of);
    const secrets = this.#secrets.get(connection);
    this.#secrets.delete(connection);
    for (const line of secrets ?? []) {
      callListeners(this, "keylog", [line, socket], (error) => this.#report(error, of));
    }
  }

  /** What its listeners throw is ignored, or there would be no end. They are called outside of libssl's callbacks. */
  #report(error: unknown, socket?: TlsSocket): void {
    whenUnwound(() => callListeners(this, "tlsClientError", [error, socket], () => {}));
  }
}

/**
 * A TLS server with the interface of node:tls's `createServer`, on Deno, Bun and Node: the same options, events and
 * methods, as far as they have a counterpart. Other than in Node, `newSession` and `resumeSession` are emitted for
 * TLS 1.3 as well, so that sessions can be kept outside of the process. With no listener for `resumeSession` they are
 * kept in memory. NODE_TLS.md lists all that differs.
 *
 * A listener that throws, rejects, answers nonsense or nothing costs its client a full handshake; `tlsClientError` tells
 * of it. Sessions hold the keys of connections: store them where nobody else can read them.
 *
 * @param options certificates, and whom to let in
 * @param listener added as a listener of `secureConnection`
 * @returns the server, which does not listen yet
 * @throws {OpenSslError} if OpenSSL refuses an option; the message says which
 * @throws {TypeError} for an option that is not known, or of another type; for one of node:tls's that is not here, with
 *   the reason; and {RangeError} for one out of range
 *
 * @example Sessions in a Map
 * ```ts
 * import { createServer, selfSigned } from "@openssl-sessions/openssl-sessions";
 *
 * const { certificate, privateKey } = selfSigned();
 * await using server = createServer({ key: privateKey, cert: certificate }, (socket) => void socket.end("hello\n"));
 * const sessions = new Map<string, Uint8Array>();
 * server.on("newSession", (id, data, callback) => {
 *   sessions.set(id.toString("hex"), data);
 *   callback();
 * });
 * server.on("resumeSession", (id, callback) => {
 *   callback(null, sessions.get(id.toString("hex")) ?? null);
 * });
 * server.listen(0, "127.0.0.1", () => console.log(`Listening on port ${server.address()!.port}`));
 * ```
 *
 * @example For a server of node:http
 * ```ts
 * import { createServer as createHttpServer } from "node:http";
 * import { createServer, httpConnections, selfSigned } from "@openssl-sessions/openssl-sessions";
 *
 * const http = createHttpServer((_request, response) => response.end("Hello\n"));
 * await using server = createServer(selfSigned(), httpConnections(http));
 * server.listen(0, "127.0.0.1");
 * ```
 */
export function createServer(
  options: NodeTlsServerOptions | ((socket: TlsDuplex) => void) = {},
  listener?: (socket: TlsDuplex) => void,
): NodeTlsServer {
  return typeof options === "function" ? new NodeTlsServer({}, options) : new NodeTlsServer(options, listener);
}

function familyOf(address: string): "IPv4" | "IPv6" {
  return isIPv6(address) ? "IPv6" : "IPv4";
}

const { ALPNProtocols, alpnProtocols, requestCert, verify, rejectUnauthorized } = nodeContextKinds;
const keptKinds = { ALPNProtocols, alpnProtocols, requestCert, verify, rejectUnauthorized };
