import { assert, assertEquals, assertGreater } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { MemoryStore, selfSigned, SessionCache, type SessionStore, SslContext } from "../mod.ts";
import { contextState } from "../ssl/context.ts";
import { anotherServer, CachingContexts, overhearNewSessions, stores } from "./cache_support.ts";
import { leavingNothing } from "./counts.ts";
import { aged, bytes, hex, Link, versions } from "./support.ts";

/** A store without `take`, and one that counts. */
class CountingStore extends MemoryStore {
  readonly calls: string[] = [];

  override get(key: string): Uint8Array | undefined {
    this.calls.push("get");
    return super.get(key);
  }
  override put(key: string, value: Uint8Array, expiresAt: Date): void {
    this.calls.push("put");
    super.put(key, value, expiresAt);
  }
  override take(key: string): Uint8Array | undefined {
    this.calls.push("take");
    return super.take(key);
  }
  override delete(key: string): void {
    this.calls.push("delete");
    super.delete(key);
  }
}

for (const version of versions) {
  const single = version === "TLSv1.3";

  for (const [name, open] of Object.entries(stores)) {
    /** A test with a store of this kind, that leaves nothing. */
    const withStore = (test: (store: SessionStore) => void) =>
      leavingNothing(() => {
        const store = open();
        try {
          test(store);
        } finally {
          store.close?.();
        }
      });

    describe(`${version}: SessionCache with a ${name}`, () => {
      it(
        "resumes",
        withStore((store) => {
          using contexts = new CachingContexts(version, store);
          assertEquals(contexts.visit(contexts.resumable()), { resumed: true });
          assertEquals(contexts.errors, []);
        }),
      );

      it(
        "resumes ten times in a row, each time with the session it got last",
        withStore((store) => {
          using contexts = new CachingContexts(version, store);
          contexts.visit();
          for (let visit = 0; visit < 10; visit++) {
            assertEquals(contexts.visit(contexts.sessions.at(-1)), { resumed: true });
          }
        }),
      );

      it(
        "resumes on another server with another cache over the same store",
        withStore((store) => {
          using contexts = new CachingContexts(version, store);
          using second = anotherServer(version, new SessionCache({ store }));
          contexts.visit();
          assertEquals(contexts.visitAt(second, contexts.sessions.at(-1)), { resumed: true });
          assertEquals(contexts.visit(contexts.sessions.at(-1)), { resumed: true });
        }),
      );

      it(
        "resumes on a server that was started after the first had ended",
        withStore((store) => {
          using contexts = new CachingContexts(version, store);
          const session = contexts.resumable();
          contexts.server.dispose();
          using second = anotherServer(version, new SessionCache({ store }));
          assertEquals(contexts.visitAt(second, session), { resumed: true });
        }),
      );

      it(
        single ? "resumes a session once" : "resumes a session as often as it is offered",
        withStore((store) => {
          using contexts = new CachingContexts(version, store);
          const session = contexts.resumable();
          const visits = [1, 2, 3].map(() => contexts.visit(session).resumed);
          assertEquals(visits, single ? [true, false, false] : [true, true, true]);
        }),
      );

      it(
        "makes a full handshake with a client whose session it does not know",
        withStore((store) => {
          using contexts = new CachingContexts(version, store);
          using other = new CachingContexts(version, new MemoryStore());
          assertEquals(contexts.visit(other.resumable()), { resumed: false });
          assertEquals(contexts.errors, []);
        }),
      );

      it(
        "does not resume an expired session",
        withStore((store) => {
          using contexts = new CachingContexts(version, store, { sessionTimeout: 100 });
          contexts.visit();
          const session = contexts.sessions.at(-1)!;
          // What the store has says that it was made a while ago.
          using link = contexts.link();
          let stale: { key: string; value: Uint8Array } | undefined;
          overhearNewSessions(contexts.server, (_connection, made) => {
            const key = hex(made.id);
            stale = { key, value: aged(made, 200).toDer() };
          });
          link.connect();
          link.close();
          void store.put(stale!.key, stale!.value, new Date(Date.now() + 60_000));
          assertEquals(contexts.visit(contexts.sessions.at(-1)), { resumed: false });
          assertEquals(contexts.visit(session), { resumed: true });
        }),
      );
    });
  }

  describe(`${version}: SessionCache`, () => {
    it(
      "does not find what the store has kept beyond its time",
      leavingNothing(() => {
        const store = new MemoryStore();
        // The time that the cache gives the store.
        const times: Date[] = [];
        const put = store.put.bind(store);
        store.put = (key, value, expiresAt) => {
          times.push(expiresAt);
          put(key, value, new Date(Date.now() - 1));
        };
        using contexts = new CachingContexts(version, store, { sessionTimeout: 1000 });
        const session = contexts.resumable();
        assertGreater(times[0]!.getTime(), Date.now() + 990_000);
        assert(times[0]!.getTime() <= Date.now() + 1_001_000);
        assertEquals(contexts.visit(session), { resumed: false });
      }),
    );

    it(
      "counts what it does",
      leavingNothing(() => {
        using contexts = new CachingContexts(version, new MemoryStore());
        const counted = () => {
          const { lookupLatency: _, storeLatency: __, ...counts } = contexts.cache.stats();
          return counts;
        };
        const none = counted();
        assert(Object.values(none).every((count) => count === 0));
        const session = contexts.resumable();
        assertEquals(counted(), { ...none, stored: 1 });
        contexts.visit(session);
        const stored = single ? 2 : 1;
        assertEquals(counted(), { ...none, lookups: 1, hits: 1, stored });
        using other = new CachingContexts(version, new MemoryStore());
        contexts.visit(other.resumable());
        assertEquals(counted(), { ...none, lookups: 2, hits: 1, misses: 1, stored: stored + 1 });
      }),
    );

    it(
      "gives a copy of its counts",
      leavingNothing(() => {
        const cache = new SessionCache({ store: new MemoryStore() });
        cache.stats().lookups = 7;
        assertEquals(cache.stats().lookups, 0);
      }),
    );

    it(
      `${single ? "takes" : "reads"} sessions from a store that can do both`,
      leavingNothing(() => {
        const store = new CountingStore();
        using contexts = new CachingContexts(version, store);
        contexts.visit(contexts.resumable());
        assertEquals(store.calls, single ? ["put", "take", "put"] : ["put", "get"]);
      }),
    );

    it(
      "reads sessions from a store that cannot take, and resumes them again",
      leavingNothing(() => {
        const store = new CountingStore();
        const { get, put, delete: remove } = store;
        const bound = { get: get.bind(store), put: put.bind(store), delete: remove.bind(store) };
        using contexts = new CachingContexts(version, bound);
        const session = contexts.resumable();
        assertEquals(contexts.visit(session), { resumed: true });
        assertEquals(contexts.visit(session), { resumed: true });
        assertEquals(store.calls.filter((call) => call === "get").length, 2);
      }),
    );

    it(
      "leaves the store alone when the context is freed",
      leavingNothing(() => {
        const store = new CountingStore();
        {
          using contexts = new CachingContexts(version, store);
          contexts.visit();
        }
        assertEquals(store.calls, ["put"]);
        assertEquals(store.size, 1);
      }),
    );

    it(
      "has a session deleted whose connection ended with a fatal alert",
      leavingNothing(() => {
        const store = new CountingStore();
        using contexts = new CachingContexts(version, store);
        using link = contexts.link();
        link.connect();
        assertEquals(store.size, 1);
        // No record that could be decrypted.
        link.server.pushCiphertext(bytes("\x17\x03\x03\x00\x20" + "x".repeat(32)));
        let failed = false;
        try {
          link.server.read(new Uint8Array(10));
        } catch {
          failed = true;
        }
        assert(failed);
        assertEquals(contexts.cache.stats().removed, 1);
        assertEquals(store.calls.at(-1), "delete");
        assertEquals(store.size, 0);
      }),
    );

    it(
      "keeps a session whose connection was quietly shut down",
      leavingNothing(() => {
        const store = new CountingStore();
        using contexts = new CachingContexts(version, store);
        using link = contexts.link();
        link.connect();
        link.server.shutdownQuietly();
        link.dispose();
        assertEquals(store.size, 1);
        assertEquals(contexts.visit(contexts.sessions.at(-1)), { resumed: true });
      }),
    );

    it(
      "serves several contexts with one cache",
      leavingNothing(() => {
        using contexts = new CachingContexts(version, new MemoryStore());
        using second = anotherServer(version, contexts.cache);
        assertEquals(contexts.visitAt(second, contexts.resumable()), { resumed: true });
        assertEquals(contexts.cache.stats().hits, 1);
      }),
    );

    it(
      "does not resume under another session id context",
      leavingNothing(() => {
        using contexts = new CachingContexts(version, new MemoryStore());
        using second = anotherServer(version, contexts.cache, { sessionIdContext: "another application" });
        assertEquals(contexts.visitAt(second, contexts.resumable()), { resumed: false });
      }),
    );

    it(
      "resumes a client's session with its certificate",
      leavingNothing(() => {
        const identity = selfSigned(["client"]);
        using contexts = new CachingContexts(version, new MemoryStore(), {
          verify: "require",
          certificateAuthorities: identity.certificate,
        }, identity);
        const session = contexts.resumable();
        using link = contexts.link(session);
        link.connect();
        assertEquals(link.server.isResumed, true);
        assertEquals(link.server.peerCertificate?.subject, "CN=client");
        assertEquals(link.server.verifyResult.code, 0);
        link.close();
      }),
    );
  });
}

describe("TLSv1.3: SessionCache", () => {
  it(
    "resumes after a HelloRetryRequest, for which libssl asks twice and the store is asked once",
    leavingNothing(() => {
      const store = new CountingStore();
      using contexts = new CachingContexts("TLSv1.3", store, { groups: "P-384" }, { groups: "X25519:P-384" });
      let asked = 0;
      const state = contextState(contexts.server);
      const callback = state.getSession!;
      state.getSession = (connection, id, lookup) => {
        asked++;
        return callback(connection, id, lookup);
      };
      assertEquals(contexts.visit(contexts.resumable()), { resumed: true });
      assertEquals(asked, 2);
      assertEquals(store.calls, ["put", "take", "put"]);
      assertEquals(contexts.cache.stats().lookups, 1);
    }),
  );

  it(
    "stores as many sessions as there are tickets",
    leavingNothing(() => {
      const store = new MemoryStore();
      using contexts = new CachingContexts("TLSv1.3", store);
      contexts.server.numTickets = 2;
      contexts.visit();
      assertEquals(store.size, 2);
      assertEquals(contexts.sessions.length, 2);
      assertEquals(contexts.sessions.map((session) => contexts.visit(session).resumed), [true, true]);
    }),
  );

  it(
    "stores none where there are no tickets",
    leavingNothing(() => {
      const store = new MemoryStore();
      using contexts = new CachingContexts("TLSv1.3", store);
      contexts.server.numTickets = 0;
      contexts.visit();
      assertEquals([store.size, contexts.sessions.length], [0, 0]);
    }),
  );

  it(
    "does not resume a TLS 1.2 session, and the other way round",
    leavingNothing(() => {
      const store = new MemoryStore();
      using old = new CachingContexts("TLSv1.2", store);
      using recent = new CachingContexts("TLSv1.3", store);
      const both = { minVersion: "TLSv1.2", maxVersion: "TLSv1.3" } as const;
      using client = SslContext.client({ verify: "none", ...both });
      for (const [made, offered] of [[old, recent], [recent, old]] as const) {
        using copy = made.resumable().clone();
        using link = new Link({ server: offered.server, client }, copy, "localhost");
        link.connect();
        assertEquals(link.server.isResumed, false);
        link.close();
      }
    }),
  );
});
