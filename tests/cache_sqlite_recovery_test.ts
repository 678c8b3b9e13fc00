import { assert, assertEquals, assertLess, assertMatch, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Buffer } from "node:buffer";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { SqliteStore } from "../mod.ts";
import { query, rows } from "./sqlite_support.ts";
import { TemporaryFolder } from "./server_support.ts";
import "./support.ts";

const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1000);
const value = (length = 500) => crypto.getRandomValues(new Uint8Array(length));
const unix = { ignore: process.platform === "win32" };

describe("SqliteStore whose file is damaged", () => {
  /** A store with 200 sessions in its file, which is closed, and what is done to it. */
  const damaged = (folder: TemporaryFolder, damage: (whole: Uint8Array) => Uint8Array): string => {
    const file = folder.file("sessions.db");
    const store = new SqliteStore(file);
    for (let n = 0; n < 200; n++) store.put(`${n}`, value(), inSeconds(100));
    store.close();
    writeFileSync(file, damage(new Uint8Array(readFileSync(file))));
    return file;
  };
  const damages: Record<string, (whole: Uint8Array) => Uint8Array> = {
    "cut short": (whole) => whole.subarray(0, 4096 + 100),
    "overwritten but for its header": (whole) => whole.fill(0xa5, 100),
    "overwritten in the middle": (whole) => whole.fill(0xa5, 8192, 60_000),
  };

  for (const [what, damage] of Object.entries(damages)) {
    it(`is begun anew: ${what}`, () => {
      using folder = new TemporaryFolder();
      const file = damaged(folder, damage);
      using store = new SqliteStore(file);
      const told: string[] = [];
      for (let n = 0; n < 300; n++) {
        try {
          store.get(`${n}`);
          store.put(`${n}`, value(), inSeconds(100));
        } catch (error) {
          told.push((error as Error).message);
        }
      }
      // Once is enough, and it is said why.
      assertEquals(told.length, 1);
      assertMatch(told[0]!, /is damaged, and is begun anew: .*malformed/);
      assert(store.get("299"));
      assertEquals(statSync(file).mode & 0o777, process.platform === "win32" ? 0o666 : 0o600);
    });
  }

  it("is noticed while it is open, also by another store on the same file", () => {
    using folder = new TemporaryFolder();
    const file = folder.file("sessions.db");
    using first = new SqliteStore(file);
    using second = new SqliteStore(file);
    for (let n = 0; n < 200; n++) first.put(`${n}`, value(), inSeconds(100));
    const attempt = (act: () => unknown) => {
      try {
        act();
      } catch {
        // The one that met with it.
      }
    };
    query(file, "PRAGMA wal_checkpoint(TRUNCATE)");
    writeFileSync(file, new Uint8Array(readFileSync(file)).fill(0xa5, 100));
    for (const store of [first, second]) {
      for (let n = 0; n < 5; n++) attempt(() => store.put("new", value(), inSeconds(100)));
    }
    first.put("shared", new Uint8Array([1, 2, 3]), inSeconds(100));
    assertEquals([...second.get("shared") ?? []], [1, 2, 3]);
  });

  it("is left as it is where no session store has made it", () => {
    using folder = new TemporaryFolder();
    const file = folder.file("other.db");
    query(file, "SELECT 1");
    const database = new DatabaseSync(file);
    database.exec("CREATE TABLE diary (entry TEXT); INSERT INTO diary VALUES ('today')");
    database.close();
    const whole = new Uint8Array(readFileSync(file)).fill(0xa5, 100);
    writeFileSync(file, whole);
    assertThrows(() => new SqliteStore(file), Error, "Cannot open the session store");
    assertEquals(Buffer.compare(readFileSync(file), whole), 0);
  });
});

describe("SqliteStore whose file is gone", () => {
  it("makes another, which other processes' stores find as well", () => {
    using folder = new TemporaryFolder();
    const file = folder.file("sessions.db");
    const { now } = Date;
    using store = new SqliteStore(file);
    store.put("a", value(), inSeconds(1000));
    for (const suffix of ["", "-wal", "-shm"]) rmSync(file + suffix, { force: true });
    assert(!existsSync(file));
    try {
      // It looks once a minute.
      Date.now = () => now() + 61_000;
      store.put("b", value(), inSeconds(1000));
    } finally {
      Date.now = now;
    }
    assertEquals(rows(file), 1);
  });
});

describe("SqliteStore on a disk that is full", () => {
  /** A disk of its own, if this program may make one. */
  const mount = (folder: TemporaryFolder): boolean => {
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", folder.path], { stdio: "pipe" });
      return true;
    } catch {
      return false;
    }
  };
  const onSmallDisk = (test: (folder: TemporaryFolder) => void) => () => {
    using folder = new TemporaryFolder();
    if (!mount(folder)) return console.log("not tested here: a full disk, which needs the right to mount one");
    try {
      test(folder);
    } finally {
      execFileSync("umount", ["-l", folder.path], { stdio: "pipe" });
    }
  };
  /** Puts until the disk is full, and on. Answers what it threw. */
  const fill = (store: SqliteStore, expires: () => Date, count: number): string[] => {
    const told: string[] = [];
    for (let n = 0; n < count; n++) {
      try {
        store.put(`${n}`, value(), expires());
      } catch (error) {
        told.push((error as Error).message);
      }
    }
    return told;
  };

  /** Takes all the room that is left on the disk. */
  const ballast = (folder: TemporaryFolder) => {
    for (const size of [1_000_000, 100_000, 10_000, 4096]) {
      for (let n = 0; n < 10; n++) {
        try {
          writeFileSync(folder.file(`ballast ${size} ${n}`), new Uint8Array(size));
        } catch {
          rmSync(folder.file(`ballast ${size} ${n}`), { force: true });
          break;
        }
      }
    }
  };

  it(
    "goes on by letting go of what expires first, or is begun anew where that is not enough",
    unix,
    onSmallDisk((folder) => {
      using store = new SqliteStore(folder.file("sessions.db"));
      const told = fill(store, () => inSeconds(100), 5000);
      assertLess(told.length, 20);
      for (const message of told) assertMatch(message, /has no room, and is begun anew/);
      store.put("after", value(), inSeconds(100));
      assert(store.get("after"));
    }),
  );

  it(
    "goes on where others have filled it, and all has expired",
    unix,
    onSmallDisk((folder) => {
      const file = folder.file("sessions.db");
      using store = new SqliteStore(file);
      fill(store, () => inSeconds(-1), 500);
      ballast(folder);
      const told = fill(store, () => inSeconds(100), 200);
      assertLess(told.length, 20);
      store.put("after", value(), inSeconds(100));
      assert(store.get("after"));
    }),
  );

  it(
    "goes on also when it is opened on it",
    unix,
    onSmallDisk((folder) => {
      const file = folder.file("sessions.db");
      {
        using store = new SqliteStore(file);
        fill(store, () => inSeconds(-1), 500);
      }
      ballast(folder);
      using store = new SqliteStore(file);
      const told = fill(store, () => inSeconds(100), 200);
      assertLess(told.length, 20);
      store.put("after", value(), inSeconds(100));
      assert(store.get("after"));
    }),
  );

  it(
    "fails while it can only be read, and works again when it can be written",
    unix,
    onSmallDisk((folder) => {
      using store = new SqliteStore(folder.file("sessions.db"));
      store.put("a", value(), inSeconds(100));
      const remount = (how: string) => execFileSync("mount", ["-o", `remount,${how}`, folder.path], { stdio: "pipe" });
      const { now } = performance;
      let seconds = 0;
      performance.now = () => now.call(performance) + seconds * 1000;
      try {
        remount("ro");
      } catch {
        // Something is open for writing: the system does not do that.
        return;
      }
      try {
        for (seconds = 0; seconds < 10; seconds += 2) {
          assertThrows(() => store.put("b", value(), inSeconds(100)), Error);
        }
        remount("rw");
        seconds += 2;
        store.put("b", value(), inSeconds(100));
        assert(store.get("b"));
      } finally {
        performance.now = now;
      }
    }),
  );

  it(
    "works again as soon as there is room, where there is none even for an empty one",
    unix,
    onSmallDisk((folder) => {
      using store = new SqliteStore(folder.file("sessions.db"));
      store.put("a", value(), inSeconds(100));
      ballast(folder);
      const told = fill(store, () => inSeconds(100), 2000);
      assert(told.length > 0);
      for (const name of readdirSync(folder.path)) if (name.startsWith("ballast")) rmSync(folder.file(name));
      const { now } = performance;
      try {
        // It tries once a second.
        performance.now = () => now.call(performance) + 1001;
        store.put("b", value(), inSeconds(100));
      } finally {
        performance.now = now;
      }
      assert(store.get("b"));
    }),
  );
});
