import { assert, assertEquals, assertFalse, assertGreater, assertGreaterOrEqual, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { inspect } from "node:util";
import { Buffer } from "node:buffer";
import { Histogram, latencyBounds } from "../cache/histogram.ts";
import {
  MemoryStore,
  type RefusalReason,
  type SessionCache,
  type SessionCacheEvent,
  type SessionCacheOptions,
  type SessionStore,
} from "../mod.ts";
import { contextState } from "../ssl/context.ts";
import { Cached, PendingStore, secret, settled, woken } from "./cache_server_support.ts";
import { leavingNothing } from "./counts.ts";
import { masterKey } from "./psk_offer.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { hex, type Version, versions } from "./support.ts";

const broken = new Error("the disk is on fire");

/** A store that fails where the test says so. */
class Failing extends MemoryStore {
  fails = false;

  override get(key: string): Uint8Array | undefined {
    if (this.fails) throw broken;
    return super.get(key);
  }
  override take(key: string): Uint8Array | undefined {
    if (this.fails) throw broken;
    return super.take(key);
  }
  override put(key: string, value: Uint8Array, expiresAt: Date): void {
    if (this.fails) throw broken;
    super.put(key, value, expiresAt);
  }
}

/** A day of a server's life, in which every kind of event happens. The store answers some of it later. */
async function everything(version: Version, told: Partial<SessionCacheOptions> = {}) {
  const secrets = [secret()];
  const events: SessionCacheEvent[] = [];
  const secretsSeen: string[] = [];
  const caches: SessionCache[] = [];
  const resumed: boolean[] = [];
  /** A server that keeps what its sessions must not show. */
  const start = (options: SessionCacheOptions) => {
    const contexts = new Cached(version, { ...options, ...told });
    caches.push(contexts.cache);
    // Beside the cache, which has the callback for itself.
    const state = contextState(contexts.server);
    const { newSession } = state;
    state.newSession = (connection, session) => {
      secretsSeen.push(hex(session.id), hex(masterKey(session)), hex(session.toDer()));
      return newSession!(connection, session);
    };
    return contexts;
  };
  const stop = (contexts: Cached) => {
    events.push(...contexts.events);
    contexts[Symbol.dispose]();
  };
  {
    const store = new Failing();
    const contexts = start({ store, secrets });
    contexts.visit();
    const [session] = contexts.sessions;
    resumed.push(contexts.visitAt(contexts, session, "b.example.com").resumed); // another server name
    resumed.push(contexts.visit(contexts.sessions.at(-2)).resumed);
    resumed.push(contexts.visit(contexts.sessions.at(-1)).resumed); // hit
    const last = contexts.sessions.at(-1);
    for (const [key] of [...store.entries()]) store.delete(key);
    resumed.push(contexts.visit(last).resumed); // miss
    const fresh = contexts.resumable();
    const [key, value] = [...store.entries()].at(-1)!;
    store.put(key, value.slice(0, -1), new Date(Date.now() + 60_000));
    resumed.push(contexts.visit(fresh).resumed); // not opened
    store.fails = true;
    resumed.push(contexts.visit(contexts.sessions.at(-1)).resumed); // store error, not stored
    contexts.link().connect().dispose(); // removed
    stop(contexts);
  }
  {
    const stranger = start({ store: new MemoryStore() });
    const contexts = start({ store: new MemoryStore(), secrets, maxEntrySize: 10 });
    resumed.push(stranger.visitAt(contexts, stranger.resumable()).resumed); // foreign id, not stored
    stop(stranger);
    stop(contexts);
  }
  {
    const store = new PendingStore();
    const contexts = start({ store, secrets, maxSessionAge: 60 });
    const { now } = Date;
    Date.now = () => now.call(Date) + 100_000;
    try {
      contexts.visit(); // not stored
    } finally {
      Date.now = now;
    }
    stop(contexts);
    const slow = start({ store, secrets, lookupTimeout: 20 });
    using link = slow.link(slow.resumable());
    link.half();
    await woken(link.server); // timed out
    store.lookups[0]!.answer();
    await settled(); // late
    link.connect();
    resumed.push(link.server.isResumed);
    link.close();
    stop(slow);
  }
  for (const cache of caches) await cache.close();
  return { events, secretsSeen, resumed, stats: caches.map((cache) => cache.stats()) };
}

for (const version of versions) {
  describe(`${version}: SessionCache's events`, () => {
    it(
      "tell of everything, and of no secret",
      leavingNothingLater(async () => {
        const { events, secretsSeen } = await everything(version);
        assertEquals(new Set(events.map(({ type }) => type)).size, 10);
        const reasons = (type: string) =>
          new Set(events.filter((event) => event.type === type).map((event) => "reason" in event && event.reason));
        assertEquals(reasons("refused"), new Set<RefusalReason | false>(["another server name", "not opened"]));
        assertEquals(reasons("not stored"), new Set(["too old", "too large", "the store failed"] as const));
        assertEquals(reasons("removed"), new Set(["unclean close"] as const));
        for (const event of events) {
          if ("id" in event) assertMatch(event.id, /^[0-9a-f]{8}$/);
          if ("milliseconds" in event) assertGreaterOrEqual(event.milliseconds, 0);
          const shown = inspect(event, { depth: 10, showHidden: true }) + JSON.stringify(event);
          const inBase64 = (text: string) => Buffer.from(text, "hex").toString("base64").slice(0, 12);
          for (const kept of secretsSeen) {
            for (let at = 0; at + 10 <= kept.length; at += 2) assertFalse(shown.includes(kept.slice(at, at + 10)));
            assertFalse(shown.includes(inBase64(kept)));
          }
        }
      }),
    );

    it(
      "change nothing when they cannot be told: handlers that throw, or reject",
      leavingNothingLater(async () => {
        const fail = () => {
          throw new Error("nobody listens");
        };
        const reject = () => Promise.reject(new Error("nobody listens"));
        const thenable = () => ({ then: fail });
        const undisturbed = await everything(version);
        for (const handler of [fail, reject, thenable]) {
          const { resumed, stats } = await everything(version, { onEvent: handler, onStoreError: handler });
          assertEquals(resumed, undisturbed.resumed);
          const counts = (all: typeof stats) =>
            all.map(({ lookupLatency: _, storeLatency: __, ...counts }) => ({ ...counts }));
          assertEquals(counts(stats), counts(undisturbed.stats));
        }
        await settled();
      }),
    );

    it(
      "are counted, and so are latencies",
      leavingNothingLater(async () => {
        const { stats } = await everything(version);
        for (const { lookups, stored, lookupLatency, storeLatency } of stats) {
          const total = (counts: readonly number[]) => counts.reduce((sum, count) => sum + count, 0);
          assertEquals(total(lookupLatency.counts), lookups);
          assertEquals(total(storeLatency.counts), stored);
          assertEquals(lookupLatency.counts.length, lookupLatency.bounds.length + 1);
        }
        const all = (name: "lookups" | "hits" | "misses" | "timedOut" | "late" | "foreignIds" | "errors") =>
          stats.reduce((sum, counts) => sum + counts[name], 0);
        // Each lookup ends in one of the two.
        assertEquals(all("hits") + all("misses"), all("lookups"));
        assertEquals([all("timedOut"), all("late"), all("foreignIds")], [1, 1, 1]);
        assertGreater(all("errors"), 0);
      }),
    );
  });

  describe(`${version}: SessionCache with a store that throws what has no text`, () => {
    for (const [what, later] of [["at once", false], ["later", true]] as const) {
      it(
        `makes full handshakes, ${what}`,
        leavingNothingLater(async () => {
          const strange = [
            Object.create(null),
            Object.defineProperty(new Error(), "message", { get: () => JSON.parse("no JSON") }),
            Object.assign(new Error(), { message: Symbol("no text") }),
            undefined,
          ];
          for (const cause of strange) {
            const inner = new MemoryStore();
            const fail = () => {
              if (later) return Promise.reject(cause);
              throw cause;
            };
            const store: SessionStore = { get: fail, take: fail, put: (...all) => inner.put(...all), delete: fail };
            using contexts = new Cached(version, { store });
            using link = contexts.link(contexts.resumable());
            assertEquals(link.half(), later ? "wants-lookup" : "wants-bytes");
            if (later) await woken(link.server);
            link.connect();
            assertEquals(link.server.isResumed, false);
            assertEquals(contexts.errors.length, 1);
            assert(contexts.errors[0]!.message.startsWith("The session store failed to "));
            link.close();
            await contexts.cache.close();
          }
        }),
      );
    }
  });
}

describe("SessionCache.stats()", () => {
  it(
    "answers a copy",
    leavingNothing(() => {
      using contexts = new Cached("TLSv1.3", { store: new MemoryStore() });
      const before = contexts.cache.stats();
      (before.storeLatency.counts as number[])[0] = 7;
      before.stored = 7;
      contexts.visit();
      assertEquals(contexts.cache.stats().stored, 1);
      assertEquals(contexts.cache.stats().storeLatency.counts.reduce((sum, count) => sum + count, 0), 1);
    }),
  );
});

describe("A histogram of latencies", () => {
  it("counts each up to its bound, and what is above all at the end", () => {
    const histogram = new Histogram();
    const times = [0, 0.1, 0.100001, 1, 999, 1000, 1000.1, 1e9];
    for (const time of times) histogram.record(time);
    const { bounds, counts, sum } = histogram.snapshot();
    assertEquals(bounds, latencyBounds);
    assertEquals(counts.length, 14);
    const expected = new Array(14).fill(0);
    expected[0] = 2;
    expected[1] = 1;
    expected[3] = 1;
    expected[12] = 2;
    expected[13] = 2;
    assertEquals(counts, expected);
    assertEquals(sum, times.reduce((all, time) => all + time, 0));
    assertEquals([...bounds], bounds.toSorted((a, b) => a - b));
  });
});
