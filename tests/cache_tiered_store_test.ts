import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { MemoryStore, type SessionStore, TieredStore, type TieredStoreOptions } from "../mod.ts";
import { until } from "./server_support.ts";
import "./support.ts";

const value = () => new Uint8Array([1, 2, 3]);
const other = () => new Uint8Array([4, 5, 6]);
const later = () => new Date(Date.now() + 60_000);

/** A store that answers when it is told to, in the order it was asked. Its sessions are those of a MemoryStore. */
class FarStore implements SessionStore {
  readonly sessions = new MemoryStore();
  readonly asked: string[] = [];
  readonly #waiting: (() => void)[] = [];

  get(key: string): Promise<Uint8Array | undefined> {
    return this.#ask(`get ${key}`, () => this.sessions.get(key));
  }
  put(key: string, value: Uint8Array, expiresAt: Date): Promise<void> {
    return this.#ask(`put ${key}`, () => this.sessions.put(key, value, expiresAt));
  }
  take(key: string): Promise<Uint8Array | undefined> {
    return this.#ask(`take ${key}`, () => this.sessions.take(key));
  }
  delete(key: string): Promise<void> {
    return this.#ask(`delete ${key}`, () => this.sessions.delete(key));
  }

  /** Answers all that was asked. */
  answer(): void {
    for (const answer of this.#waiting.splice(0)) answer();
  }

  /** Answers a question before those that were asked earlier. */
  answerLast(): void {
    this.#waiting.pop()!();
  }

  /** What is asked and answered. */
  async answered<T>(promise: T | Promise<T>): Promise<T> {
    this.answer();
    return await promise;
  }

  /** The question is seen at once, and its answer arrives later: what is changed in between, it does not tell. */
  #ask<T>(question: string, act: () => T): Promise<T> {
    this.asked.push(question);
    const answer = act();
    return new Promise((resolve) => this.#waiting.push(() => resolve(answer)));
  }
}

function tiers(options: Partial<TieredStoreOptions> = {}): { store: TieredStore; near: MemoryStore; far: FarStore } {
  const [near, far] = [new MemoryStore(), new FarStore()];
  return { store: new TieredStore({ near, far, ...options }), near, far };
}

describe("TieredStore", () => {
  it("answers from memory, at once, what was put", async () => {
    const { store, far } = tiers();
    await far.answered(store.put("aa", value(), later()));
    assertEquals(store.get("aa"), value());
    assertEquals(far.asked, ["put aa"]);
  });

  it("asks the far store once for what it finds there", async () => {
    const { store, far } = tiers();
    far.sessions.put("aa", value(), later());
    assertEquals(await far.answered(store.get("aa")), value());
    assertEquals(store.get("aa"), value());
    assertEquals(far.asked, ["get aa"]);
  });

  it("asks the far store again when the near one's time is over", async () => {
    const { store, far } = tiers({ nearTtl: 1 });
    far.sessions.put("aa", value(), later());
    await far.answered(store.get("aa"));
    await until(() => store.get("aa") instanceof Promise, "the time to pass");
    far.sessions.delete("aa");
    far.answer();
    assertEquals(await far.answered(store.get("aa")), undefined);
  });

  it("does not keep in memory for longer than the session lives", async () => {
    const { store, near, far } = tiers();
    await far.answered(store.put("aa", value(), new Date(Date.now() - 1)));
    assertEquals(near.get("aa"), undefined);
  });

  it("remembers for a while what the far store does not have", async () => {
    const { store, far } = tiers({ negativeTtl: 60_000 });
    assertEquals(await far.answered(store.get("aa")), undefined);
    assertEquals(store.get("aa"), undefined);
    assertEquals(store.take!("aa"), undefined);
    assertEquals(far.asked, ["get aa"]);
  });

  it("asks again afterwards", async () => {
    const { store, far } = tiers({ negativeTtl: 1 });
    await far.answered(store.get("aa"));
    far.sessions.put("aa", value(), later());
    await until(() => store.get("aa") instanceof Promise, "the time to pass");
    assertEquals(await far.answered(store.get("aa")), value());
  });

  it("does not remember it if told so", async () => {
    for (const options of [{ negativeTtl: 0 }, { maxNegatives: 0 }]) {
      const { store, far } = tiers(options);
      await far.answered(store.get("aa"));
      await far.answered(store.get("aa"));
      assertEquals(far.asked, ["get aa", "get aa"]);
    }
  });

  it("remembers no more of it than it may: the oldest goes", async () => {
    const { store, far } = tiers({ negativeTtl: 60_000, maxNegatives: 2 });
    for (const key of ["aa", "bb", "cc"]) await far.answered(store.get(key));
    far.asked.length = 0;
    for (const key of ["bb", "cc", "aa"]) await far.answered(store.get(key));
    assertEquals(far.asked, ["get aa"]);
  });

  it("finds what is put under a key that was not there", async () => {
    const { store, near, far } = tiers({ negativeTtl: 60_000 });
    await far.answered(store.get("aa"));
    await far.answered(store.put("aa", value(), later()));
    near.delete("aa");
    assertEquals(await far.answered(store.get("aa")), value());
    await far.answered(store.put("aa", other(), later()));
    assertEquals(await far.answered(store.take!("aa")), other());
  });

  it("finds what is put while the far store says that it is not there", async () => {
    const { store, near, far } = tiers({ negativeTtl: 60_000 });
    const early = store.get("aa");
    const put = store.put("aa", value(), later());
    far.answer();
    assertEquals(await early, undefined);
    await put;
    near.delete("aa");
    assertEquals(await far.answered(store.get("aa")), value());
  });

  it("finds what is put, although memory had no room and the far store did not show it at first", async () => {
    const { store, near, far } = tiers({ negativeTtl: 60_000 });
    const put = store.put("aa", value(), later());
    near.delete("aa");
    far.sessions.delete("aa");
    const early = store.get("aa");
    far.answerLast();
    assertEquals(await early, undefined);
    far.sessions.put("aa", value(), later());
    await far.answered(put);
    assertEquals(await far.answered(store.get("aa")), value());
  });

  it("takes from the far store alone, and once", async () => {
    const { store, near, far } = tiers();
    await far.answered(store.put("aa", value(), later()));
    const both = [store.take!("aa"), store.take!("aa")];
    far.answer();
    assertEquals(await Promise.all(both), [value(), undefined]);
    assertEquals(near.get("aa"), undefined);
    assertEquals(await far.answered(store.get("aa")), undefined);
  });

  for (const operation of ["delete", "take"] as const) {
    it(`answers nothing from memory while the far store is at a ${operation}`, async () => {
      const { store, near, far } = tiers();
      await far.answered(store.put("aa", value(), later()));
      const underWay = store[operation]!("aa");
      assertEquals(near.get("aa"), undefined);
      await far.answered(underWay);
    });
  }

  it("does not take what another server has taken", async () => {
    const { store, far } = tiers();
    await far.answered(store.put("aa", value(), later()));
    far.sessions.take("aa");
    assertEquals(await far.answered(store.take!("aa")), undefined);
    assertEquals(store.get("aa"), undefined);
  });

  for (const operation of ["take", "delete"] as const) {
    it(`does not bring back what a ${operation} removes, by an answer that was under way`, async () => {
      const { store, near, far } = tiers();
      far.sessions.put("aa", value(), later());
      const answers = [store.get("aa"), store[operation]!("aa")];
      far.answer();
      assertEquals(await answers[0], value());
      await answers[1];
      assertEquals(near.get("aa"), undefined);
    });

    it(`does not bring back what a ${operation} is about to remove`, async () => {
      for (const order of ["answered in order", "asked last, answered first"]) {
        const { store, near, far } = tiers();
        far.sessions.put("aa", value(), later());
        const removed = store[operation]!("aa");
        // A far store with replicas may still have it.
        far.sessions.put("aa", value(), later());
        const late = store.get("aa");
        if (order === "asked last, answered first") far.answerLast();
        else far.answer();
        assertEquals(await late, value());
        far.answer();
        await removed;
        assertEquals(near.get("aa"), undefined, order);
      }
    });
  }

  it("deletes in both stores", async () => {
    const { store, far } = tiers();
    await far.answered(store.put("aa", value(), later()));
    await far.answered(store.delete("aa"));
    assertEquals(await far.answered(store.get("aa")), undefined);
    assertEquals(far.sessions.get("aa"), undefined);
  });

  it("gives each store a value of its own", async () => {
    const { store, near, far } = tiers();
    await far.answered(store.put("aa", value(), later()));
    far.sessions.get("aa")!.fill(0);
    assertEquals(near.get("aa"), value());
    far.sessions.put("bb", value(), later());
    (await far.answered(store.get("bb")))!.fill(0);
    assertEquals(near.get("bb"), value());
  });

  it("can do what the far store can", () => {
    const near = new MemoryStore();
    const far: SessionStore = { get: () => undefined, put: () => {}, delete: () => {} };
    const poor = new TieredStore({ near, far });
    assertEquals([poor.take, poor.entries, poor.isShared], [undefined, undefined, false]);
    const rich = new TieredStore({ near, far: { ...far, take: () => value(), isShared: true, entries: () => [] } });
    assertEquals([rich.take!("aa"), rich.entries!(), rich.isShared], [value(), [], true]);
  });

  it("hands on what the far store fails with, and remembers nothing of it", async () => {
    const broken = () => Promise.reject(new Error("the far store is down"));
    const far: SessionStore = { get: broken, put: broken, take: broken, delete: broken };
    const store = new TieredStore({ near: new MemoryStore(), far });
    for (let times = 0; times < 2; times++) {
      await assertRejects(async () => await store.get("aa"), Error, "the far store is down");
      await assertRejects(async () => await store.take!("aa"), Error, "the far store is down");
      await assertRejects(async () => await store.delete("aa"), Error, "the far store is down");
    }
    await assertRejects(async () => await store.put("aa", value(), later()), Error, "the far store is down");
    assertEquals(store.get("aa"), value());
  });

  it("hands on what the far store throws", () => {
    const broken = () => {
      throw new Error("the far store is broken");
    };
    const store = new TieredStore({
      near: new MemoryStore(),
      far: { get: broken, put: broken, take: broken, delete: broken },
    });
    assertThrows(() => store.get("aa"), Error, "the far store is broken");
    assertThrows(() => store.take!("aa"), Error, "the far store is broken");
    assertThrows(() => store.delete("aa"), Error, "the far store is broken");
    assertThrows(() => store.put("aa", value(), later()), Error, "the far store is broken");
  });

  it("takes only times and numbers that it can keep to", () => {
    for (const time of [-1, NaN, Infinity]) {
      assertThrows(() => tiers({ nearTtl: time }), RangeError, "Cannot use the option nearTtl");
      assertThrows(() => tiers({ negativeTtl: time }), RangeError, "Cannot use the option negativeTtl");
    }
    for (const number of [-1, 1.5, NaN, Infinity]) {
      assertThrows(() => tiers({ maxNegatives: number }), RangeError, "Cannot use the option maxNegatives");
    }
  });
});
