import { assert, assertEquals, assertLess, assertLessOrEqual, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Buffer } from "node:buffer";
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { MemoryStore, SqliteStore, TieredStore } from "../mod.ts";
import { Cached } from "./cache_server_support.ts";
import { TemporaryFolder, until } from "./server_support.ts";
import { rows } from "./sqlite_support.ts";
import { leavingNothingLater } from "./socket_support.ts";

const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1000);
const value = (length = 500) => crypto.getRandomValues(new Uint8Array(length));
const unix = { ignore: process.platform === "win32" };

/** How many of these values stand somewhere in the folder's files. */
function foundIn(folder: string, values: readonly Uint8Array[]): number {
  const bytes = Buffer.concat(readdirSync(folder).map((name) => readFileSync(join(folder, name))));
  return values.filter((value) => bytes.includes(value)).length;
}

/** Makes a file with so many rows that have expired, as if no store had been there to remove them. */
function expiredFile(file: string, count: number): void {
  new SqliteStore(file).close();
  const database = new DatabaseSync(file);
  database.exec("BEGIN");
  const put = database.prepare("INSERT INTO sessions VALUES (?, ?, ?)");
  for (let n = 0; n < count; n++) put.run(`expired ${n}`, new Uint8Array(400), Date.now() - 1000);
  database.exec("COMMIT");
  database.close();
}

describe("SqliteStore's bounds", () => {
  it("keep maxEntries sessions at most, of which those go first that expire first", () => {
    using folder = new TemporaryFolder();
    const file = folder.file("sessions.db");
    for (const maxEntries of [1, 7, 100, 1000]) {
      using store = new SqliteStore(file, { maxEntries });
      for (let n = 0; n < 1500; n++) {
        store.put(`${n}`, value(10), inSeconds(1000 + n));
        if (n % 97 === 0) assertLessOrEqual(rows(file), maxEntries + (n < 400 ? 1500 : 0));
      }
      assertLessOrEqual(rows(file), maxEntries);
      assert(rows(file) >= Math.floor(maxEntries / 2));
      assert(store.get("1499"));
      assertEquals(store.get("0"), undefined);
    }
  });

  it("count a key that is put again once", () => {
    using folder = new TemporaryFolder();
    const file = folder.file("sessions.db");
    using store = new SqliteStore(file, { maxEntries: 100 });
    for (let n = 0; n < 40; n++) store.put(`${n}`, value(10), inSeconds(1000 + n));
    for (let n = 0; n < 500; n++) store.put("again", value(10), inSeconds(2000));
    assertEquals(rows(file), 41);
  });

  it("keep the file below maxBytes, whatever the values' sizes, and every put is kept", () => {
    using folder = new TemporaryFolder();
    const file = folder.file("sessions.db");
    const maxBytes = 1_000_000;
    using store = new SqliteStore(file, { maxBytes });
    for (let n = 0; n < 3000; n++) {
      store.put(`${n}`, value(n % 5 === 0 ? 9000 : 300), inSeconds(1000 + n));
      assert(store.get(`${n}`), `${n} was not kept`);
    }
    assertLessOrEqual(statSync(file).size, maxBytes);
    assertLess(statSync(`${file}-wal`).size, 5_000_000);
    assert(rows(file) > 50);
  });

  it("hold for a file in memory too", () => {
    using store = new SqliteStore(":memory:", { maxEntries: 100 });
    for (let n = 0; n < 500; n++) store.put(`${n}`, value(10), inSeconds(1000 + n));
    assertLessOrEqual([...store.entries()].length, 100);
  });

  it("take whole numbers only", () => {
    for (const maxEntries of [0, -1, 1.5, NaN, Infinity]) {
      assertThrows(() => new SqliteStore(":memory:", { maxEntries }), RangeError, "maxEntries");
    }
    for (const maxBytes of [0, 65_535, NaN, Infinity]) {
      assertThrows(() => new SqliteStore(":memory:", { maxBytes }), RangeError, "maxBytes");
    }
  });
});

describe("SqliteStore's cleaning", () => {
  it("removes thousands of expired rows bit by bit, and each put is kept meanwhile", () => {
    using folder = new TemporaryFolder();
    const file = folder.file("sessions.db");
    expiredFile(file, 5000);
    using store = new SqliteStore(file);
    let left = rows(file);
    assert(left >= 4900);
    for (let n = 0; n < 100; n++) {
      store.put(`${n}`, value(), inSeconds(100));
      const now = rows(file);
      // One put and one bit.
      assertLessOrEqual(left - now, 64);
      left = now;
    }
    assertEquals(left, 100);
  });

  it("reads what it lists bit by bit, also while it is changed", () => {
    using store = new SqliteStore(":memory:");
    for (let n = 0; n < 300; n++) store.put(`${n}`, value(10), inSeconds(100));
    const listed = new Set<string>();
    for (const [key] of store.entries()) {
      listed.add(key);
      store.delete(key);
    }
    assertEquals(listed.size, 300);
  });
});

describe("SqliteStore, once values are deleted", () => {
  it("has none of them in its files: soon while it is open, and when it is closed", async () => {
    using folder = new TemporaryFolder();
    const store = new SqliteStore(folder.file("sessions.db"));
    const values = Array.from({ length: 150 }, () => value());
    for (const [n, value] of values.entries()) store.put(`${n}`, value, inSeconds(100));
    assert(foundIn(folder.path, values) > 0);
    for (let n = 0; n < 50; n++) store.take(`${n}`);
    for (let n = 50; n < 100; n++) store.delete(`${n}`);
    const deleted = values.slice(0, 100);
    await until(() => foundIn(folder.path, deleted) === 0, "the deleted values to be gone");
    for (let n = 100; n < 150; n++) store.take(`${n}`);
    store.close();
    assertEquals(readdirSync(folder.path), ["sessions.db"]);
    assertEquals(foundIn(folder.path, values), 0);
  });

  it("waits for no other process that reads meanwhile", async () => {
    using folder = new TemporaryFolder();
    const file = folder.file("sessions.db");
    using store = new SqliteStore(file, { busyTimeout: 5000 });
    const secret = value();
    store.put("a", secret, inSeconds(100));
    const reader = new DatabaseSync(file);
    try {
      reader.exec("BEGIN");
      reader.prepare("SELECT * FROM sessions").all();
      store.take("a");
      // It tries once a second. Each put is as fast as ever.
      const start = performance.now();
      while (performance.now() - start < 1500) {
        const began = performance.now();
        store.put("b", value(), inSeconds(100));
        assertLess(performance.now() - began, 3000);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      reader.exec("COMMIT");
    } finally {
      reader.close();
    }
    await until(() => foundIn(folder.path, [secret]) === 0, "the deleted value to be gone");
  });
});

describe("SqliteStore's file that is there already", () => {
  it("is made readable by its owner alone", unix, () => {
    using folder = new TemporaryFolder();
    const file = folder.file("sessions.db");
    for (const mode of [0o644, 0o666, 0o640, 0o604]) {
      writeFileSync(file, "", { flag: "a" });
      chmodSync(file, mode);
      using store = new SqliteStore(file);
      store.put("a", value(), inSeconds(100));
      for (const path of [file, `${file}-wal`, `${file}-shm`]) assertEquals(statSync(path).mode & 0o777, 0o600, path);
    }
  });
});

describe("MemoryStore's maxBytes", () => {
  it("bounds keys and values together, of which the least recently used go", () => {
    const store = new MemoryStore({ maxBytes: 1000 });
    const keys = () => [...store.entries()].map(([key]) => key).join("");
    for (const key of "xyzabcdefghij") store.put(key, value(99), inSeconds(100));
    assertEquals(keys(), "abcdefghij");
    store.get("a");
    store.put("k", value(199), inSeconds(100));
    assertEquals(keys(), "defghijak");
    store.take("f");
    store.delete("g");
    store.put("l", value(199), inSeconds(100));
    assertEquals(keys(), "dehijakl");
    store.put("l", value(99), inSeconds(100));
    store.put("m", value(99), inSeconds(100));
    assertEquals(keys(), "dehijaklm");
  });

  it("keeps nothing that is larger by itself", () => {
    const store = new MemoryStore({ maxBytes: 100 });
    store.put("a", value(50), inSeconds(100));
    store.put("b", value(100), inSeconds(100));
    assertEquals(store.size, 0);
  });

  it("takes whole numbers above 0, and is 64 MiB where nothing is said", () => {
    for (const maxBytes of [0, -1, 1.5, NaN, Infinity]) {
      assertThrows(() => new MemoryStore({ maxBytes }), RangeError, "maxBytes");
    }
    assertEquals(new MemoryStore().maxBytes, 67_108_864);
  });
});

describe("MemoryStore, when the clock on the wall is set", () => {
  it("keeps nothing for longer because a clock that was ahead is right again", async () => {
    const { now } = Date;
    const store = new MemoryStore();
    try {
      Date.now = () => now() + 400 * 86_400_000;
      store.put("a", value(), new Date(Date.now() + 30));
      assert(store.get("a"));
    } finally {
      Date.now = now;
    }
    await until(() => store.get("a") === undefined, "the value to expire");
  });
});

describe("TieredStore.entries()", () => {
  it("lists what only the near store still has, so that it can be revoked", async () => {
    const [near, far] = [new MemoryStore(), new MemoryStore({ maxEntries: 1 })];
    const store = new TieredStore({ near, far });
    for (const key of ["a", "b"]) store.put(key, new Uint8Array([1]), inSeconds(100));
    const listed: string[] = [];
    for await (const [key] of store.entries!()) listed.push(key);
    assertEquals(listed, ["b", "a"]);
  });

  it(
    "has revokeWhere() find them",
    leavingNothingLater(async () => {
      const store = new TieredStore({ near: new MemoryStore(), far: new MemoryStore({ maxEntries: 1 }) });
      using contexts = new Cached("TLSv1.2", { store });
      contexts.visit();
      contexts.visit();
      assertEquals(await contexts.cache.revokeWhere(() => true), 2);
      for (const session of contexts.sessions.slice(0, 2)) assertEquals(contexts.visit(session), { resumed: false });
    }),
  );
});

describe("SessionCache.revokeWhere()", () => {
  it(
    "lets others run while it goes through a store that answers at once",
    leavingNothingLater(async () => {
      using store = new SqliteStore(":memory:");
      using contexts = new Cached("TLSv1.2", { store });
      contexts.visit();
      const [[key, value]] = [...store.entries()] as [[string, Uint8Array]];
      for (let n = 0; n < 3000; n++) store.put(`${key.slice(0, -4)}${n}`, value, inSeconds(100));
      let ticks = 0;
      const clock = setInterval(() => ticks++, 1);
      // So that it takes longer than others are to wait, also on a fast machine.
      const takesTime = () => {
        for (const end = performance.now() + 0.02; performance.now() < end;);
        return false;
      };
      await contexts.cache.revokeWhere(takesTime);
      clearInterval(clock);
      assert(ticks > 0, `${ticks} ticks`);
    }),
  );
});
