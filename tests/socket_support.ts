/** TLS over real sockets for the tests: a server, its clients, and clients that speak TCP and do what they like. */

import { assertEquals } from "@std/assert";
import { connect as connectTcp, type Socket } from "node:net";
import process from "node:process";
import {
  connect,
  type ConnectionHandler,
  type ConnectOptions,
  listen,
  MemoryStore,
  type ProtocolVersion,
  type Server as Listener,
  Session,
  SessionCache,
  SessionCacheMode,
  SslConnection,
  SslContext,
  type SslContextOptions,
  type TlsDuplex,
  type TlsServerOptions,
  type TlsSocket,
  type TlsSocketHandlers,
} from "../mod.ts";
import { listenSockets } from "../server/listen.ts";
import { assertNothingLeft, standing } from "./counts.ts";
import { joined, until, within } from "./server_support.ts";
import { credentials } from "./support.ts";

/** What happens on one socket, as far as its own handlers do not do it. */
export class Recording {
  readonly parts: Uint8Array[] = [];
  length = 0;
  readonly ended: Promise<void>;
  readonly closed: Promise<Error | undefined>;
  readonly handlers: TlsSocketHandlers;
  readonly #waiting = new Set<() => void>();

  constructor(own: TlsSocketHandlers = {}) {
    const ended = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<Error | undefined>();
    this.ended = ended.promise;
    this.closed = closed.promise;
    this.handlers = {
      ...own,
      data: (socket, bytes) => {
        this.parts.push(bytes);
        this.length += bytes.length;
        for (const look of this.#waiting) look();
        own.data?.(socket, bytes);
      },
      end: (socket) => {
        ended.resolve();
        if (own.end) own.end(socket);
        else socket.end();
      },
      close: (socket, error) => {
        closed.resolve(error);
        for (const look of this.#waiting) look();
        own.close?.(socket, error);
      },
    };
  }

  /** Waits until this many bytes have come. */
  async bytes(length: number): Promise<Uint8Array> {
    const came = new Promise<void>((resolve) => {
      const look = () => {
        if (this.length < length) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
    await within(came, `${length} bytes`, 60_000);
    return joined(this.parts);
  }

  /** All that came, as text. */
  get text(): string {
    return new TextDecoder().decode(joined(this.parts));
  }
}

/** A server on a free port of 127.0.0.1, with a session cache. */
export class Server {
  readonly context: SslContext;
  readonly listener: Listener;
  readonly cache: SessionCache;
  readonly store: MemoryStore;
  readonly errors: Error[];

  private constructor(
    context: SslContext,
    listener: Listener,
    cache: SessionCache,
    store: MemoryStore,
    errors: Error[],
  ) {
    this.context = context;
    this.listener = listener;
    this.cache = cache;
    this.store = store;
    this.errors = errors;
  }

  static async start(
    onConnection: ConnectionHandler,
    context: SslContextOptions = {},
    options: TlsServerOptions = {},
  ): Promise<Server> {
    return await Server.#start((options) => listenSockets(options, onConnection), context, options);
  }

  /** The same with streams. */
  static async startStreams(
    onConnection: (stream: TlsDuplex) => void,
    context: SslContextOptions = {},
    options: TlsServerOptions = {},
  ): Promise<Server> {
    return await Server.#start((options) => listen(options, onConnection), context, options);
  }

  static async #start(
    start: (options: TlsServerOptions) => Promise<Listener>,
    context: SslContextOptions,
    options: TlsServerOptions,
  ): Promise<Server> {
    const sslContext = SslContext.server({ ...credentials, ...context });
    const store = new MemoryStore();
    const cache = new SessionCache({ store });
    cache.attach(sslContext);
    const errors: Error[] = [];
    const listener = await start({
      context: sslContext,
      hostname: "127.0.0.1",
      onError: (error) => void errors.push(error),
      ...options,
    }).catch((error) => {
      sslContext.dispose();
      throw error;
    });
    return new Server(sslContext, listener, cache, store, errors);
  }

  get port(): number {
    return this.listener.port;
  }

  /** The next error that the server is told of. Ask before it happens. */
  async failure(): Promise<Error> {
    const count = this.errors.length;
    await until(() => this.errors.length > count, "an error");
    return this.errors[count]!;
  }

  /** Waits until no connection is left. */
  async empty(): Promise<void> {
    await until(() => this.listener.connections === 0, "the server's last connection to end");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await within(this.listener.close(), "the server to close");
    this.context.dispose();
  }
}

/** Answers each byte with the same byte, holding back those who do not read. */
export const echo: ConnectionHandler = () => ({
  data: (socket, bytes) => {
    if (!socket.write(bytes)) socket.pause();
  },
  drain: (socket) => socket.resume(),
});

/** A client that keeps the sessions it gets. */
export class Client {
  readonly context: SslContext;
  readonly sessions: Session[] = [];
  /** A ticket may come later than the end of the test, and nobody would dispose of its session. */
  #isDisposed = false;

  constructor(options: SslContextOptions & { version?: ProtocolVersion } = {}) {
    const { version, ...rest } = options;
    this.context = SslContext.client({
      certificateAuthorities: credentials.certificate,
      sessionCacheMode: SessionCacheMode.Client | SessionCacheMode.NoInternal,
      ...(version && { minVersion: version, maxVersion: version }),
      ...rest,
    });
    this.context.setNewSessionCallback((_connection, session) => !this.#isDisposed && this.sessions.push(session) > 0);
  }

  /** Connects, with a copy of the session if there is one. */
  async connect(
    port: number,
    handlers: TlsSocketHandlers = {},
    options: Partial<ConnectOptions> = {},
  ): Promise<TlsSocket> {
    const { session, ...rest } = options;
    using copy = session && Session.fromDer(session.toDer());
    return await within(
      connect({
        context: this.context,
        hostname: "127.0.0.1",
        serverName: "localhost",
        port,
        ...rest,
        ...(copy && { session: copy }),
      }, handlers),
      "a connection",
    );
  }

  /** Connects, for a stream. */
  async stream(port: number, options: Partial<ConnectOptions> = {}): Promise<TlsDuplex> {
    const where = { context: this.context, hostname: "127.0.0.1", serverName: "localhost", port };
    return await within(connect({ ...where, ...options }), "a connection");
  }

  /** One connection to a server that echoes: says something, hears it, and ends. */
  async visit(port: number, session?: Session): Promise<{ resumed: boolean; protocol: ProtocolVersion }> {
    const recording = new Recording();
    const socket = await this.connect(port, recording.handlers, session ? { session } : {});
    const { isResumed: resumed, protocol } = socket;
    socket.write(new TextEncoder().encode("hello"));
    await recording.bytes(5);
    assertEquals(recording.text, "hello");
    socket.end();
    assertEquals(await within(recording.closed, "the connection to close"), undefined);
    return { resumed, protocol };
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    for (const session of this.sessions) session.dispose();
    this.context.dispose();
  }
}

const scratch = new Uint8Array(65536);

/** A TCP client. What it says of TLS it says by an SslConnection of its own, as far as the test lets it. */
export class TcpClient {
  readonly socket: Socket;
  readonly connection: SslConnection | undefined;
  readonly parts: Uint8Array[] = [];
  /** Kept when the server has ended its side or is gone. */
  readonly ended: Promise<void>;
  readonly closed: Promise<void>;
  /** Whether the server has ended its side or is gone. */
  isOver = false;
  #onBytes: (() => void) | undefined;

  private constructor(socket: Socket, connection: SslConnection | undefined) {
    this.socket = socket;
    this.connection = connection;
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    this.ended = Promise.race([new Promise<void>((resolve) => socket.once("end", () => resolve())), this.closed]);
    socket.on("error", () => {});
    socket.on("data", (bytes: Uint8Array) => {
      this.parts.push(bytes.slice());
      this.#onBytes?.();
    });
    this.ended.then(() => {
      this.isOver = true;
      this.#onBytes?.();
    });
  }

  static async connect(port: number, context?: SslContext): Promise<TcpClient> {
    const connection = context && SslConnection.client(context, { serverName: "localhost" });
    const socket = connectTcp({ port, host: "127.0.0.1", allowHalfOpen: true });
    const client = new TcpClient(socket, connection);
    await within(
      new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject)),
      "a TCP connection",
    );
    return client;
  }

  /** What the TLS client wants to send. */
  pull(): Uint8Array {
    this.connection!.handshake();
    return this.rest();
  }

  /** What it has to send when its handshake has failed: an alert. */
  rest(): Uint8Array {
    return scratch.slice(0, this.connection!.pullCiphertext(scratch));
  }

  /** Sends, and waits until the system has taken it. */
  async send(bytes: Uint8Array | string): Promise<void> {
    await within(new Promise<void>((resolve) => this.socket.write(bytes, () => resolve())), "bytes to be sent");
  }

  /** Waits for the server's next bytes; none if there are no more. */
  async receive(): Promise<Uint8Array> {
    if (this.parts.length === 0 && !this.isOver) {
      await within(new Promise<void>((resolve) => this.#onBytes = resolve), "the server's bytes");
    }
    return joined(this.parts.splice(0));
  }

  /** Shakes hands to the end. */
  async shakeHands(): Promise<void> {
    for (let turn = 0; turn < 50; turn++) {
      const done = this.connection!.handshake() === "done";
      const bytes = this.pull();
      if (bytes.length > 0) await this.send(bytes);
      if (done) return;
      this.connection!.pushCiphertext(await this.receive());
    }
    throw new Error("The handshake does not end");
  }

  /** Waits for plaintext. */
  async read(): Promise<Uint8Array> {
    for (let turn = 0; turn < 50; turn++) {
      const length = this.connection!.read(scratch);
      if (length === null) throw new Error("The server has said goodbye");
      if (length > 0) return scratch.slice(0, length);
      this.connection!.pushCiphertext(await this.receive());
    }
    throw new Error("There is no plaintext");
  }

  /** Sends plaintext. */
  async write(text: string): Promise<void> {
    this.connection!.write(new TextEncoder().encode(text));
    await this.send(this.rest());
  }

  /** Is gone, without a goodbye of TLS. A reset also throws away what is on the way. */
  async vanish(how: "close" | "reset"): Promise<void> {
    if (how === "reset" && this.socket.resetAndDestroy) this.socket.resetAndDestroy();
    else this.socket.destroy();
    await within(this.closed, "the TCP client to close");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.socket.destroyed) this.socket.destroy();
    await within(this.closed, "the TCP client to close");
    this.connection?.shutdownQuietly();
    this.connection?.dispose();
  }
}

/** Runs a test and asserts that it left nothing behind, and no rejection that nobody handled. */
export function leavingNothingLater(test: () => Promise<void>): () => Promise<void> {
  return async () => {
    const before = standing();
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => void unhandled.push(reason);
    process.on("unhandledRejection", note);
    try {
      await test();
      await until(() => standing().held.connections === before.held.connections, "the last connection to be freed");
      await new Promise((resolve) => setImmediate(resolve));
    } finally {
      process.off("unhandledRejection", note);
    }
    assertEquals(unhandled, []);
    assertNothingLeft(before);
  };
}
