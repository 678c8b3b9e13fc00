import { clearTimeout, setTimeout } from "node:timers";
import { importPackage } from "../ffi/import_package.ts";
import { abortable } from "./abortable.ts";
import { Deadlines } from "./deadlines.ts";
import { redisPackage } from "./redis_package.ts";

// The part of the npm package redis used here, declared so that this file type-checks where it is not installed.
interface NodeRedis {
  createClient(options: {
    url: string;
    RESP: 2;
    disableOfflineQueue: boolean;
    disableClientInfo: boolean;
    socket: { connectTimeout: number; reconnectStrategy: false };
  }): NodeRedisClient;
}
interface NodeRedisClient {
  on(event: "error", listener: (error: Error) => void): unknown;
  connect(): Promise<unknown>;
  sendCommand(command: readonly string[]): Promise<unknown>;
  destroy(): void;
}

/** Between two attempts to connect, after the first that failed and at most, in milliseconds. */
const firstPause = 100;
const longestPause = 2000;

/**
 * A connection to Redis that is made when it is needed, and made anew when it is needed and was lost. No command waits
 * for Redis to come back: while it is known to be away, one in a while tries to connect, and the others fail at once.
 *
 * node-redis would do some of this itself, with timers that go on after it was closed.
 */
export class RedisClient {
  readonly #url: string;
  /** Where Redis is, without the password. */
  readonly #place: string;
  readonly #timeout: number;
  readonly #onError: ((error: Error) => void) | undefined;
  readonly #deadlines: Deadlines<{ readonly client: NodeRedisClient }>;
  readonly #pending = new Set<Promise<unknown>>();
  /** Why a connection was given up, for the commands that were under way on it. */
  readonly #reasons = new WeakMap<NodeRedisClient, Error>();
  /** The connection there is, or the one that is being made. */
  #connection: Promise<NodeRedisClient> | undefined;
  #client: NodeRedisClient | undefined;
  /** Set while Redis is known to be away. */
  #failure: { readonly error: Error; readonly pause: number; readonly until: number } | undefined;
  #isClosed = false;

  constructor(url: string, timeout: number, onError: ((error: Error) => void) | undefined) {
    const { host, pathname, protocol } = new URL(url);
    this.#url = url;
    this.#place = protocol === "unix:" ? pathname : host;
    this.#timeout = timeout;
    this.#onError = onError;
    this.#deadlines = new Deadlines(timeout, ({ client }) => {
      const error = new Error(`Redis at ${this.#place} did not answer in ${timeout} ms`);
      this.#lose(client, error);
      this.#fail(error, 0);
    });
  }

  /** What Redis answers to a command. Rejects if it cannot be asked, or if nobody waits for it any more. */
  async send(command: readonly string[], signal: AbortSignal | undefined): Promise<unknown> {
    const client = await abortable(this.#connected(), signal);
    signal?.throwIfAborted();
    const pending = { client };
    const answer = client.sendCommand(command).catch((error) => {
      throw this.#reasons.get(client) ?? error;
    }).finally(() => {
      this.#deadlines.delete(pending);
      this.#pending.delete(answer);
    });
    this.#deadlines.add(pending);
    this.#pending.add(answer);
    return await abortable(answer, signal);
  }

  /** Waits for the answers that are under way, and ends the connection. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#connection?.catch(() => {});
    await Promise.allSettled(this.#pending);
    this.#client?.destroy();
    this.#client = undefined;
    this.#deadlines.close();
  }

  async #connected(): Promise<NodeRedisClient> {
    if (this.#isClosed) throw new Error("The connection to Redis was closed");
    if (this.#failure && (this.#connection || performance.now() < this.#failure.until)) throw this.#failure.error;
    return await (this.#connection ??= this.#connect());
  }

  async #connect(): Promise<NodeRedisClient> {
    let client: NodeRedisClient | undefined;
    try {
      const { createClient } = await importPackage(redisPackage) as NodeRedis;
      const made = client = createClient({
        url: this.#url,
        RESP: 2,
        disableOfflineQueue: true,
        disableClientInfo: true,
        socket: { connectTimeout: this.#timeout, reconnectStrategy: false },
      });
      // Without a listener it would end the program.
      made.on("error", (error) => this.#lose(made, error));
      await this.#inTime(made);
      this.#failure = undefined;
      return this.#client = made;
    } catch (cause) {
      client?.destroy();
      const error = new Error(`Cannot connect to Redis at ${this.#place}: ${reasonOf(cause)}`, { cause });
      this.#connection = undefined;
      this.#fail(error, this.#failure ? Math.min(this.#failure.pause * 2 || firstPause, longestPause) : firstPause);
      this.#report(error);
      throw error;
    }
  }

  /** node-redis has a time limit for the socket, and none for the first commands on it. */
  async #inTime(client: NodeRedisClient): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`it did not answer in ${this.#timeout} ms`)), this.#timeout);
    });
    try {
      await Promise.race([client.connect(), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Gives a connection up, if it is the one in use: the next command makes another. */
  #lose(client: NodeRedisClient, error: Error): void {
    if (client !== this.#client) return;
    this.#client = undefined;
    this.#connection = undefined;
    const reason = new Error(`The connection to Redis at ${this.#place} was lost: ${reasonOf(error)}`, {
      cause: error,
    });
    this.#reasons.set(client, reason);
    client.destroy();
    this.#report(reason);
  }

  #fail(error: Error, pause: number): void {
    this.#failure = { error, pause, until: performance.now() + pause };
  }

  #report(error: Error): void {
    if (this.#isClosed) return;
    try {
      this.#onError?.(error);
    } catch {
      // An operator's broken handler must not end the program.
    }
  }
}

/** What went wrong: where a name has several addresses, the error that has the others in it says nothing itself. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && !error.message) return error.errors.map(reasonOf).join(", ");
  return error instanceof Error ? error.message : String(error);
}
