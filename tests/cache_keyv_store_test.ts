import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { KeyvMemcache } from "@keyv/memcache";
import { EventEmitter } from "node:events";
import { Keyv } from "keyv";
import { Keyv as Keyv6 } from "keyv6";
import { type KeyvInstance, KeyvStore } from "../cache/keyv_store.ts";
import { freePort } from "./outside_programs.ts";
import { bytes } from "./support.ts";

const value = bytes("a session of some client");
const later = () => new Date(Date.now() + 60_000);

/** A storage adapter for Keyv that fails by itself, and then rejects too or only says so. */
class BrokenAdapter extends EventEmitter {
  readonly opts = {};
  readonly #rejects: boolean;
  readonly #emits: boolean;

  constructor(rejects: boolean, emits: boolean) {
    super();
    this.#rejects = rejects;
    this.#emits = emits;
  }

  get(): Promise<undefined> {
    return this.#fail(undefined);
  }
  set(): Promise<boolean> {
    return this.#fail(false);
  }
  delete(): Promise<boolean> {
    return this.#fail(false);
  }
  clear(): Promise<undefined> {
    return this.#fail(undefined);
  }
  async #fail<T>(answer: T): Promise<T> {
    await Promise.resolve();
    const error = new Error("the database is down");
    if (this.#emits) this.emit("error", error);
    if (this.#rejects) throw error;
    return answer;
  }
}

const versions: Record<string, typeof Keyv> = { "Keyv 5": Keyv, "Keyv 6": Keyv6 as unknown as typeof Keyv };
for (const [version, Class] of Object.entries(versions)) {
  describe(`KeyvStore over ${version}`, () => {
    it("keeps base64 text", async () => {
      const keyv = new Class();
      await new KeyvStore(keyv).put("aa", value, later());
      assertEquals(await keyv.get("aa"), "YSBzZXNzaW9uIG9mIHNvbWUgY2xpZW50");
    });

    it("keeps nothing for ever: what lives no more is deleted", async () => {
      const keyv = new Class();
      const store = new KeyvStore(keyv);
      await store.put("aa", value, later());
      await store.put("aa", value, new Date(Date.now() - 1));
      assertEquals(await keyv.get("aa"), undefined);
    });

    it("has no take", () => {
      assertEquals("take" in new KeyvStore(new Class()), false);
    });

    it("rejects when there is something else under the key", async () => {
      const keyv = new Class();
      const store = new KeyvStore(keyv);
      for (const foreign of ["hello, world", 42, { hello: "world" }]) {
        await keyv.set("aa", foreign);
        await assertRejects(
          () => store.get("aa"),
          TypeError,
          "something under the key that this store has not put there",
        );
      }
    });

    for (const [way, rejects, emits] of [["rejects", true, false], ["says so and rejects", true, true]] as const) {
      it(`rejects when the adapter ${way}`, async () => {
        const store = new KeyvStore(new Class({ store: new BrokenAdapter(rejects, emits) }));
        await assertRejects(() => store.get("aa"), Error, "the database is down");
        await assertRejects(() => store.put("aa", value, later()), Error, "the database is down");
        await assertRejects(() => store.delete("aa"), Error, "the database is down");
      });
    }

    it("rejects when the adapter says that it failed, and answers", async () => {
      const store = new KeyvStore(new Class({ store: new BrokenAdapter(false, true) }));
      await assertRejects(() => store.get("aa"), Error, "Keyv failed to get a value: the database is down");
      await assertRejects(() => store.put("aa", value, later()), Error, "Keyv failed to set a value: the database is");
      await assertRejects(() => store.delete("aa"), Error, "Keyv failed to delete a value: the database is down");
    });

    it("rejects when the adapter answers that it did not keep a value", async () => {
      const store = new KeyvStore(new Class({ store: new BrokenAdapter(false, false) }));
      await assertRejects(() => store.put("aa", value, later()), Error, "does not say why");
      assertEquals(await store.get("aa"), undefined);
      await store.delete("aa");
    });

    it("rejects when memcached is not there", async () => {
      const logger = { log: () => {} };
      const adapter = new KeyvMemcache(`127.0.0.1:${await freePort()}`, { retries: 0, logger } as never);
      try {
        const store = new KeyvStore(new Class({ store: adapter }));
        await assertRejects(() => store.get("aa"));
        await assertRejects(() => store.put("aa", value, later()));
        await assertRejects(() => store.delete("aa"));
      } finally {
        adapter.client.close();
      }
    });
  });
}

describe("KeyvStore over something like Keyv", () => {
  it("does with get, set and delete", async () => {
    const map = new Map<string, string>();
    const keyv: KeyvInstance = {
      get: (key) => Promise.resolve(map.get(key)),
      set: (key, value) => Promise.resolve(map.set(key, value)),
      delete: (key) => Promise.resolve(map.delete(key)),
    };
    const store = new KeyvStore(keyv);
    await store.put("aa", value, later());
    assertEquals(await store.get("aa"), value);
    await store.delete("aa");
    assertEquals(await store.get("aa"), undefined);
  });
});
