import { assert, assertEquals, assertFalse, assertStrictEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { MemoryStore, type SessionStore } from "../mod.ts";
import { Cached, PendingStore, settled, woken } from "./cache_server_support.ts";
import { leavingNothing } from "./counts.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { type Link, type Version, versions } from "./support.ts";

/** How sessions are looked up with this version. */
const operation: Record<Version, "get" | "take"> = { "TLSv1.2": "get", "TLSv1.3": "take" };

/** A test of a server whose store answers when the test says so. */
function later(
  version: Version,
  test: (contexts: Cached, store: PendingStore) => Promise<void>,
  lookupTimeout = 60_000,
): () => Promise<void> {
  return leavingNothingLater(async () => {
    const store = new PendingStore();
    using contexts = new Cached(version, { store, lookupTimeout });
    await test(contexts, store);
    await contexts.cache.close();
  });
}

/** Goes on with a handshake that was woken. Answers whether it resumed. */
function finish(link: Link): boolean {
  link.connect();
  assertEquals(link.server.isResumed, link.client.isResumed);
  const { isResumed } = link.server;
  link.close();
  return isResumed;
}

for (const version of versions) {
  const single = version === "TLSv1.3";

  describe(`${version}: SessionCache with a store that answers later`, () => {
    it(
      "resumes when the answer has come",
      later(version, async (contexts, store) => {
        using link = contexts.link(contexts.resumable());
        assertEquals(link.half(), "wants-lookup");
        assertEquals(link.server.handshake(), "wants-lookup");
        assertEquals(link.toClient(), 0);
        assertEquals(store.lookups.map(({ operation }) => operation), [operation[version]]);
        store.lookups[0]!.answer();
        await woken(link.server);
        assertEquals(finish(link), true);
        assertEquals(store.lookups.length, 1);
        assertFalse(store.lookups[0]!.signal.aborted);
        assertEquals(contexts.counted, { lookups: 1, hits: 1, stored: single ? 2 : 1 });
      }),
    );

    it(
      "makes a full handshake when the answer is that there is none",
      later(version, async (contexts, store) => {
        using link = contexts.link(contexts.resumable());
        assertEquals(link.half(), "wants-lookup");
        store.lookups[0]!.resolve(undefined);
        await woken(link.server);
        assertEquals(finish(link), false);
        assertEquals(contexts.counted, { lookups: 1, misses: 1, stored: 2 });
      }),
    );

    it(
      "makes a full handshake when there is no answer in time, and aborts the lookup",
      later(version, async (contexts, store) => {
        using link = contexts.link(contexts.resumable());
        assertEquals(link.half(), "wants-lookup");
        const { signal } = store.lookups[0]!;
        assertFalse(signal.aborted);
        await woken(link.server);
        assert(signal.aborted);
        assertEquals(signal.reason.message, "The session store did not answer in 20 ms");
        assertEquals(finish(link), false);
        assertEquals(contexts.counted, { lookups: 1, misses: 1, timedOut: 1, stored: 2 });
        assertEquals(contexts.errors, []);
      }, 20),
    );

    it(
      "drops an answer that comes after the deadline",
      later(version, async (contexts, store) => {
        const session = contexts.resumable();
        using link = contexts.link(session);
        assertEquals(link.half(), "wants-lookup");
        await woken(link.server);
        let wokenAgain = false;
        link.server.onWake = () => void (wokenAgain = true);
        store.lookups[0]!.answer();
        await settled();
        assertFalse(wokenAgain);
        assertEquals(finish(link), false);
        assertEquals(contexts.counted, { lookups: 1, misses: 1, timedOut: 1, late: 1, stored: 2 });
        assertEquals(contexts.told.filter((type) => type !== "stored"), ["timed out", "late"]);
        // What was taken is spent; what was read is still there.
        using second = contexts.link(session);
        second.half();
        store.lookups[1]!.answer();
        await woken(second.server);
        assertEquals(finish(second), !single);
      }, 20),
    );

    it(
      "makes a full handshake when the store rejects, and says so",
      later(version, async (contexts, store) => {
        using link = contexts.link(contexts.resumable());
        assertEquals(link.half(), "wants-lookup");
        const broken = new Error("the disk is on fire");
        store.lookups[0]!.reject(broken);
        await woken(link.server);
        assertEquals(finish(link), false);
        assertEquals(contexts.counted, { lookups: 1, misses: 1, errors: 1, stored: 2 });
        assertEquals(contexts.errors.map(({ operation }) => operation), [operation[version]]);
        assertStrictEquals(contexts.errors[0]!.cause, broken);
      }),
    );

    it(
      "says nothing of a rejection that comes after the deadline: it may be the abort's own",
      later(version, async (contexts, store) => {
        using link = contexts.link(contexts.resumable());
        assertEquals(link.half(), "wants-lookup");
        const { signal, reject } = store.lookups[0]!;
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
        await woken(link.server);
        await settled();
        assertEquals(finish(link), false);
        assertEquals(contexts.counted, { lookups: 1, misses: 1, timedOut: 1, stored: 2 });
        assertEquals(contexts.errors, []);
      }, 20),
    );

    for (
      const [what, wrong] of Object.entries<unknown>({
        "garbage": new Uint8Array(200).fill(0xa5),
        "no bytes": new Uint8Array(),
        "a string": "a session",
        "an object": {},
      })
    ) {
      it(
        `makes a full handshake when the answer is ${what}, and says so`,
        later(version, async (contexts, store) => {
          using link = contexts.link(contexts.resumable());
          link.half();
          store.lookups[0]!.resolve(wrong as Uint8Array);
          await woken(link.server);
          assertEquals(finish(link), false);
          assertEquals(contexts.counted, { lookups: 1, hits: 1, notOpened: 1, errors: 1, stored: 2 });
          assertEquals(contexts.errors[0]!.operation, operation[version]);
        }),
      );
    }

    it(
      "drops an answer to a connection that has ended, and aborts its lookup",
      later(version, async (contexts, store) => {
        const link = contexts.link(contexts.resumable());
        assertEquals(link.half(), "wants-lookup");
        let isWoken = false;
        link.server.onWake = () => void (isWoken = true);
        link.dispose();
        const { signal } = store.lookups[0]!;
        assert(signal.aborted);
        assertEquals(signal.reason.message, "The connection ended before the session store answered");
        store.lookups[0]!.answer();
        await settled();
        assertFalse(isWoken);
        // There was no time out: nobody waited for one.
        assertEquals(contexts.counted, { lookups: 1, late: 1, stored: 1 });
      }),
    );

    it(
      "has no timer for a connection that has ended",
      later(version, async (contexts, store) => {
        const link = contexts.link(contexts.resumable());
        link.half();
        link.dispose();
        using other = contexts.link(contexts.sessions[0]);
        other.half();
        // The second's deadline comes after the first's would have.
        await woken(other.server);
        assertEquals(finish(other), false);
        assertEquals(contexts.counted.timedOut, 1);
        assertEquals(store.lookups.length, 2);
      }, 20),
    );

    it(
      "goes on when the context was disposed meanwhile",
      later(version, async (contexts, store) => {
        using link = contexts.link(contexts.resumable());
        link.half();
        contexts.server.dispose();
        store.lookups[0]!.answer();
        await woken(link.server);
        assertEquals(finish(link), true);
      }),
    );

    it(
      "waits for what is no Promise but has a then, once",
      leavingNothingLater(async () => {
        const inner = new MemoryStore();
        let thens = 0;
        const thenable = <T>(value: T) =>
          ({
            then(resolve: (value: T) => void) {
              thens++;
              queueMicrotask(() => resolve(value));
            },
          }) as unknown as Promise<T>;
        const store: SessionStore = {
          get: (key) => thenable(inner.get(key)),
          take: (key) => thenable(inner.take(key)),
          put: (...all) => thenable(inner.put(...all)),
          delete: (key) => thenable(inner.delete(key)),
        };
        using contexts = new Cached(version, { store });
        const session = contexts.resumable();
        await contexts.cache.close();
        assertEquals(thens, 1);
        using link = contexts.link(session);
        assertEquals(link.half(), "wants-lookup");
        await woken(link.server);
        assertEquals(thens, 2);
        assertEquals(finish(link), true);
        await contexts.cache.close();
        assertEquals(contexts.errors, []);
      }),
    );
  });

  describe(`${version}: SessionCache with a store that answers at once`, () => {
    it(
      "never suspends",
      leavingNothing(() => {
        using contexts = new Cached(version, { store: new MemoryStore() });
        const session = contexts.resumable();
        using link = contexts.link(session);
        const states: string[] = [];
        const handshake = link.server.handshake.bind(link.server);
        link.server.handshake = () => {
          const state = handshake();
          states.push(state);
          return state;
        };
        assertEquals(finish(link), true);
        assert(states.length >= 2);
        assertEquals(states.filter((state) => state === "wants-lookup"), []);
      }),
    );

    it(
      "has a signal for a store that asks, which is not aborted",
      leavingNothing(() => {
        const signals: AbortSignal[] = [];
        const store = new MemoryStore();
        const asking: SessionStore = {
          get: (key, lookup) => (signals.push(lookup!.signal), store.get(key)),
          take: (key, lookup) => (signals.push(lookup!.signal), store.take(key)),
          put: (...all) => store.put(...all),
          delete: (key) => store.delete(key),
        };
        using contexts = new Cached(version, { store: asking });
        assertEquals(contexts.visit(contexts.resumable()), { resumed: true });
        assertEquals(signals.length, 1);
        assertFalse(signals[0]!.aborted);
      }),
    );
  });
}
