import { assert, assertEquals, assertFalse } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { MemoryStore, OpenSslError, SessionCache, type SessionStore } from "../mod.ts";
import { anotherServer } from "./cache_support.ts";
import { Cached, countedBy, PendingStore, secret, settled, woken } from "./cache_server_support.ts";
import { leavingNothing } from "./counts.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { type Link, versions } from "./support.ts";

/** Goes on with a handshake, and ends the connection. Answers whether it resumed. */
function finish(link: Link): boolean {
  link.connect();
  const { isResumed } = link.server;
  link.close();
  return isResumed;
}

describe("TLSv1.2: lookups of one session that are under way at once", () => {
  it(
    "are made once, and all resume",
    leavingNothingLater(async () => {
      const store = new PendingStore();
      using contexts = new Cached("TLSv1.2", { store });
      const session = contexts.resumable();
      const links = [1, 2, 3].map(() => contexts.link(session));
      for (const link of links) assertEquals(link.half(), "wants-lookup");
      assertEquals(store.lookups.length, 1);
      store.lookups[0]!.answer();
      await Promise.all(links.map(({ server }) => woken(server)));
      assertEquals(links.map(finish), [true, true, true]);
      assertEquals(contexts.counted, { lookups: 3, hits: 3, stored: 1 });
      // The next one asks anew.
      using link = contexts.link(session);
      link.half();
      assertEquals(store.lookups.length, 2);
      store.lookups[1]!.answer();
      await woken(link.server);
      assertEquals(finish(link), true);
      await contexts.cache.close();
    }),
  );

  it(
    "are made for each cache and each session",
    leavingNothingLater(async () => {
      const store = new PendingStore();
      using contexts = new Cached("TLSv1.2", { store });
      const other = new SessionCache({ store });
      using second = anotherServer("TLSv1.2", other);
      contexts.visit();
      contexts.visit();
      const [one, two] = contexts.sessions;
      const links = [contexts.link(one), contexts.link(two), contexts.linkTo({ server: second }, one)];
      for (const link of links) link.half();
      assertEquals(store.lookups.length, 3);
      for (const lookup of store.lookups) lookup.answer();
      await Promise.all(links.map(({ server }) => woken(server)));
      assertEquals(links.map(finish), [true, true, true]);
      await Promise.all([contexts.cache.close(), other.close()]);
    }),
  );

  it(
    "fail together, and each failure is told",
    leavingNothingLater(async () => {
      const store = new PendingStore();
      using contexts = new Cached("TLSv1.2", { store });
      const session = contexts.resumable();
      const links = [1, 2].map(() => contexts.link(session));
      for (const link of links) link.half();
      store.lookups[0]!.reject(new Error("the disk is on fire"));
      await Promise.all(links.map(({ server }) => woken(server)));
      assertEquals(links.map(finish), [false, false]);
      assertEquals(contexts.errors.length, 2);
      await contexts.cache.close();
    }),
  );

  it(
    "go on for those who wait when one has gone",
    leavingNothingLater(async () => {
      const store = new PendingStore();
      using contexts = new Cached("TLSv1.2", { store });
      const session = contexts.resumable();
      const [first, second] = [contexts.link(session), contexts.link(session)];
      first!.half();
      second!.half();
      first!.dispose();
      assertFalse(store.lookups[0]!.signal.aborted);
      store.lookups[0]!.answer();
      await woken(second!.server);
      assertEquals(finish(second!), true);
      assertEquals(contexts.counted, { lookups: 2, hits: 1, late: 1, stored: 1 });
      await contexts.cache.close();
    }),
  );

  it(
    "are aborted when all have gone, and then made anew",
    leavingNothingLater(async () => {
      const store = new PendingStore();
      using contexts = new Cached("TLSv1.2", { store });
      const session = contexts.resumable();
      const [first, second] = [contexts.link(session), contexts.link(session)];
      first!.half();
      second!.half();
      first!.dispose();
      second!.dispose();
      assert(store.lookups[0]!.signal.aborted);
      // The store never answers that one. The next does not wait for it.
      using third = contexts.link(session);
      assertEquals(third.half(), "wants-lookup");
      assertEquals(store.lookups.length, 2);
      store.lookups[1]!.answer();
      await woken(third.server);
      assertEquals(finish(third), true);
      await contexts.cache.close();
    }),
  );

  it(
    "are made anew after one that was never answered in time",
    leavingNothingLater(async () => {
      const store = new PendingStore();
      using contexts = new Cached("TLSv1.2", { store, lookupTimeout: 20 });
      const session = contexts.resumable();
      const first = contexts.link(session);
      first.half();
      await woken(first.server);
      assertEquals(finish(first), false);
      using second = contexts.link(session);
      second.half();
      assertEquals(store.lookups.length, 2);
      store.lookups[1]!.answer();
      await woken(second.server);
      assertEquals(finish(second), true);
      await contexts.cache.close();
    }),
  );
});

describe("TLSv1.3: one ticket on two servers at once", () => {
  /** Two servers, each with a cache of its own over one store, as two processes would have them. */
  function two(store: SessionStore, secrets?: Uint8Array[]) {
    const options = { store, ...(secrets ? { secrets } : {}) };
    const contexts = new Cached("TLSv1.3", options);
    const cache = new SessionCache(options);
    const server = anotherServer("TLSv1.3", cache);
    return {
      contexts,
      other: { server },
      cache,
      async close() {
        server.dispose();
        contexts[Symbol.dispose]();
        await Promise.all([contexts.cache.close(), cache.close()]);
      },
    };
  }

  for (const sealed of [false, true]) {
    it(
      `resumes on one of them, ${sealed ? "sealed" : "unsealed"}, whichever is answered first`,
      leavingNothingLater(async () => {
        for (const order of [[0, 1], [1, 0]]) {
          const store = new PendingStore();
          const { contexts, other, cache, close } = two(store, sealed ? [secret()] : undefined);
          const session = contexts.resumable();
          const links = [contexts.link(session), contexts.linkTo(other, session)];
          for (const link of links) assertEquals(link.half(), "wants-lookup");
          assertEquals(store.lookups.map(({ operation }) => operation), ["take", "take"]);
          const waking = Promise.all(links.map(({ server }) => woken(server)));
          for (const index of order) store.lookups[index]!.answer();
          await waking;
          const resumed = links.map(finish);
          assertEquals(resumed, order[0] === 0 ? [true, false] : [false, true]);
          const stats = [contexts.cache.stats(), cache.stats()];
          assertEquals(stats.map(({ hits }) => hits).toSorted(), [0, 1]);
          // Only with ids of its own does a cache know that the other one was there first.
          assertEquals(stats.map(({ alreadyTaken }) => alreadyTaken).toSorted(), sealed ? [0, 1] : [0, 0]);
          await close();
        }
      }),
    );
  }

  it(
    "resumes on one of them of many tries",
    leavingNothing(() => {
      const { contexts, other, cache } = two(new MemoryStore());
      contexts.visit();
      for (let round = 0; round < 50; round++) {
        const session = contexts.sessions.at(-1)!;
        const [first, second] = [contexts.link(session), contexts.linkTo(other, session)];
        // Both have read the hello before either goes on.
        first!.half();
        second!.half();
        assertEquals([finish(first!), finish(second!)], [true, false]);
      }
      assertEquals([contexts.cache.stats().hits, cache.stats().hits], [50, 0]);
      other.server.dispose();
      contexts[Symbol.dispose]();
    }),
  );

  it(
    "resumes on both where the store cannot take",
    leavingNothingLater(async () => {
      const pending = new PendingStore();
      const store: SessionStore = {
        get: pending.get.bind(pending),
        put: pending.put.bind(pending),
        delete: pending.delete.bind(pending),
      };
      const { contexts, other, close } = two(store);
      const session = contexts.resumable();
      const links = [contexts.link(session), contexts.linkTo(other, session)];
      for (const link of links) link.half();
      const waking = Promise.all(links.map(({ server }) => woken(server)));
      for (const lookup of pending.lookups) lookup.answer();
      await waking;
      assertEquals(pending.lookups.map(({ operation }) => operation), ["get", "get"]);
      assertEquals(links.map(finish), [true, true]);
      await close();
    }),
  );

  it(
    "stays spent when the handshake that it was taken for fails",
    leavingNothing(() => {
      const { contexts, other } = two(new MemoryStore());
      const session = contexts.resumable();
      const failing = contexts.link(session);
      failing.half();
      assertEquals(failing.server.isResumed, true);
      // What comes instead of the client's Finished is none.
      failing.server.pushCiphertext(new Uint8Array(64));
      let failure: unknown;
      try {
        failing.server.handshake();
      } catch (error) {
        failure = error;
      }
      assert(failure instanceof OpenSslError);
      failing.dispose();
      assertEquals(contexts.visit(session), { resumed: false });
      assertEquals(contexts.visitAt(other, session), { resumed: false });
      other.server.dispose();
      contexts[Symbol.dispose]();
    }),
  );
});

describe("TLSv1.3: SessionCache with a HelloRetryRequest", () => {
  for (const sealed of [false, true]) {
    it(
      `resumes with one take that is answered later, ${sealed ? "sealed" : "unsealed"}`,
      leavingNothingLater(async () => {
        const store = new PendingStore();
        const options = { store, ...(sealed ? { secrets: [secret()] } : {}) };
        using contexts = new Cached("TLSv1.3", options, { groups: "P-384" }, { groups: "X25519:P-384" });
        const session = contexts.resumable();
        using link = contexts.link(session);
        assertEquals(link.half(), "wants-lookup");
        store.lookups[0]!.answer();
        await woken(link.server);
        // The server's retry, then the client's second hello, for which nobody waits.
        assertEquals(link.server.handshake(), "wants-bytes");
        assertEquals(link.server.isResumed, false);
        link.toClient();
        assertEquals(link.half(), "wants-bytes");
        assertEquals(link.server.isResumed, true);
        assertEquals(finish(link), true);
        assertEquals(store.lookups.map(({ operation }) => operation), ["take"]);
        assertEquals(contexts.counted, { lookups: 1, hits: 1, stored: 2 });
        await contexts.cache.close();
      }),
    );
  }

  it(
    "makes a full handshake after a lookup that was not answered in time",
    leavingNothingLater(async () => {
      const store = new PendingStore();
      const options = { store, lookupTimeout: 20 };
      using contexts = new Cached("TLSv1.3", options, { groups: "P-384" }, { groups: "X25519:P-384" });
      using link = contexts.link(contexts.resumable());
      assertEquals(link.half(), "wants-lookup");
      await woken(link.server);
      assertEquals(finish(link), false);
      assertEquals(store.lookups.length, 1);
      await contexts.cache.close();
    }),
  );
});

for (const version of versions) {
  describe(`${version}: SessionCache under many handshakes at once`, () => {
    it(
      "resumes each with its own session, in whatever order the store answers",
      leavingNothingLater(async () => {
        const store = new PendingStore();
        using contexts = new Cached(version, { store });
        for (let n = 0; n < 20; n++) contexts.visit();
        const links = contexts.sessions.slice(0, 20).map((session) => contexts.link(session));
        const waking = links.map(({ server }, index) => (links[index]!.half(), woken(server)));
        for (const lookup of store.lookups.toReversed()) lookup.answer();
        await Promise.all(waking);
        assertEquals(links.map(finish), links.map(() => true));
        await contexts.cache.close();
        await settled();
        assertEquals(countedBy(contexts.cache).hits, 20);
      }),
    );
  });
}
