/** Servers with a session cache of any options, and stores that answer when a test says so. */

import {
  type ConnectionHandler,
  MemoryStore,
  type Server,
  Session,
  SessionCache,
  type SessionCacheEvent,
  type SessionCacheOptions,
  type SessionCacheStats,
  type SessionStore,
  type SessionStoreError,
  type SslConnection,
  SslContext,
  type SslContextOptions,
  type StoreLookup,
} from "../mod.ts";
import { listenSockets } from "../server/listen.ts";
import { within } from "./server_support.ts";
import { echo } from "./socket_support.ts";
import { Contexts, credentials, Link, type Version } from "./support.ts";

/** Two contexts of which the server's has a session cache. What the cache tells is kept. */
export class Cached extends Contexts {
  readonly cache: SessionCache;
  readonly events: SessionCacheEvent[] = [];
  readonly errors: SessionStoreError[] = [];

  constructor(
    version: Version,
    options: SessionCacheOptions,
    server: SslContextOptions = {},
    client: SslContextOptions = {},
  ) {
    super(version, server, client);
    this.cache = new SessionCache({
      ...options,
      onEvent: (event) => {
        this.events.push(event);
        return options.onEvent?.(event);
      },
      onStoreError: (error) => {
        this.errors.push(error);
        return options.onStoreError?.(error);
      },
    });
    this.cache.attach(this.server);
  }

  /** A connection to another server, with a copy of a session. */
  linkTo({ server }: { server: SslContext }, session?: Session, serverName = "localhost"): Link {
    using copy = session && Session.fromDer(session.toDer());
    return new Link({ server, client: this.client }, copy, serverName);
  }

  /** A connection to another server, made and cleanly ended. */
  visitAt(other: { server: SslContext }, session?: Session, serverName?: string): { resumed: boolean } {
    using link = this.linkTo(other, session, serverName);
    link.connect();
    const resumed = link.server.isResumed;
    link.close();
    return { resumed };
  }

  /** The counts that are not 0, as far as they count something. */
  get counted(): Partial<SessionCacheStats> {
    return countedBy(this.cache);
  }

  /** The types of what the cache told, oldest first. */
  get told(): string[] {
    return this.events.map(({ type }) => type);
  }
}

/** The counts of a cache that are not 0. */
export function countedBy(cache: SessionCache): Partial<SessionCacheStats> {
  return Object.fromEntries(
    Object.entries(cache.stats()).filter(([, count]) => typeof count === "number" && count > 0),
  );
}

/** A lookup that a store was asked for, and that it answers when the test says so. */
export class PendingLookup {
  readonly operation: "get" | "take";
  readonly key: string;
  readonly signal: AbortSignal;
  readonly promise: Promise<Uint8Array | undefined>;
  readonly resolve: (value: Uint8Array | undefined) => void;
  readonly reject: (error: unknown) => void;
  readonly #inner: MemoryStore;

  constructor(inner: MemoryStore, operation: "get" | "take", key: string, lookup: StoreLookup) {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | undefined>();
    this.operation = operation;
    this.key = key;
    this.signal = lookup.signal;
    this.promise = promise;
    this.resolve = resolve;
    this.reject = reject;
    this.#inner = inner;
  }

  /** Answers with what the store has now. */
  answer(): void {
    this.resolve(this.#inner[this.operation](this.key));
  }
}

/** A store over memory that takes its time with lookups: until the test answers them. */
export class PendingStore implements SessionStore {
  readonly inner = new MemoryStore();
  readonly lookups: PendingLookup[] = [];
  #onLookup: (() => void) | undefined;

  get(key: string, lookup?: StoreLookup): MaybeLater {
    return this.#ask("get", key, lookup!);
  }
  take(key: string, lookup?: StoreLookup): MaybeLater {
    return this.#ask("take", key, lookup!);
  }
  put(key: string, value: Uint8Array, expiresAt: Date): void | Promise<void> {
    this.inner.put(key, value, expiresAt);
  }
  delete(key: string): void {
    this.inner.delete(key);
  }

  #ask(operation: "get" | "take", key: string, lookup: StoreLookup): MaybeLater {
    const pending = new PendingLookup(this.inner, operation, key, lookup);
    this.lookups.push(pending);
    this.#onLookup?.();
    return pending.promise;
  }

  /** Waits until it has been asked this many times. */
  async asked(times: number): Promise<PendingLookup> {
    const asked = new Promise<void>((resolve) => {
      this.#onLookup = () => {
        if (this.lookups.length >= times) resolve();
      };
      this.#onLookup();
    });
    await within(asked, `lookup number ${times}`);
    return this.lookups[times - 1]!;
  }
}

type MaybeLater = Uint8Array | undefined | Promise<Uint8Array | undefined>;

/** Waits until a connection that hangs on a lookup is to go on. */
export async function woken(connection: SslConnection): Promise<void> {
  await within(new Promise<void>((resolve) => connection.onWake = resolve), "a connection to be woken");
}

/** Has all Promises that are kept or rejected tell those who wait for them. */
export async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
}

/** Some bytes that nobody guesses, for secrets. */
export function secret(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(32));
}

/** A server on a free port of 127.0.0.1 that echoes, with a cache of any options. */
export class CachedServer {
  readonly context: SslContext;
  readonly cache: SessionCache;
  readonly listener: Server;
  readonly errors: Error[];

  private constructor(context: SslContext, cache: SessionCache, listener: Server, errors: Error[]) {
    this.context = context;
    this.cache = cache;
    this.listener = listener;
    this.errors = errors;
  }

  static async start(
    options: SessionCacheOptions,
    server: SslContextOptions = {},
    onConnection: ConnectionHandler = echo,
  ): Promise<CachedServer> {
    const context = SslContext.server({ ...credentials, ...server });
    const cache = new SessionCache(options);
    cache.attach(context);
    const errors: Error[] = [];
    const onError = (error: Error) => void errors.push(error);
    const listener = await listenSockets({ context, hostname: "127.0.0.1", onError }, onConnection);
    return new CachedServer(context, cache, listener, errors);
  }

  get port(): number {
    return this.listener.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await within(this.listener.close(), "the server to close");
    await within(this.cache.close(), "the cache to close");
    this.context.dispose();
  }
}
