import { closeSync, fchmodSync, fstatSync, openSync, readSync, rmSync, statSync } from "node:fs";
import process from "node:process";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { sqliteFault } from "./sqlite_fault.ts";

/** How many rows are deleted at once: it takes a millisecond or two, and other processes wait for it. */
export const rowsAtOnce = 64;

/** In the file's header, by which it is known as a session store's: "osss". */
const applicationId = 0x6f737373;

/** An SQLite file that is open, and what is asked of it. */
export class SqliteFile {
  readonly database: DatabaseSync;
  readonly get: StatementSync;
  readonly put: StatementSync;
  readonly take: StatementSync;
  readonly delete: StatementSync;
  readonly list: StatementSync;
  readonly #path: string;
  readonly #busyTimeout: number;
  /** Which file it was when it was opened: another may have its name by now. Undefined for one in memory. */
  readonly #identity: string | undefined;
  readonly #deleteExpired: StatementSync;
  readonly #deleteFirst: StatementSync;
  readonly #count: StatementSync;
  readonly #pages: StatementSync;
  readonly #checkpoint: StatementSync;

  /** Opens it, and makes it where it is not there. Throws what SQLite and the system throw. */
  constructor(path: string, busyTimeout: number, maxBytes: number) {
    this.#path = path;
    this.#busyTimeout = busyTimeout;
    this.#identity = path === ":memory:" ? undefined : prepareFile(path);
    // Loaded when used: most programs import this library for other stores.
    const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
    const database = this.database = new DatabaseSync(path);
    try {
      // Opening at once from several processes takes the lock for a moment, so waiting comes first, and generously.
      database.exec("PRAGMA busy_timeout = 5000");
      database.exec("PRAGMA journal_mode = WAL");
      // Nothing waits for the disk. When the machine loses power, the file may be damaged: then it is begun anew.
      database.exec("PRAGMA synchronous = OFF");
      database.exec("PRAGMA secure_delete = ON");
      // A long log would take room on the disk that the file could have: 128 pages are half a megabyte.
      database.exec("PRAGMA wal_autocheckpoint = 128");
      database.exec("PRAGMA journal_size_limit = 1048576");
      database.exec(
        "CREATE TABLE IF NOT EXISTS sessions (key TEXT PRIMARY KEY, value BLOB NOT NULL, expires INTEGER NOT NULL) " +
          "WITHOUT ROWID; CREATE INDEX IF NOT EXISTS sessions_expires ON sessions (expires)",
      );
      this.get = database.prepare("SELECT value FROM sessions WHERE key = ? AND expires > ?");
      this.put = database.prepare("INSERT OR REPLACE INTO sessions (key, value, expires) VALUES (?, ?, ?)");
      this.take = database.prepare("DELETE FROM sessions WHERE key = ? RETURNING value, expires");
      this.delete = database.prepare("DELETE FROM sessions WHERE key = ?");
      this.list = database.prepare(
        `SELECT key, value FROM sessions WHERE key > ? AND expires > ? ORDER BY key LIMIT ${rowsAtOnce}`,
      );
      this.#deleteExpired = database.prepare(
        "DELETE FROM sessions WHERE key IN " +
          `(SELECT key FROM sessions WHERE expires <= ? ORDER BY expires LIMIT ${rowsAtOnce})`,
      );
      this.#deleteFirst = database.prepare(
        "DELETE FROM sessions WHERE key IN (SELECT key FROM sessions ORDER BY expires LIMIT ?)",
      );
      this.#count = database.prepare("SELECT count(*) AS count FROM sessions");
      this.#pages = database.prepare(
        "SELECT (page_count - freelist_count) * page_size AS bytes " +
          "FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
      );
      this.#checkpoint = database.prepare("PRAGMA wal_checkpoint(TRUNCATE)");
      if (valueOf(database.prepare("PRAGMA application_id").get()) !== applicationId) {
        database.exec(`PRAGMA application_id = ${applicationId}`);
      }
      const pageSize = valueOf(database.prepare("PRAGMA page_size").get());
      database.exec(`PRAGMA max_page_count = ${Math.max(8, Math.floor(maxBytes / pageSize))}`);
      this.erase();
      database.exec(`PRAGMA busy_timeout = ${busyTimeout}`);
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** Deletes some of what has expired by now. Answers whether there may be more. */
  deleteExpired(now: number): boolean {
    return Number(this.#deleteExpired.run(now).changes) >= rowsAtOnce;
  }

  /** Deletes the rows that expire first, so many of them and no more than a bit at once. */
  deleteFirst(count: number): number {
    return Number(this.#deleteFirst.run(Math.min(count, rowsAtOnce)).changes);
  }

  /** How many rows there are, and how many bytes are in use. */
  get size(): { rows: number; bytes: number } {
    return { rows: valueOf(this.#count.get()), bytes: valueOf(this.#pages.get()) };
  }

  /**
   * Has the write-ahead log emptied, in which what was deleted still stands. Waits for nobody: answers false where
   * another process is at it.
   */
  erase(): boolean {
    this.database.exec("PRAGMA busy_timeout = 0");
    try {
      return valueOf(this.#checkpoint.get()) === 0;
    } catch (error) {
      if (sqliteFault(error) === "busy") return false;
      throw error;
    } finally {
      this.database.exec(`PRAGMA busy_timeout = ${this.#busyTimeout}`);
    }
  }

  /** Whether it is still the one that its path names: another process may have begun it anew. */
  get isCurrent(): boolean {
    return this.#identity === undefined || identityOf(this.#path) === this.#identity;
  }

  /** Closes it. */
  close(): void {
    if (this.database.isOpen) this.database.close();
  }

  /** Deletes it, with the files beside it; unless another process has done so already. */
  remove(): void {
    const { isCurrent } = this;
    this.close();
    if (this.#identity !== undefined && isCurrent) removeFiles(this.#path);
  }
}

/** Deletes a session store's file and those beside it. */
export function removeFiles(path: string): void {
  for (const suffix of ["", "-wal", "-shm"]) rmSync(path + suffix, { force: true });
}

/** Whether the file is a session store's, whatever has become of the rest of it: it may be deleted. */
export function isSessionStore(path: string): boolean {
  const header = new Uint8Array(72);
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, "r");
    if (readSync(descriptor, header, 0, header.length, 0) < header.length) return false;
  } catch {
    return false;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
  const isSqlite = new TextDecoder().decode(header.subarray(0, 15)) === "SQLite format 3";
  return isSqlite && new DataView(header.buffer).getUint32(68) === applicationId;
}

/** Makes the file where it is not there, readable by its owner alone. Answers its identity. */
function prepareFile(path: string): string {
  const descriptor = openSync(path, "a", 0o600);
  try {
    const othersMayReadIt = (fstatSync(descriptor).mode & 0o077) !== 0;
    if (othersMayReadIt && process.platform !== "win32") fchmodSync(descriptor, 0o600);
  } finally {
    closeSync(descriptor);
  }
  return identityOf(path)!;
}

function identityOf(path: string): string | undefined {
  const { dev, ino } = statSync(path, { throwIfNoEntry: false }) ?? {};
  return ino === undefined ? undefined : `${dev} ${ino}`;
}

/** The first column of a row that has a number there. */
function valueOf(row: Record<string, unknown> | undefined): number {
  return Number(Object.values(row!)[0]);
}
