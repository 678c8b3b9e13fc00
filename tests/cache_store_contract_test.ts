import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { MemoryStore } from "../cache/memory_store.ts";
import type { SessionStore } from "../cache/session_store.ts";
import { SqliteStore } from "../cache/sqlite_store.ts";
import { TemporaryFolder } from "./server_support.ts";

const value = new Uint8Array([0, 1, 2, 254, 255]);
const other = new Uint8Array([9, 8, 7]);
const later = () => new Date(Date.now() + 60_000);
const past = () => new Date(Date.now() - 1);

type Store = Required<SessionStore>;

/** Each test is run on every store. What a store gives may be a Promise. */
const contract: Record<string, (store: Store) => Promise<void>> = {
  "finds nothing under a key that nothing was put under": async (store) => {
    assertEquals(await store.get("aa"), undefined);
    assertEquals(await store.take("aa"), undefined);
  },
  "finds what was put, as often as it is asked": async (store) => {
    await store.put("aa", value, later());
    assertEquals([...(await store.get("aa"))!], [...value]);
    assertEquals([...(await store.get("aa"))!], [...value]);
  },
  "answers with a Uint8Array": async (store) => {
    await store.put("aa", value, later());
    assertEquals((await store.get("aa")) instanceof Uint8Array, true);
    assertEquals((await store.take("aa")) instanceof Uint8Array, true);
  },
  "keeps keys apart": async (store) => {
    await store.put("aa", value, later());
    await store.put("ab", other, later());
    assertEquals([...(await store.get("aa"))!], [...value]);
    assertEquals([...(await store.get("ab"))!], [...other]);
    await store.delete("aa");
    assertEquals(await store.get("aa"), undefined);
    assertEquals([...(await store.get("ab"))!], [...other]);
  },
  "puts a value in place of another, and its time in place of the other's": async (store) => {
    await store.put("aa", value, past());
    await store.put("aa", other, later());
    assertEquals([...(await store.get("aa"))!], [...other]);
    await store.put("aa", value, past());
    assertEquals(await store.get("aa"), undefined);
  },
  "takes once": async (store) => {
    await store.put("aa", value, later());
    assertEquals([...(await store.take("aa"))!], [...value]);
    assertEquals(await store.take("aa"), undefined);
    assertEquals(await store.get("aa"), undefined);
  },
  "lets one of many callers take": async (store) => {
    await store.put("aa", value, later());
    const taken = await Promise.all(Array.from({ length: 20 }, () => store.take("aa")));
    assertEquals(taken.filter((value) => value !== undefined).length, 1);
  },
  "deletes": async (store) => {
    await store.put("aa", value, later());
    await store.delete("aa");
    assertEquals(await store.get("aa"), undefined);
    assertEquals(await store.take("aa"), undefined);
  },
  "has nothing against deleting what is not there": async (store) => {
    await store.delete("aa");
    assertEquals(await store.get("aa"), undefined);
  },
  "does not find what has expired": async (store) => {
    await store.put("aa", value, past());
    assertEquals(await store.get("aa"), undefined);
    await store.put("bb", value, past());
    assertEquals(await store.take("bb"), undefined);
    await store.put("cc", value, new Date(0));
    assertEquals(await store.get("cc"), undefined);
  },
  "holds a value of no bytes and one of 64 KiB": async (store) => {
    const large = new Uint8Array(65536).map((_, index) => index * 7);
    await store.put("aa", new Uint8Array(0), later());
    await store.put("bb", large, later());
    assertEquals((await store.get("aa"))!.length, 0);
    assertEquals([...(await store.take("bb"))!], [...large]);
  },
  "takes keys for text and nothing else": async (store) => {
    for (const key of ["", "'; DROP TABLE sessions; --", "%", "__proto__", "ff".repeat(32)]) {
      assertEquals(await store.get(key), undefined, key);
      await store.put(key, value, later());
      assertEquals([...(await store.take(key))!], [...value], key);
    }
  },
};

const stores: Record<string, (folder: TemporaryFolder) => Store & { close?(): void }> = {
  "MemoryStore": () => new MemoryStore(),
  "SqliteStore in a file": (folder) => new SqliteStore(folder.file("sessions.db")),
  "SqliteStore in memory": () => new SqliteStore(":memory:"),
};

for (const [name, open] of Object.entries(stores)) {
  describe(`${name}: the contract of stores`, () => {
    for (const [statement, test] of Object.entries(contract)) {
      it(statement, async () => {
        using folder = new TemporaryFolder();
        const store = open(folder);
        try {
          await test(store);
        } finally {
          store.close?.();
        }
      });
    }
  });
}
