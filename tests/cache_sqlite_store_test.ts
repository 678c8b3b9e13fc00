import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { SqliteStore } from "../cache/sqlite_store.ts";
import { query } from "./sqlite_support.ts";
import { TemporaryFolder } from "./server_support.ts";

const value = new Uint8Array([1, 2, 3]);
const later = () => new Date(Date.now() + 60_000);
const past = () => new Date(Date.now() - 60_000);

const unix = { ignore: process.platform === "win32" };

describe("SqliteStore's file", () => {
  it("can be read by its owner alone, and so can the files beside it", unix, () => {
    using folder = new TemporaryFolder();
    const file = folder.file("sessions.db");
    using store = new SqliteStore(file);
    store.put("aa", value, later());
    for (const path of [file, `${file}-wal`, `${file}-shm`]) assertEquals(statSync(path).mode & 0o777, 0o600, path);
  });

  it("is in write-ahead mode", () => {
    using folder = new TemporaryFolder();
    using _store = new SqliteStore(folder.file("sessions.db"));
    assertEquals(query(folder.file("sessions.db"), "PRAGMA journal_mode"), [{ journal_mode: "wal" }]);
  });

  it("outlives the store", () => {
    using folder = new TemporaryFolder();
    const file = folder.file("sessions.db");
    const first = new SqliteStore(file);
    first.put("aa", value, later());
    first.close();
    using second = new SqliteStore(file);
    assertEquals([...second.get("aa")!], [...value]);
  });

  it("is shared by two stores", () => {
    using folder = new TemporaryFolder();
    using first = new SqliteStore(folder.file("sessions.db"));
    using second = new SqliteStore(folder.file("sessions.db"));
    first.put("aa", value, later());
    assertEquals([...second.take("aa")!], [...value]);
    assertEquals(first.take("aa"), undefined);
  });

  it("loses its expired rows when it is opened, and no others", () => {
    using folder = new TemporaryFolder();
    const file = folder.file("sessions.db");
    {
      using store = new SqliteStore(file);
      for (const key of ["a", "b", "c"]) store.put(key, value, past());
      store.put("d", value, later());
      assertEquals(query(file, "SELECT count(*) AS count FROM sessions"), [{ count: 4 }]);
    }
    using _store = new SqliteStore(file);
    assertEquals(query(file, "SELECT key FROM sessions"), [{ key: "d" }]);
  });

  it("loses an expired row that was asked for by take", () => {
    using folder = new TemporaryFolder();
    const file = folder.file("sessions.db");
    using store = new SqliteStore(file);
    store.put("a", value, past());
    assertEquals(store.take("a"), undefined);
    assertEquals(query(file, "SELECT key FROM sessions"), []);
  });

  it("is not made for :memory:", () => {
    using _store = new SqliteStore(":memory:");
    assertEquals(existsSync(":memory:"), false);
  });
});

describe("SqliteStore that cannot be had", () => {
  it("says so of a folder that does not exist", () => {
    using folder = new TemporaryFolder();
    const file = folder.file("missing/sessions.db");
    const error = assertThrows(() => new SqliteStore(file), Error, `Cannot open the session store ${file}: `);
    assertMatch(error.message, /no such file or directory/i);
    assert(error.cause instanceof Error);
  });

  it("says so of a folder in the file's place", () => {
    using folder = new TemporaryFolder();
    const error = assertThrows(
      () => new SqliteStore(folder.path),
      Error,
      `Cannot open the session store ${folder.path}`,
    );
    assertMatch(error.message, /directory/i);
  });

  it("says so of a file that is no database, and leaves it as it is", () => {
    using folder = new TemporaryFolder();
    const file = folder.file("sessions.db");
    const garbage = new Uint8Array(8192).map((_, index) => (index * 31 + 7) % 251);
    writeFileSync(file, garbage);
    const error = assertThrows(() => new SqliteStore(file), Error, `Cannot open the session store ${file}: `);
    assertStringIncludes(error.message, "not a database");
    assertEquals([...readFileSync(file)], [...garbage]);
  });

  it("says so of a database that is damaged", () => {
    using folder = new TemporaryFolder();
    const file = folder.file("sessions.db");
    {
      using store = new SqliteStore(file);
      for (let n = 0; n < 200; n++) store.put(`${n}`, new Uint8Array(500), new Date(Date.now() + 60_000));
    }
    const whole = readFileSync(file);
    // The header stays, and says that there is more than there is.
    writeFileSync(file, whole.subarray(0, 4096 + 100));
    assertThrows(
      () => {
        using store = new SqliteStore(file);
        store.get("7");
      },
      Error,
      "malformed",
    );
  });

  it("says so of another program's database", () => {
    using folder = new TemporaryFolder();
    const file = folder.file("sessions.db");
    query(file, "SELECT 1");
    const database = new DatabaseSync(file);
    database.exec("CREATE TABLE sessions (name TEXT)");
    database.close();
    const error = assertThrows(() => new SqliteStore(file), Error, `Cannot open the session store ${file}: `);
    assertStringIncludes(error.message, "no such column");
  });

  it("says so of a link that leads round and round", unix, () => {
    using folder = new TemporaryFolder();
    const file = folder.file("sessions.db");
    symlinkSync(file, file);
    assertThrows(() => new SqliteStore(file), Error, `Cannot open the session store ${file}: `);
  });

  // The superuser may write everywhere.
  it("says so of a file that must not be written", { ignore: unix.ignore || process.getuid?.() === 0 }, () => {
    using folder = new TemporaryFolder();
    mkdirSync(folder.file("locked"), { mode: 0o500 });
    const error = assertThrows(() => new SqliteStore(folder.file("locked/sessions.db")), Error);
    assertMatch(error.message, /permission denied/i);
  });

  it("takes only whole milliseconds for busyTimeout", () => {
    for (const busyTimeout of [-1, 0.5, NaN, Infinity]) {
      assertThrows(() => new SqliteStore(":memory:", { busyTimeout }), RangeError, `not ${busyTimeout}`);
    }
  });

  it("throws when another program holds the file for longer than busyTimeout", () => {
    using folder = new TemporaryFolder();
    const file = folder.file("sessions.db");
    using store = new SqliteStore(file, { busyTimeout: 10 });
    store.put("aa", value, later());
    const other = new DatabaseSync(file);
    try {
      other.exec("BEGIN IMMEDIATE");
      assertThrows(() => store.take("aa"), Error, "locked");
      // Readers do not wait for a writer.
      assertEquals([...store.get("aa")!], [...value]);
      other.exec("COMMIT");
    } finally {
      other.close();
    }
    assertEquals([...store.take("aa")!], [...value]);
  });
});

describe("SqliteStore.close()", () => {
  it("does no harm twice", () => {
    const store = new SqliteStore(":memory:");
    store.close();
    store.close();
    store[Symbol.dispose]();
  });

  it("ends all other use with an error", () => {
    const store = new SqliteStore(":memory:");
    store.put("aa", value, later());
    store.close();
    const uses = [
      () => store.get("aa"),
      () => store.put("aa", value, later()),
      () => store.take("aa"),
      () => store.delete("aa"),
    ];
    for (const use of uses) assertMatch((assertThrows(use) as Error).message, /closed|not open|finalized/);
  });

  it("leaves one file", () => {
    using folder = new TemporaryFolder();
    const store = new SqliteStore(folder.file("sessions.db"));
    store.put("aa", value, later());
    store.close();
    assertEquals(
      ["sessions.db", "sessions.db-wal", "sessions.db-shm"].map((name) => existsSync(folder.file(name))),
      [true, false, false],
    );
  });
});
