import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import type { MaybePromise, SessionStore } from "./session_store.ts";

/** A statement about stores, tried. */
export interface StoreTest {
  /** Whether it is about stores with `take` or those without. */
  readonly about?: "take" | "no take";
  /** Whether it is about two stores over the same sessions. */
  readonly needsSecond?: boolean;
  /** Fails if the statement is wrong. `second` is there if it is needed. */
  run(store: SessionStore, second: SessionStore): Promise<void> | void;
}

const value = new Uint8Array([0, 1, 2, 254, 255]);
const other = new Uint8Array([9, 8, 7]);
const later = () => new Date(Date.now() + 60_000);
const past = () => new Date(Date.now() - 1000);
/** A key like the cache's own, which no other test has. */
const newKey = () => randomBytes(32).toString("hex");
const someKeys = (count: number) => Array.from({ length: count }, newKey);

/** Asserts that a value was found, and which. */
function assertValue(actual: Uint8Array | undefined, expected: Uint8Array): void {
  assert.ok(actual instanceof Uint8Array, `The store answered with ${String(actual)} where a Uint8Array was put`);
  // As text: runners that compare arrays in depth do it slowly, and tell a Buffer from a Uint8Array.
  assert.equal(hex(actual), hex(expected));
}

function assertNothing(actual: Uint8Array | undefined): void {
  assert.equal(actual, undefined);
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function take(store: SessionStore, key: string): MaybePromise<Uint8Array | undefined> {
  assert.equal(typeof store.take, "function", "The store has no take. If it cannot have it, say take: false");
  return store.take!(key);
}

async function putAndGet(store: SessionStore, bytes: Uint8Array): Promise<void> {
  const key = newKey();
  await store.put(key, bytes.slice(), later());
  assertValue(await store.get(key), bytes);
}

/** Has the stores take a key many times at once. Answers what was got. */
async function takeAtOnce(stores: SessionStore[], key: string): Promise<Uint8Array[]> {
  const answers = Array.from({ length: 10 }, () => stores.map((store) => take(store, key))).flat();
  return (await Promise.all(answers)).filter((answer) => answer !== undefined);
}

/** The statements about every store, in the order of what builds on what. */
export const storeTests: Record<string, StoreTest> = {
  "finds nothing under a key that nothing was put under": {
    run: async (store) => assertNothing(await store.get(newKey())),
  },
  "finds what was put, as often as it is asked": {
    async run(store) {
      const key = newKey();
      await store.put(key, value.slice(), later());
      for (let times = 0; times < 3; times++) assertValue(await store.get(key), value);
    },
  },
  "keeps keys apart": {
    async run(store) {
      const key = newKey();
      const keys = [
        key,
        key.slice(0, 63),
        key.slice(0, 1),
        key.slice(1),
        `${key.slice(0, 63)}${key.endsWith("0") ? 1 : 0}`,
      ];
      for (const [index, key] of keys.entries()) await store.put(key, new Uint8Array([index]), later());
      for (const [index, key] of keys.entries()) assertValue(await store.get(key), new Uint8Array([index]));
      for (const key of keys.slice(1)) await store.delete(key);
      assertValue(await store.get(key), new Uint8Array([0]));
    },
  },
  "puts a value in place of another, and its time in place of the other's": {
    async run(store) {
      const key = newKey();
      await store.put(key, value.slice(), past());
      await store.put(key, other.slice(), later());
      assertValue(await store.get(key), other);
      await store.put(key, value.slice(), later());
      assertValue(await store.get(key), value);
      await store.put(key, other.slice(), past());
      assertNothing(await store.get(key));
    },
  },
  "deletes": {
    async run(store) {
      const key = newKey();
      await store.put(key, value.slice(), later());
      await store.delete(key);
      assertNothing(await store.get(key));
    },
  },
  "has nothing against deleting what is not there": {
    async run(store) {
      const key = newKey();
      await store.delete(key);
      assertNothing(await store.get(key));
    },
  },
  "finds what is put after it was asked for in vain, or deleted": {
    async run(store) {
      const key = newKey();
      assertNothing(await store.get(key));
      await store.put(key, value.slice(), later());
      assertValue(await store.get(key), value);
      await store.delete(key);
      assertNothing(await store.get(key));
      await store.put(key, other.slice(), later());
      assertValue(await store.get(key), other);
    },
  },
  "does not find what has expired when it is put": {
    async run(store) {
      for (const expiry of [new Date(0), past()]) {
        const key = newKey();
        await store.put(key, value.slice(), expiry);
        assertNothing(await store.get(key));
      }
    },
  },
  "does not find any more what has expired since": {
    async run(store) {
      const key = newKey();
      const expiresAt = new Date(Date.now() + 100);
      await store.put(key, value.slice(), expiresAt);
      // Two seconds more for stores that count in seconds.
      while (await store.get(key)) {
        assert.ok(Date.now() < expiresAt.getTime() + 2000, "The value is still there two seconds after its time");
        await setTimeout(10);
      }
    },
  },
  "finds what expires in a year": {
    async run(store) {
      const key = newKey();
      await store.put(key, value.slice(), new Date(Date.now() + 365 * 86_400_000));
      assertValue(await store.get(key), value);
    },
  },
  "keeps every byte as it is": {
    run: (store) => putAndGet(store, new Uint8Array(256).map((_, index) => index)),
  },
  "keeps bytes that are no text": {
    async run(store) {
      for (const bytes of [[0xff], [0], [0xc3, 0x28], [0xed, 0xa0, 0x80], [13, 10], [34, 92]]) {
        await putAndGet(store, new Uint8Array(bytes));
      }
    },
  },
  "keeps 10 KiB": {
    run: (store) => putAndGet(store, new Uint8Array(randomBytes(10_240))),
  },
  "keeps a part of a buffer, and not all of it": {
    async run(store) {
      const key = newKey();
      await store.put(key, new Uint8Array([1, 2, 3, 4, 5, 6]).subarray(2, 4), later());
      assertValue(await store.get(key), new Uint8Array([3, 4]));
    },
  },
  "keeps many values that are put and asked for at once": {
    async run(store) {
      const keys = someKeys(50);
      await Promise.all(keys.map((key, index) => store.put(key, new Uint8Array([index]), later())));
      const answers = await Promise.all(keys.map((key) => store.get(key)));
      for (const [index, answer] of answers.entries()) assertValue(answer, new Uint8Array([index]));
      await Promise.all(keys.map((key) => store.delete(key)));
      for (const answer of await Promise.all(keys.map((key) => store.get(key)))) assertNothing(answer);
    },
  },
  "answers or fails, and soon, when nobody waits for the answer": {
    async run(store) {
      const key = newKey();
      await store.put(key, value.slice(), later());
      const ask = async () => await store.get(key, { signal: AbortSignal.abort() });
      const [answer] = await Promise.allSettled([ask()]);
      if (answer.status === "fulfilled") assertValue(answer.value, value);
      const { signal } = new AbortController();
      assertValue(await store.get(key, { signal }), value);
    },
  },
  "lists what it keeps and nothing that was deleted, if it can list anything": {
    async run(store) {
      const [kept, deleted] = [newKey(), newKey()];
      await store.put(kept, value.slice(), later());
      await store.put(deleted, other.slice(), later());
      await store.delete(deleted);
      if (!store.entries) return;
      const listed = new Map<string, Uint8Array>();
      for await (const [key, value] of store.entries()) listed.set(key, value);
      assertValue(listed.get(kept), value);
      assert.ok(!listed.has(deleted), "A value is listed that was deleted");
    },
  },
  "has no take": {
    about: "no take",
    run(store) {
      assert.equal(store.take, undefined, "The store has take, which must be tested. Do not say take: false");
    },
  },
  "takes nothing under a key that nothing was put under": {
    about: "take",
    run: async (store) => assertNothing(await take(store, newKey())),
  },
  "takes once": {
    about: "take",
    async run(store) {
      const key = newKey();
      await store.put(key, value.slice(), later());
      assertValue(await take(store, key), value);
      assertNothing(await take(store, key));
      assertNothing(await store.get(key));
    },
  },
  "takes the latest value": {
    about: "take",
    async run(store) {
      const key = newKey();
      await store.put(key, value.slice(), later());
      assertValue(await store.get(key), value);
      await store.put(key, other.slice(), later());
      assertValue(await take(store, key), other);
      await store.put(key, value.slice(), later());
      assertValue(await take(store, key), value);
    },
  },
  "takes nothing that was deleted or has expired": {
    about: "take",
    async run(store) {
      const [deleted, expired] = [newKey(), newKey()];
      await store.put(deleted, value.slice(), later());
      await store.delete(deleted);
      assertNothing(await take(store, deleted));
      await store.put(expired, value.slice(), past());
      assertNothing(await take(store, expired));
    },
  },
  "lets one of many callers take": {
    about: "take",
    async run(store) {
      for (const key of someKeys(10)) {
        await store.put(key, value.slice(), later());
        const [taken, ...rest] = await takeAtOnce([store], key);
        assertValue(taken, value);
        assert.equal(rest.length, 0, `${rest.length + 1} callers took one session`);
      }
    },
  },
  "finds what another store over the same sessions has put": {
    needsSecond: true,
    async run(store, second) {
      const key = newKey();
      await store.put(key, value.slice(), later());
      assertValue(await second.get(key), value);
      await second.delete(key);
    },
  },
  "lets one of many callers take, with another store over the same sessions": {
    about: "take",
    needsSecond: true,
    async run(store, second) {
      for (const key of someKeys(10)) {
        await store.put(key, value.slice(), later());
        const [taken, ...rest] = await takeAtOnce([store, second], key);
        assertValue(taken, value);
        assert.equal(rest.length, 0, `${rest.length + 1} callers took one session`);
        assertNothing(await second.get(key));
      }
    },
  },
};
