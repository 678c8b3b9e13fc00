import { closeSync, openSync } from "node:fs";
import process from "node:process";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { integer } from "../ssl/option_kinds.ts";
import { type OptionKinds, readOptions } from "../ssl/options.ts";
import type { SessionStore } from "./session_store.ts";

const kinds: OptionKinds<{ busyTimeout?: number }> = { busyTimeout: integer(0, 0x7fffffff, "whole milliseconds") };

/**
 * Keeps sessions in an SQLite file: several processes on one machine share them, in whatever runtime, and they outlive
 * all of them.
 *
 * The file is made readable by its owner alone, for it holds the keys of connections. It is in write-ahead mode, so
 * that readers and a writer do not wait for each other; a writer waits for another for `busyTimeout` at most.
 *
 * @see https://nodejs.org/api/sqlite.html
 *
 * @example
 * ```ts
 * import { SessionCache, SqliteStore } from "./mod.ts";
 *
 * const store = new SqliteStore(":memory:"); // or the path of a file
 * const cache = new SessionCache({ store });
 * store.close();
 * ```
 */
export class SqliteStore implements SessionStore {
  readonly #database: DatabaseSync;
  readonly #get: StatementSync;
  readonly #put: StatementSync;
  readonly #take: StatementSync;
  readonly #delete: StatementSync;
  readonly #deleteExpired: StatementSync;
  readonly #list: StatementSync;
  /** Whether there is a file, for other processes to read. */
  readonly isShared: boolean;
  #nextCleaning = 0;

  /**
   * Opens the file, and makes it where it is not there yet.
   *
   * @param path the file, or `:memory:`
   * @param options `busyTimeout`: for how long to wait for another process that writes, in milliseconds, by default
   *   100. The whole program waits, so keep it short
   * @throws {TypeError} for an option that is not known, or of another type; and {RangeError} for one out of range
   * @throws {Error} if the file cannot be opened, written or understood; the message says why
   */
  constructor(path: string, options: { busyTimeout?: number } = {}) {
    const { busyTimeout = 100 } = readOptions("new SqliteStore()", kinds, options);
    this.isShared = path !== ":memory:";
    // Loaded when used: most programs import this library for other stores.
    const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
    let database: DatabaseSync | undefined;
    try {
      if (this.isShared) closeSync(openSync(path, "a", 0o600));
      database = new DatabaseSync(path);
      this.#database = database;
      // Opening at once from several processes takes the lock for a moment, so waiting comes first, and generously.
      database.exec("PRAGMA busy_timeout = 5000");
      database.exec("PRAGMA journal_mode = WAL");
      // The last writes may be lost when the machine loses power; the file stays sound.
      database.exec("PRAGMA synchronous = NORMAL");
      database.exec(
        "CREATE TABLE IF NOT EXISTS sessions (key TEXT PRIMARY KEY, value BLOB NOT NULL, expires INTEGER NOT NULL) " +
          "WITHOUT ROWID; CREATE INDEX IF NOT EXISTS sessions_expires ON sessions (expires)",
      );
      this.#get = database.prepare("SELECT value FROM sessions WHERE key = ? AND expires > ?");
      this.#put = database.prepare("INSERT OR REPLACE INTO sessions (key, value, expires) VALUES (?, ?, ?)");
      this.#take = database.prepare("DELETE FROM sessions WHERE key = ? RETURNING value, expires");
      this.#delete = database.prepare("DELETE FROM sessions WHERE key = ?");
      this.#deleteExpired = database.prepare("DELETE FROM sessions WHERE expires <= ?");
      this.#list = database.prepare("SELECT key, value FROM sessions WHERE expires > ?");
      this.#cleanSometimes(Date.now());
      database.exec(`PRAGMA busy_timeout = ${busyTimeout}`);
    } catch (cause) {
      database?.close();
      throw new Error(`Cannot open the session store ${path}: ${(cause as Error).message}`, { cause });
    }
  }

  /** The value under the key, if it has not expired. */
  get(key: string): Uint8Array | undefined {
    return this.#get.get(key, Date.now())?.value as Uint8Array | undefined;
  }

  /** Keeps the value under the key. Once a minute, removes what has expired. */
  put(key: string, value: Uint8Array, expiresAt: Date): void {
    this.#put.run(key, value, expiresAt.getTime());
    this.#cleanSometimes(Date.now());
  }

  /** The value under the key, deleted in the same statement: of all processes that ask, one gets it. */
  take(key: string): Uint8Array | undefined {
    const row = this.#take.get(key);
    return row && (row.expires as number) > Date.now() ? row.value as Uint8Array : undefined;
  }

  /** Deletes the value under the key, if there is one. */
  delete(key: string): void {
    this.#delete.run(key);
  }

  /** All that it keeps and that has not expired. */
  *entries(): Generator<[key: string, value: Uint8Array]> {
    for (const { key, value } of this.#list.all(Date.now())) yield [key as string, value as Uint8Array];
  }

  /** Closes the file. Doing it twice does no harm; using the store afterwards throws. */
  close(): void {
    if (this.#database.isOpen) this.#database.close();
  }

  /** The same as {@linkcode SqliteStore.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  #cleanSometimes(now: number): void {
    if (now < this.#nextCleaning) return;
    this.#nextCleaning = now + 60_000;
    this.#deleteExpired.run(now);
  }
}
