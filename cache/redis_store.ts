import { Buffer } from "node:buffer";
import { anyText, callback, milliseconds } from "../ssl/option_kinds.ts";
import { type OptionKinds, readOptions } from "../ssl/options.ts";
import { abortable } from "./abortable.ts";
import { fromBase64, toBase64 } from "./base64.ts";
import { RedisClient } from "./redis_client.ts";
import type { SessionStore, StoreLookup } from "./session_store.ts";

/** A command for Redis: its name, the one key that it is about, and what else it takes. */
export type RedisCommand = [name: string, key: string, ...parameters: string[]];

/** Where a {@linkcode RedisStore} keeps sessions: at a URL, or behind a client that the program has. */
export interface RedisStoreOptions {
  /**
   * Where Redis is: `redis://USER:PASSWORD@HOST:PORT/DATABASE`, with TLS `rediss://…`, or `unix:///PATH`. The npm
   * package `redis` is loaded for it at first use.
   */
  url?: string;
  /**
   * Hands a command to a client of yours, and returns what Redis answers, as text. The name of the command is
   * `command[0]`, its key `command[1]`.
   */
  sendCommand?: (command: RedisCommand) => Promise<unknown>;
  /** What the names of the keys begin with, by default `openssl-sessions:`. */
  prefix?: string;
  /**
   * With `url`: for how long to wait for a connection and for an answer, in milliseconds, by default 2,000. A
   * connection on which an answer takes longer is given up.
   */
  timeout?: number;
  /**
   * With `url`: called when Redis could not be reached and when the connection to it was lost. What it throws is
   * ignored. Commands that fail for that reason reject too, which a session cache reports to its `onStoreError`.
   */
  onError?: (error: Error) => void;
}

const kinds: OptionKinds<RedisStoreOptions> = {
  url: anyText,
  sendCommand: callback(),
  prefix: anyText,
  timeout: milliseconds,
  onError: callback(),
};

/**
 * Keeps sessions in Redis 6.2 or newer, or in Valkey: servers on many machines share them.
 *
 * By its `url`, the store has a connection of its own, made at first use. While Redis is away, commands fail at once;
 * the store connects again by itself.
 *
 * Or the store uses the client that the program has, whichever it is. Each command has one key, so a cluster will do.
 * Set the client up so that it does not queue commands while Redis is away:
 *
 * | client | `sendCommand` | no queue |
 * |---|---|---|
 * | redis | `(command) => client.sendCommand(command)` | `disableOfflineQueue: true` |
 * | redis, cluster | `(command) => cluster.sendCommand(command[1], false, command)` | `defaults: { disableOfflineQueue: true }` |
 * | ioredis, iovalkey, and their clusters | `([name, ...rest]) => client.call(name, ...rest)` | `enableOfflineQueue: false` |
 * | Bun.RedisClient | `([name, ...rest]) => client.send(name, rest)` | `enableOfflineQueue: false` |
 *
 * Values are kept as base64 text, which every client hands on unchanged. What has expired Redis removes itself. A
 * session that is taken is deleted in the same step (`GETDEL`): of all servers, one gets it. Where replicas are
 * promoted, a session may survive its being taken: Redis replicates asynchronously.
 *
 * @see https://redis.io/docs/latest/commands/getdel/
 *
 * @example By URL
 * ```ts ignore
 * import { RedisStore, SessionCache } from "@openssl-sessions/openssl-sessions";
 *
 * await using store = new RedisStore({ url: "redis://localhost:6379", onError: (error) => console.error(error.message) });
 * await store.ready();
 * const cache = new SessionCache({ store, secrets: ["at least 16 bytes that all servers know"] });
 * ```
 *
 * @example Over a client
 * ```ts ignore
 * import { RedisStore, SessionCache } from "@openssl-sessions/openssl-sessions";
 * import { Redis } from "ioredis";
 *
 * const redis = new Redis("redis://localhost:6379", { enableOfflineQueue: false });
 * const store = new RedisStore({ sendCommand: ([name, ...rest]) => redis.call(name, ...rest) });
 * const cache = new SessionCache({ store, secrets: ["at least 16 bytes that all servers know"] });
 * ```
 */
export class RedisStore implements SessionStore {
  /** True: values leave this process. */
  readonly isShared = true;
  /**
   * All that is kept under the prefix, found by `SCAN`. There if the store was made by `url`: in a cluster, `SCAN` would
   * find what one server has, and no error would tell.
   */
  readonly entries?: () => AsyncGenerator<[key: string, value: Uint8Array]>;
  readonly #send: (command: RedisCommand, signal: AbortSignal | undefined) => Promise<unknown>;
  readonly #client: RedisClient | undefined;
  readonly #prefix: string;

  /**
   * A store that is not connected yet.
   *
   * @param options either `url` or `sendCommand`, and what else there is to say
   * @throws {TypeError} if there is neither or both, or if the URL is none of Redis; for an option that is not known, or
   *   of another type
   * @throws {RangeError} if `timeout` is not a number of milliseconds from 1 to 2,147,483,647
   */
  constructor(options: RedisStoreOptions) {
    const { url, sendCommand, prefix = "openssl-sessions:", timeout = 2000, onError } = readOptions(
      "new RedisStore()",
      kinds,
      options,
    );
    if ((url === undefined) === (sendCommand === undefined)) {
      throw new TypeError("Cannot tell which Redis is meant: give either url or sendCommand");
    }
    this.#prefix = prefix;
    if (sendCommand) {
      this.#send = async (command, signal) => await abortable(Promise.resolve(sendCommand(command)), signal);
      return;
    }
    // A URL may have a password in it, so errors do not show it.
    if (!URL.canParse(url!) || !["redis:", "rediss:", "unix:"].includes(new URL(url!).protocol)) {
      throw new TypeError(
        "Cannot read the URL of Redis: it is like redis://HOST:PORT, rediss://HOST:PORT or unix:///PATH",
      );
    }
    const client = this.#client = new RedisClient(url!, timeout, onError);
    this.#send = (command, signal) => client.send(command, signal);
    this.entries = () => this.#scan();
  }

  /**
   * Finds out whether Redis can be used: connects and tries the newest command that the store needs. A program that
   * calls this at its start learns of a wrong address then, and not from handshakes that do not resume.
   *
   * @throws {Error} if Redis cannot be reached, does not let us in or is older than 6.2; the message says which
   */
  async ready(): Promise<void> {
    await this.#command(["GETDEL", this.#prefix]);
  }

  /** The value under the key, if it has not expired. */
  async get(key: string, lookup?: StoreLookup): Promise<Uint8Array | undefined> {
    return fromBase64(await this.#command(["GET", this.#prefix + key], lookup));
  }

  /** Keeps the value under the key, until it expires. */
  async put(key: string, value: Uint8Array, expiresAt: Date): Promise<void> {
    const milliseconds = expiresAt.getTime() - Date.now();
    // Redis takes no time to live below 1, and another value under the key must not stay.
    if (milliseconds < 1) return await this.delete(key);
    const answer = await this.#command(["SET", this.#prefix + key, toBase64(value), "PX", `${milliseconds}`]);
    const text = answer instanceof Uint8Array ? Buffer.from(answer).toString("latin1") : answer;
    // A function that forgets to return the client's answer would make every get a miss.
    if (text !== "OK") {
      throw new TypeError(`Redis answered SET with ${typeof text} and not with OK. Is it sendCommand?`);
    }
  }

  /** The value under the key, deleted in the same step: of all servers that ask, one gets it. */
  async take(key: string, lookup?: StoreLookup): Promise<Uint8Array | undefined> {
    return fromBase64(await this.#command(["GETDEL", this.#prefix + key], lookup));
  }

  /** Deletes the value under the key, if there is one. */
  async delete(key: string): Promise<void> {
    await this.#command(["DEL", this.#prefix + key]);
  }

  /**
   * Waits for the answers that are under way, and ends the connection. Doing it twice does no harm; using the store
   * afterwards rejects. A client of yours is yours to close.
   */
  async close(): Promise<void> {
    await this.#client?.close();
  }

  /** The same as {@linkcode RedisStore.close}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async *#scan(): AsyncGenerator<[key: string, value: Uint8Array]> {
    const pattern = this.#prefix.replace(/[*?[\]\\]/g, "\\$&") + "*";
    const seen = new Set<string>();
    let cursor = "0";
    do {
      const answer = await this.#command(["SCAN", cursor, "MATCH", pattern, "COUNT", "500"]) as [string, string[]];
      cursor = answer[0];
      for (const name of answer[1]) {
        const key = name.slice(this.#prefix.length);
        // Redis may find a key twice. The name alone is what ready() asks for.
        if (seen.has(key) || key === "") continue;
        seen.add(key);
        const value = await this.get(key);
        if (value) yield [key, value];
      }
    } while (cursor !== "0");
  }

  async #command(command: RedisCommand, lookup?: StoreLookup): Promise<unknown> {
    const signal = lookup?.signal;
    // What nobody waits for must not be taken.
    signal?.throwIfAborted();
    try {
      return await this.#send(command, signal);
    } catch (error) {
      if (signal?.aborted) throw error;
      throw explained(command[0], error);
    }
  }
}

/** The error without what the client has put into it: the command, and with it a session. */
function explained(name: string, error: unknown): Error {
  const message = (error instanceof Error ? error.message : String(error)).replace(
    /, with args beginning with: .*/s,
    "",
  );
  const isTooOld = name === "GETDEL" && /unknown command/i.test(message);
  return new Error(
    `Redis failed to ${name}: ${message}${isTooOld ? ". It must be Redis 6.2 or newer, or Valkey" : ""}`,
  );
}
