import { clearTimeout, setTimeout } from "node:timers";
import { integer } from "../ssl/option_kinds.ts";
import { type OptionKinds, readOptions } from "../ssl/options.ts";
import type { SessionStore } from "./session_store.ts";
import { isSessionStore, removeFiles, rowsAtOnce, SqliteFile } from "./sqlite_file.ts";
import { type SqliteFault, sqliteFault } from "./sqlite_fault.ts";

/** The options of a {@linkcode SqliteStore}. */
export interface SqliteStoreOptions {
  /**
   * For how long to wait for another process that writes, in milliseconds, by default 100. The whole program waits, so
   * keep it short.
   */
  busyTimeout?: number;
  /** The most sessions it holds, by default 100,000. When there are more, those that expire first give way. */
  maxEntries?: number;
  /**
   * The most bytes that the file may have, by default 268,435,456 (256 MiB), and 65,536 at least. The log beside it
   * takes about one more MiB. Near the bound, the sessions that expire first give way.
   */
  maxBytes?: number;
}

const kinds: OptionKinds<SqliteStoreOptions> = {
  busyTimeout: integer(0, 0x7fffffff, "whole milliseconds"),
  maxEntries: integer(1, Number.MAX_SAFE_INTEGER),
  maxBytes: integer(65_536, Number.MAX_SAFE_INTEGER),
};

/** With which a file that does not open is begun anew. Without room SQLite may say that input and output fail. */
const hopeless: readonly SqliteFault[] = ["damaged", "full", "failing"];

/** Between two looks for what has expired, and whether the file is still the one; and two attempts to open it. */
const lookEvery = 60_000, tryEvery = 1000;
/** How long what was deleted may stay in the log. */
const eraseAfter = 1000;

/**
 * Keeps sessions in an SQLite file: several processes on one machine share them, in whatever runtime, and they outlive
 * all of them.
 *
 * The file is made readable by its owner alone, also where it is there already, for it holds the keys of connections.
 * What is deleted is overwritten there, and within a second in the write-ahead log beside it, which `close()` removes.
 * The log is there so that readers and a writer do not wait for each other; a writer waits for another for `busyTimeout`
 * at most.
 *
 * It is a cache, and bounds itself: what has expired is removed bit by bit, and what expires first gives way where there
 * are too many. When the disk is full and nothing has expired, and when the file is damaged, as it may be after a loss
 * of power, it is **begun anew**: the sessions are lost, which costs each client a full handshake. The call that met
 * with it throws, so that the operator hears of it, and the next one finds a store that works. A damaged file that no
 * session store has made is left as it is.
 *
 * @see https://nodejs.org/api/sqlite.html
 *
 * @example
 * ```ts
 * import { SessionCache, SqliteStore } from "@openssl-sessions/openssl-sessions";
 *
 * const store = new SqliteStore(":memory:"); // or the path of a file
 * const cache = new SessionCache({ store });
 * store.close();
 * ```
 */
export class SqliteStore implements SessionStore {
  /** Whether there is a file, for other processes to read. */
  readonly isShared: boolean;
  readonly #path: string;
  readonly #busyTimeout: number;
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  /** Undefined where it was lost: it is opened again with the next use. */
  #file: SqliteFile | undefined;
  #isClosed = false;
  /** What there is to be told of and was met with where nobody was to be told. */
  #trouble: Error | undefined;
  #nextTry = 0;
  #nextLook = 0;
  /** Until rows and bytes are counted: so many fit for sure. */
  #putsUntilCount = 0;
  #eraser: ReturnType<typeof setTimeout> | undefined;

  /**
   * Opens the file, and makes it where it is not there yet.
   *
   * @param path the file, or `:memory:`
   * @param options how long to wait, and how much to keep
   * @throws {TypeError} without a path; for an option that is not known, or of another type; and {RangeError} for one out
   *   of range
   * @throws {Error} if the file cannot be opened, written or understood; the message says why
   */
  constructor(path: string, options: SqliteStoreOptions = {}) {
    const { busyTimeout = 100, maxEntries = 100_000, maxBytes = 268_435_456 } = readOptions(
      "new SqliteStore()",
      kinds,
      options,
    );
    if (typeof path !== "string" || path === "") {
      throw new TypeError('Cannot open a session store without a path: give a file\'s, or ":memory:"');
    }
    this.isShared = path !== ":memory:";
    this.#path = path;
    this.#busyTimeout = busyTimeout;
    this.#maxEntries = maxEntries;
    this.#maxBytes = maxBytes;
    try {
      try {
        this.#open();
        this.#look(Date.now());
      } catch (error) {
        const fault = sqliteFault(error);
        if (!hopeless.includes(fault) || !isSessionStore(path)) throw error;
        this.#file?.close();
        removeFiles(path);
        this.#open();
        this.#trouble = this.#begunAnew(fault, error);
      }
    } catch (cause) {
      this.#file?.close();
      throw new Error(`Cannot open the session store ${path}: ${(cause as Error).message}`, { cause });
    }
  }

  /** The value under the key, if it has not expired. */
  get(key: string): Uint8Array | undefined {
    return this.#use((file) => file.get.get(key, Date.now())?.value as Uint8Array | undefined);
  }

  /** Keeps the value under the key. Removes some of what has expired, and what is too much. */
  put(key: string, value: Uint8Array, expiresAt: Date): void {
    this.#use(() => this.#look(Date.now()));
    this.#use((file) => {
      this.#makeRoom(file);
      const put = () => file.put.run(key, value, expiresAt.getTime());
      try {
        put();
      } catch (error) {
        if (sqliteFault(error) !== "full") throw error;
        // The log takes room too. What has expired gives way before the rest, as it expires first.
        file.erase();
        for (let bit = 0; bit < 4; bit++) file.deleteFirst(rowsAtOnce);
        put();
      }
      this.#putsUntilCount--;
    });
  }

  /** The value under the key, deleted in the same statement: of all processes that ask, one gets it. */
  take(key: string): Uint8Array | undefined {
    const row = this.#use((file) => file.take.get(key));
    if (row) this.#eraseSoon();
    return row && (row.expires as number) > Date.now() ? row.value as Uint8Array : undefined;
  }

  /** Deletes the value under the key, if there is one. */
  delete(key: string): void {
    if (this.#use((file) => file.delete.run(key).changes)) this.#eraseSoon();
  }

  /** All that it keeps and that has not expired, read bit by bit. */
  *entries(): Generator<[key: string, value: Uint8Array]> {
    for (let last = "", rows; !rows || rows.length === rowsAtOnce;) {
      rows = this.#use((file) => file.list.all(last, Date.now())) as { key: string; value: Uint8Array }[];
      for (const { key, value } of rows) yield [key, value];
      last = rows.at(-1)?.key ?? last;
    }
  }

  /** Closes the file. Doing it twice does no harm; using the store afterwards throws. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#eraser);
    this.#file?.close();
    this.#file = undefined;
  }

  /** The same as {@linkcode SqliteStore.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  #open(): SqliteFile {
    this.#putsUntilCount = 0;
    return this.#file = new SqliteFile(this.#path, this.#busyTimeout, this.#maxBytes);
  }

  /** Does something with the file, and sees to it that the next one can do something where it went wrong. */
  #use<T>(act: (file: SqliteFile) => T): T {
    if (this.#isClosed) throw new Error(`Cannot use the session store ${this.#path}: it was closed`);
    const trouble = this.#trouble;
    this.#trouble = undefined;
    if (trouble) throw trouble;
    const file = this.#file ?? this.#openAgain();
    try {
      return act(file);
    } catch (error) {
      throw this.#recovered(error);
    }
  }

  #openAgain(): SqliteFile {
    const now = performance.now();
    if (now < this.#nextTry) throw new Error(`The session store ${this.#path} cannot be used at the moment`);
    try {
      return this.#open();
    } catch (cause) {
      this.#nextTry = now + tryEvery;
      throw this.#recovered(cause);
    }
  }

  /** What to tell of an error, after what could be done about it. */
  #recovered(error: unknown): unknown {
    const fault = sqliteFault(error);
    if (fault === "busy" || fault === "other") return error;
    const file = this.#file;
    this.#file = undefined;
    try {
      // It may do when it is opened again.
      const isToBeTried = fault === "lost" || fault === "failing" && file;
      if (isToBeTried) file?.close();
      else if (file) file.remove();
      else if (isSessionStore(this.#path)) removeFiles(this.#path);
      else return error;
      return isToBeTried ? error : this.#begunAnew(fault, error);
    } catch (removal) {
      return new AggregateError([error, removal], `The session store ${this.#path} cannot be used, nor begun anew`);
    }
  }

  #begunAnew(fault: SqliteFault, cause: unknown): Error {
    const what = fault === "damaged" ? "is damaged" : "has no room";
    return new Error(`The session store ${this.#path} ${what}, and is begun anew: ${(cause as Error).message}`, {
      cause,
    });
  }

  /** Once in a while, or where there is more: removes some of what has expired. */
  #look(now: number): void {
    if (now < this.#nextLook && now > this.#nextLook - 2 * lookEvery) return;
    if (!this.#file!.isCurrent) {
      this.#file!.close();
      this.#open();
    }
    const hasMore = this.#file!.deleteExpired(now);
    this.#nextLook = hasMore ? now : now + lookEvery;
    this.#eraseSoon();
  }

  /** Counts once for so many puts as are sure to fit, and removes the rows that expire first where there are too many. */
  #makeRoom(file: SqliteFile): void {
    if (this.#putsUntilCount > 0) return;
    // Where there were other processes' as well, it takes several puts until they are few enough.
    const puts = Math.max(1, Math.min(rowsAtOnce, Math.floor(this.#maxEntries / 8)));
    const { rows, bytes } = file.size;
    const tooMany = rows - (this.#maxEntries - puts);
    const isTooLarge = bytes > this.#maxBytes * 0.9;
    if (tooMany > 0 || isTooLarge) {
      file.deleteFirst(Math.max(tooMany, isTooLarge ? Math.ceil(rows / 16) : 0));
      this.#eraseSoon();
    }
    this.#putsUntilCount = isTooLarge || tooMany > rowsAtOnce ? 1 : puts;
  }

  #eraseSoon(): void {
    if (this.#eraser || !this.isShared || this.#isClosed) return;
    this.#eraser = setTimeout(() => {
      this.#eraser = undefined;
      try {
        if (this.#file && !this.#file.erase()) this.#eraseSoon();
      } catch (error) {
        const told = this.#recovered(error);
        if (told instanceof Error) this.#trouble = told;
      }
    }, eraseAfter);
    // Whoever does not close the store leaves the log to the next one.
    this.#eraser.unref();
  }
}
