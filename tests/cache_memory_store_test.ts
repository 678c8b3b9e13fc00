import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { MemoryStore } from "../cache/memory_store.ts";

const value = new Uint8Array([1]);
const later = new Date(Date.now() + 3_600_000);

/** The keys that are found, without the order of use being changed for good: the store is not used afterwards. */
function found(store: MemoryStore, keys: string): string {
  return [...keys].filter((key) => store.take(key)).join("");
}

function filled(maxEntries: number, keys: string): MemoryStore {
  const store = new MemoryStore({ maxEntries });
  for (const key of keys) store.put(key, value, later);
  return store;
}

describe("MemoryStore", () => {
  it("holds 20,480 sessions where nothing else is said", () => {
    const store = new MemoryStore();
    assertEquals(store.maxEntries, 20_480);
    for (let index = 0; index < 20_500; index++) store.put(`${index}`, value, later);
    assertEquals(store.size, 20_480);
    assertEquals(store.get("19"), undefined);
    assertEquals(store.get("20"), value);
  });

  it("lets the oldest go where nothing was used", () => {
    const store = filled(3, "abcde");
    assertEquals(store.size, 3);
    assertEquals(found(store, "abcde"), "cde");
  });

  it("lets the least recently used go", () => {
    const store = filled(3, "abc");
    store.get("a");
    store.put("d", value, later);
    store.put("e", value, later);
    assertEquals(found(store, "abcde"), "ade");
  });

  it("counts a put as a use, and puts again without letting another go", () => {
    const store = filled(3, "abc");
    store.put("a", value, later);
    assertEquals(store.size, 3);
    store.put("d", value, later);
    assertEquals(found(store, "abcd"), "acd");
  });

  it("has room again after take and delete", () => {
    const store = filled(3, "abc");
    store.take("b");
    store.put("d", value, later);
    store.delete("a");
    store.put("e", value, later);
    assertEquals(found(store, "abcde"), "cde");
  });

  it("lets an expired session go when it is asked for", () => {
    const store = new MemoryStore({ maxEntries: 2 });
    store.put("a", value, new Date(Date.now() - 1000));
    assertEquals(store.size, 1);
    assertEquals(store.get("a"), undefined);
    assertEquals(store.size, 0);
    store.put("b", value, new Date(Date.now() - 1000));
    assertEquals(store.take("b"), undefined);
    assertEquals(store.size, 0);
  });

  it("works with room for one", () => {
    assertEquals(found(filled(1, "abc"), "abc"), "c");
  });

  it("takes only whole numbers above 0 for maxEntries", () => {
    for (const maxEntries of [0, -1, 1.5, NaN, Infinity, 2 ** 53]) {
      assertThrows(() => new MemoryStore({ maxEntries }), RangeError, `not ${maxEntries}`);
    }
  });
});
