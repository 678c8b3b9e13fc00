import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { MemoryStore } from "../cache/memory_store.ts";
import { SqliteStore } from "../cache/sqlite_store.ts";
import { TieredStore } from "../cache/tiered_store.ts";
import { testSessionStore } from "../testing.ts";
import { TemporaryFolder } from "./server_support.ts";

const later = () => new Date(Date.now() + 60_000);

testSessionStore("MemoryStore", () => new MemoryStore(), { describe, it });
testSessionStore("SqliteStore in memory", () => new SqliteStore(":memory:"), { describe, it });

/** Stores in files, each in a folder of its own that goes with it. */
class FileStore extends SqliteStore {
  readonly folder: TemporaryFolder;

  constructor(folder = new TemporaryFolder()) {
    // Several stores of one thread wait for each other in vain, so not for long.
    super(folder.file("sessions.db"), { busyTimeout: 0 });
    this.folder = folder;
  }

  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    this.folder[Symbol.dispose]();
  }
}
testSessionStore("SqliteStore in a file", () => new FileStore(), {
  describe,
  it,
  makeSecond: (first) => new FileStore(first.folder),
});

testSessionStore(
  "TieredStore over stores that answer at once",
  () => new TieredStore({ near: new MemoryStore(), far: new MemoryStore() }),
  { describe, it },
);
testSessionStore(
  "TieredStore that has room for nothing",
  () =>
    new TieredStore({ near: new MemoryStore({ maxEntries: 1 }), far: new MemoryStore(), nearTtl: 0, maxNegatives: 1 }),
  { describe, it },
);

// Wider than what other stores need do: these take any text for a key, and no bytes for a value.
for (
  const [name, open] of Object.entries({
    MemoryStore: () => new MemoryStore(),
    SqliteStore: () => new FileStore(),
  })
) {
  describe(`${name}, beyond the contract`, () => {
    /** A test of a store that is ended afterwards. */
    const withStore = (test: (store: MemoryStore | SqliteStore) => void) => () => {
      const store = open();
      try {
        test(store);
      } finally {
        if (store instanceof FileStore) store[Symbol.dispose]();
      }
    };

    it(
      "takes keys for text and nothing else",
      withStore((store) => {
        for (const key of ["", "'; DROP TABLE sessions; --", "%", "__proto__", "ff".repeat(32)]) {
          assertEquals(store.get(key), undefined, key);
          store.put(key, new Uint8Array([1, 2]), later());
          assertEquals([...store.take(key)!], [1, 2], key);
        }
      }),
    );

    it(
      "holds a value of no bytes and one of 64 KiB",
      withStore((store) => {
        const large = new Uint8Array(65536).map((_, index) => index * 7);
        store.put("aa", new Uint8Array(0), later());
        store.put("bb", large, later());
        assertEquals(store.get("aa")!.length, 0);
        assertEquals([...store.take("bb")!], [...large]);
      }),
    );
  });
}
