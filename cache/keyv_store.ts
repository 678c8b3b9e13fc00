import { fromBase64, toBase64 } from "./base64.ts";
import type { SessionStore } from "./session_store.ts";

/** What a {@linkcode KeyvStore} uses of a Keyv instance, of version 5 or 6 of the npm package `keyv`. */
export interface KeyvInstance {
  /** The value under a key; undefined or null where there is none. */
  get(key: string): Promise<unknown>;
  /** Keeps a value for a time in milliseconds; answers false where that failed. */
  set(key: string, value: string, ttl?: number): Promise<unknown>;
  /** Deletes what is under a key. */
  delete(key: string): Promise<unknown>;
  /** Has a function called when something failed. */
  on?(event: "error", listener: (error: unknown) => void): unknown;
  /** Whether failures are thrown, and not only emitted. Version 5 has it. */
  throwOnErrors?: boolean;
}

/** In milliseconds: memcached takes more than 30 days for a date in the past. Sessions do not live for so long. */
const longestTtl = 30 * 86_400_000;

/**
 * Keeps sessions in whatever Keyv has an adapter for: memcached, PostgreSQL, MySQL, MongoDB, etcd and more.
 *
 * It has no `take`, because Keyv cannot read and delete in one step: TLS 1.3 sessions may be used more than once. Turn
 * early data off, and prefer a {@linkcode SqliteStore} or a {@linkcode RedisStore} where either will do.
 *
 * Keyv by itself treats failures as values that are not there. So that an operator learns of them, the store sets the
 * instance's `throwOnErrors` where there is such a thing, and listens to its errors: give it an instance of its own. A
 * `get` that finds nothing while the instance reports an error rejects with that error, also if another call caused it.
 *
 * Values are base64 text. What has expired is not found; whether it is removed is the adapter's business.
 *
 * @see https://keyv.org
 *
 * @example
 * ```ts ignore
 * import { KeyvStore, SessionCache } from "@openssl-sessions/openssl-sessions";
 * import { KeyvMemcache } from "@keyv/memcache";
 * import { Keyv } from "keyv";
 *
 * const keyv = new Keyv({ store: new KeyvMemcache("localhost:11211"), namespace: "openssl-sessions" });
 * const store = new KeyvStore(keyv);
 * const cache = new SessionCache({ store, secrets: ["at least 16 bytes that all servers know"] });
 * ```
 */
export class KeyvStore implements SessionStore {
  /** True: values leave this process, wherever the instance keeps them. */
  readonly isShared = true;
  readonly #keyv: KeyvInstance;
  #errors = 0;
  #lastError: unknown;

  /**
   * A store over a Keyv instance, which remains yours to disconnect.
   *
   * @param keyv an instance that is used for nothing else
   * @throws {TypeError} if it has not the methods of one
   */
  constructor(keyv: KeyvInstance) {
    const methods = ["get", "set", "delete"] as const;
    if (typeof keyv !== "object" || keyv === null || methods.some((name) => typeof keyv[name] !== "function")) {
      throw new TypeError("Cannot use this instance of Keyv: it must have the methods get, set and delete");
    }
    this.#keyv = keyv;
    if ("throwOnErrors" in keyv) keyv.throwOnErrors = true;
    // Version 6 throws what nobody listens to, from wherever that happens.
    keyv.on?.("error", (error) => {
      this.#errors++;
      this.#lastError = error;
    });
  }

  /** The value under the key, if it has not expired. */
  async get(key: string): Promise<Uint8Array | undefined> {
    const errors = this.#errors;
    const value = fromBase64(await this.#keyv.get(key));
    if (value === undefined) this.#throwIfFailed(errors, "get");
    return value;
  }

  /** Keeps the value under the key, until it expires; for 30 days at most. */
  async put(key: string, value: Uint8Array, expiresAt: Date): Promise<void> {
    const milliseconds = expiresAt.getTime() - Date.now();
    // Keyv takes a time of 0 for eternity, and another value under the key must not stay.
    if (milliseconds < 1) return await this.delete(key);
    const errors = this.#errors;
    if (await this.#keyv.set(key, toBase64(value), Math.min(milliseconds, longestTtl)) !== false) return;
    this.#throwIfFailed(errors, "set");
    throw new Error("Keyv failed to set a value, and does not say why");
  }

  /** Deletes the value under the key, if there is one. */
  async delete(key: string): Promise<void> {
    const errors = this.#errors;
    // False also says that there was nothing to delete.
    if (await this.#keyv.delete(key) === false) this.#throwIfFailed(errors, "delete");
  }

  #throwIfFailed(errorsBefore: number, operation: string): void {
    if (this.#errors === errorsBefore) return;
    const cause = this.#lastError;
    throw new Error(`Keyv failed to ${operation} a value: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
}
