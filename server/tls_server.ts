import { clearInterval, clearTimeout, setInterval, setTimeout } from "node:timers";
import { Deadlines } from "../cache/deadlines.ts";
import type { MaybePromise } from "../cache/session_store.ts";
import { SslConnection } from "../ssl/connection.ts";
import type { SslContext } from "../ssl/context.ts";
import { clientNetwork } from "./client_network.ts";
import { codedError } from "./coded_error.ts";
import type { ReportError } from "./error_report.ts";
import { type ConnectionLimits, limitsOf } from "./limits.ts";
import { listenError } from "./listen_error.ts";
import { ignoredSocket, type RawListener, type RawSocket, type RawSocketEvents } from "./raw_socket.ts";
import { emptyStats, type ServerStats } from "./server_stats.ts";
import { socketsOfThisRuntime } from "./sockets.ts";
import {
  abandonTls,
  closingDeadlines,
  type ConnectionHandler,
  endTls,
  isEstablished,
  isIn,
  lastActive,
  startTls,
  type TlsSocket,
  type TlsSocketOwner,
} from "./tls_socket.ts";

/** What a {@linkcode TlsServer} is made of. */
export interface TlsServerParts {
  readonly limits: ConnectionLimits;
  /** The context for the next connection. */
  readonly context: () => SslContext;
  readonly onConnection: ConnectionHandler;
  readonly admit?: ((socket: TlsSocket) => MaybePromise<boolean>) | undefined;
  readonly onError: ReportError;
  /** Asked of each TCP connection that comes whether it may come in. */
  readonly accepts?: (raw: RawSocket) => boolean;
  /** Told of each that is closed at once, as there are too many. */
  readonly onRefused?: (raw: RawSocket) => void;
}

/** For how long the other sides may take to say goodbye when the whole server closes, in milliseconds. */
const patience = 1000;

/** How often in its time an idle connection is looked at. */
const looks = 4;

/** Accepts TLS connections and keeps them within their limits. listen(), serve() and createServer() are made of it. */
export class TlsServer {
  readonly #parts: TlsServerParts;
  readonly #limits: Required<ConnectionLimits>;
  readonly #counts: ServerStats = emptyStats();
  readonly #traffic = { bytesRead: 0, bytesWritten: 0, now: 0 };
  readonly #sockets = new Set<TlsSocket>();
  readonly #perNetwork = new Map<string, number>();
  readonly #owner: TlsSocketOwner;
  /** Those that were ended for their silence, and have until the next look to go. */
  readonly #givenUp = new WeakSet<TlsSocket>();
  readonly #handshakes: Deadlines<TlsSocket>;
  readonly #closings = closingDeadlines();
  /** How many connections there may be at once. */
  maxConnections: number;
  #listener: RawListener | undefined;
  #clock: ReturnType<typeof setInterval> | undefined;
  #isClosing = false;
  #onEmpty: (() => void) | undefined;

  constructor(parts: TlsServerParts) {
    this.#parts = parts;
    this.#limits = limitsOf(parts.limits);
    const { handshakeTimeout, maxBufferedBytes } = this.#limits;
    this.maxConnections = this.#limits.maxConnections;
    this.#handshakes = new Deadlines(handshakeTimeout, (socket) => {
      this.#counts.handshakeTimeouts++;
      const message = `The client did not finish its handshake in ${handshakeTimeout} ms`;
      socket.destroy(codedError(message, "ERR_TLS_HANDSHAKE_TIMEOUT"));
    });
    this.#owner = {
      role: "server",
      onConnection: (socket) => {
        this.#counts.handshakes++;
        if (socket.isResumed) this.#counts.resumed++;
        return parts.onConnection(socket);
      },
      admit: parts.admit && ((socket) => this.#admit(socket)),
      onOpen: (socket) => this.#opened(socket),
      onError: (error, socket) => parts.onError(error, { kind: isIn(socket) ? "connection" : "handshake", socket }),
      onClose: (socket) => this.#closed(socket),
      onLimit: (limit) => {
        if (limit === "buffered bytes") this.#counts.bufferOverflows++;
        else this.#counts.controlFloods++;
      },
      handshakes: this.#handshakes,
      closings: this.#closings,
      traffic: this.#traffic,
      maxBufferedBytes,
    };
  }

  /** Starts to listen, on all of this machine's addresses where there is no name. It does so at once if it can. */
  async listen(port: number, hostname: string | undefined, reusePort: boolean): Promise<void> {
    try {
      const address = { hostname, port, ...(reusePort && { reusePort }) };
      const listener = socketsOfThisRuntime().listen(address, (raw) => this.#accept(raw), (error) => {
        this.#counts.acceptFailures++;
        this.#parts.onError(error, { kind: "accept", socket: undefined });
      });
      this.#listener = listener instanceof Promise ? await listener : listener;
    } catch (cause) {
      throw listenError(hostname ?? "all addresses", port, cause);
    }
    const { idleTimeout } = this.#limits;
    if (idleTimeout === 0) return;
    // A look at all of them now and then costs less than a timer for each, set anew with each byte.
    this.#clock = setInterval(() => this.#look(), Math.ceil(idleTimeout / looks));
    this.#clock.unref();
  }

  /** Whether it listens. */
  get isListening(): boolean {
    return this.#listener !== undefined && !this.#isClosing;
  }

  /** The address that it listens on. */
  get hostname(): string {
    return this.#listener!.hostname;
  }

  /** The port that it listens on. */
  get port(): number {
    return this.#listener!.port;
  }

  /** Whether listening keeps the program alive. */
  keepAlive(isKept: boolean): void {
    if (isKept) this.#listener?.ref();
    else this.#listener?.unref();
  }

  /** How many connections there are. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** What was counted so far. */
  stats(): ServerStats {
    const { bytesRead, bytesWritten } = this.#traffic;
    return {
      ...this.#counts,
      bytesRead,
      bytesWritten,
      connections: this.#sockets.size,
      handshaking: this.#handshakes.size,
    };
  }

  /** Stops listening. Connections go on. Done when the port is free. */
  async stopListening(): Promise<void> {
    this.#isClosing = true;
    await this.#listener?.close();
  }

  /** Waits until all connections are ready to be ended, but not for long: a client may keep one for later. */
  async ready(isReady: (socket: TlsSocket) => boolean, milliseconds: number): Promise<void> {
    const end = performance.now() + Math.min(milliseconds, patience);
    while (performance.now() < end && [...this.#sockets].some((socket) => !isReady(socket))) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Kept when no connection is left, or this many milliseconds are over, or 25 days. */
  async empty(milliseconds: number): Promise<void> {
    if (this.#sockets.size === 0) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
      if (milliseconds < Infinity) timer = setTimeout(resolve, Math.min(milliseconds, 0x7fffffff));
    });
    this.#onEmpty = undefined;
    clearTimeout(timer);
  }

  /** Has whoever waits for that look anew whether to wait. */
  stopWaiting(): void {
    this.#onEmpty?.();
  }

  /** Says goodbye on all connections, and closes those whose other side does not do so in a second. */
  async end(): Promise<void> {
    for (const socket of this.#sockets) endTls(socket);
    await this.empty(patience);
    for (const socket of this.#sockets) abandonTls(socket);
    await this.empty(Infinity);
    clearInterval(this.#clock);
    this.#handshakes.close();
    this.#closings.close();
  }

  #accept(raw: RawSocket): RawSocketEvents {
    if (this.#isClosing) return ignoredSocket(raw);
    this.#counts.accepted++;
    if (this.#isTooMuch(raw.remoteAddress)) {
      this.#parts.onRefused?.(raw);
      return ignoredSocket(raw);
    }
    try {
      if (this.#parts.accepts?.(raw) === false) return ignoredSocket(raw);
      return startTls(raw, SslConnection.server(this.#parts.context()), this.#owner);
    } catch (error) {
      // The context was disposed, say. Without TLS there is nothing to be done with the client.
      try {
        this.#parts.onError(error as Error, { kind: "accept", socket: undefined });
      } catch {
        // The operator's handler must not take the server with it.
      }
      return ignoredSocket(raw);
    }
  }

  #isTooMuch(address: string): boolean {
    const { maxConnectionsPerAddress, maxHandshakes } = this.#limits;
    if (this.#sockets.size >= this.maxConnections) this.#counts.refusedConnections++;
    else if ((this.#perNetwork.get(clientNetwork(address)) ?? 0) >= maxConnectionsPerAddress) {
      this.#counts.refusedPerAddress++;
    } else if (this.#handshakes.size >= maxHandshakes) this.#counts.refusedHandshakes++;
    else return false;
    return true;
  }

  #opened(socket: TlsSocket): void {
    this.#sockets.add(socket);
    const network = clientNetwork(socket.remoteAddress);
    this.#perNetwork.set(network, (this.#perNetwork.get(network) ?? 0) + 1);
  }

  #closed(socket: TlsSocket): void {
    this.#sockets.delete(socket);
    if (!isEstablished(socket)) this.#counts.failedHandshakes++;
    const network = clientNetwork(socket.remoteAddress);
    const left = this.#perNetwork.get(network)! - 1;
    if (left > 0) this.#perNetwork.set(network, left);
    else this.#perNetwork.delete(network);
    if (this.#sockets.size === 0) this.#onEmpty?.();
  }

  async #admit(socket: TlsSocket): Promise<boolean> {
    const admitted = await this.#parts.admit!(socket);
    if (admitted !== true) this.#counts.unauthorized++;
    return admitted;
  }

  /** Ends the connections that were silent for long. */
  #look(): void {
    const now = ++this.#traffic.now;
    for (const socket of this.#sockets) {
      const silent = now - lastActive(socket);
      const isGivenUp = this.#givenUp.has(socket);
      if (!isGivenUp && (silent <= looks || !isEstablished(socket))) continue;
      if (!isGivenUp) {
        this.#givenUp.add(socket);
        this.#counts.idleTimeouts++;
        endTls(socket);
      } else {
        abandonTls(socket, new Error(`The client was idle for ${this.#limits.idleTimeout} ms`));
      }
    }
  }
}
