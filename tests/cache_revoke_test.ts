import { assert, assertEquals, assertFalse, assertRejects, assertStrictEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import {
  MemoryStore,
  selfSigned,
  type Session,
  SessionCache,
  type SessionStore,
  SessionStoreError,
  SqliteStore,
  SslContext,
} from "../mod.ts";
import { chooseByName } from "../server/choose_by_name.ts";
import { anotherServer } from "./cache_support.ts";
import { Cached, secret } from "./cache_server_support.ts";
import { TemporaryFolder } from "./server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { credentials, type Version, versions } from "./support.ts";

/** The stores that can list what they keep. */
const stores: Record<string, (folder: TemporaryFolder) => SessionStore & { close?(): void }> = {
  MemoryStore: () => new MemoryStore(),
  SqliteStore: (folder) => new SqliteStore(folder.file("sessions.db")),
};

/** Makes a session. Answers its id, as the server has it. */
function make(contexts: Cached, serverName = "localhost"): Uint8Array {
  using link = contexts.link(undefined, serverName).connect();
  using session = link.server.session()!;
  const { id } = session;
  link.close();
  return id;
}

for (const version of versions) {
  for (const [name, open] of Object.entries(stores)) {
    for (const sealed of [false, true]) {
      /** A test of a cache over such a store. */
      const withStore = (test: (contexts: Cached, options: { store: SessionStore }) => Promise<void>) =>
        leavingNothingLater(async () => {
          using folder = new TemporaryFolder();
          const store = open(folder);
          try {
            const options = sealed ? { store, secrets: [secret()] } : { store, unsealed: true };
            using contexts = new Cached(version, options);
            await test(contexts, options);
          } finally {
            store.close?.();
          }
        });

      describe(`${version}: SessionCache with a ${name}, ${sealed ? "sealed" : "unsealed"}`, () => {
        it(
          "revokes a session by its id, and no other",
          withStore(async (contexts) => {
            const id = make(contexts);
            make(contexts);
            const [revoked, other] = contexts.sessions;
            await contexts.cache.revoke(id);
            assertEquals(contexts.visit(revoked), { resumed: false });
            assertEquals(contexts.visit(other), { resumed: true });
            // Once more, and one that there never was.
            await contexts.cache.revoke(id);
            await contexts.cache.revoke(crypto.getRandomValues(new Uint8Array(32)));
          }),
        );

        it(
          "revokes those for which a function says so, and says how many",
          withStore(async (contexts) => {
            for (const serverName of ["a.example.com", "b.example.com", "a.example.com"]) make(contexts, serverName);
            const [first, second, third] = contexts.sessions;
            assertEquals(await contexts.cache.revokeWhere(({ serverName }) => serverName === "a.example.com"), 2);
            const visit = (session: Session, serverName: string) =>
              contexts.visitAt(contexts, session, serverName).resumed;
            assertEquals(visit(first!, "a.example.com"), false);
            assertEquals(visit(third!, "a.example.com"), false);
            assertEquals(visit(second!, "b.example.com"), true);
            assertEquals(await contexts.cache.revokeWhere(() => false), 0);
          }),
        );

        it(
          "revokes what was stored before it was started",
          withStore(async (contexts, options) => {
            contexts.visit();
            const later = new SessionCache(options);
            using _server = anotherServer(version, later);
            assertEquals(await later.revokeWhere((session) => session.protocol === version), 1);
            assertEquals(contexts.visit(contexts.sessions[0]), { resumed: false });
          }),
        );

        it(
          "revokes the sessions of contexts that it is not attached to, as those on demand are",
          withStore(async (contexts, options) => {
            using named = SslContext.server({ ...credentials, sessionIdContext: "named" });
            using other = new Cached(version, options);
            for (const { server } of [contexts, other]) chooseByName(server, () => named);
            contexts.visit();
            // This one is attached to another context, and has served nobody.
            assertEquals(await other.cache.revokeWhere(() => true), 1);
            assertEquals(contexts.visitAt(other, contexts.sessions[0]), { resumed: false });
          }),
        );

        it(
          "revokes the sessions of all contexts that it serves",
          withStore(async (contexts) => {
            using second = anotherServer(version, contexts.cache, { sessionIdContext: "another application" });
            contexts.visit();
            contexts.visitAt({ server: second });
            assertEquals(await contexts.cache.revokeWhere(() => true), 2);
            assertEquals(contexts.visit(contexts.sessions[0]), { resumed: false });
            assertEquals(contexts.visitAt({ server: second }, contexts.sessions[1]), { resumed: false });
          }),
        );

        it(
          "lends the sessions, and throws what the function throws",
          withStore(async (contexts) => {
            for (let n = 0; n < 3; n++) contexts.visit();
            const lent: Session[] = [];
            assertEquals(await contexts.cache.revokeWhere((session) => lent.push(session) < 0), 0);
            assertEquals(lent.map((session) => session.isReleased), [true, true, true]);
            const broken = new Error("which one was it?");
            const error = await assertRejects(() =>
              contexts.cache.revokeWhere((session) => {
                lent.push(session);
                if (lent.length === 5) throw broken;
                return true;
              })
            );
            assertStrictEquals(error, broken);
            assert(lent.every((session) => session.isReleased));
            assertEquals(await contexts.cache.revokeWhere(() => true), 2);
          }),
        );
      });
    }
  }

  describe(`${version}: SessionCache`, () => {
    it(
      "revokes the sessions of a client by its certificate",
      leavingNothingLater(async () => {
        const [alice, bob] = [selfSigned(["alice"]), selfSigned(["bob"])];
        const store = new MemoryStore();
        const options = { store, secrets: [secret()] };
        const server = {
          verify: "require",
          certificateAuthorities: alice.certificate + bob.certificate,
          sessionIdContext: "people",
        } as const;
        using alices = new Cached(version, options, server, alice);
        using bobs = new Cached(version, options, server, bob);
        alices.visit();
        bobs.visit();
        const isAlice = ({ peerCertificate }: Session) => peerCertificate?.subject === "CN=alice";
        assertEquals(await bobs.cache.revokeWhere(isAlice), 1);
        assertEquals(alices.visit(alices.sessions[0]), { resumed: false });
        assertEquals(bobs.visit(bobs.sessions[0]), { resumed: true });
      }),
    );

    it(
      "revokes sessions that were made with a previous secret",
      leavingNothingLater(async () => {
        const store = new MemoryStore();
        const [old, young] = [secret(), secret()];
        using contexts = new Cached(version, { store, secrets: [old] });
        using rotated = new Cached(version, { store, secrets: [young, old] });
        const id = make(contexts);
        contexts.visit();
        await rotated.cache.revoke(id);
        assertEquals(store.size, 1);
        assertEquals(await rotated.cache.revokeWhere(() => true), 1);
        assertEquals(store.size, 0);
      }),
    );
  });
}

describe("SessionCache.revoke() and revokeWhere()", () => {
  it(
    "refuse what would revoke nothing, or everything, and delete nothing then",
    leavingNothingLater(async () => {
      const store = new MemoryStore();
      using contexts = new Cached("TLSv1.2", { store });
      const { cache } = contexts;
      await assertRejects(() => cache.revokeWhere(undefined as never), TypeError, "give a function");
      contexts.visit();
      await assertRejects(() => cache.revoke(new Uint8Array()), RangeError, "this one is empty");
      await assertRejects(() => cache.revoke("0a0b" as never), TypeError, "it must be a Uint8Array");
      await assertRejects(() => cache.revokeWhere({ serverName: "a" } as never), TypeError, "give a function");
      const later = [() => Promise.resolve(false), () => Promise.reject(new Error("nobody waits for it"))];
      for (const matches of later) {
        await assertRejects(() => cache.revokeWhere(matches as never), TypeError, "answered a Promise");
      }
      assertEquals([store.size, cache.stats().revoked], [1, 0]);
      assertEquals(await cache.revokeWhere(() => undefined as never), 0);
      assertEquals(contexts.visit(contexts.sessions[0]), { resumed: true });
    }),
  );
});

describe("SessionCache.revokeWhere()", () => {
  const entry = (key: string, value: unknown) => [key, value] as [string, Uint8Array];

  it(
    "passes over what is no session, or is not this farm's",
    leavingNothingLater(async () => {
      const store = new MemoryStore();
      using contexts = new Cached("TLSv1.2", { store, secrets: [secret()] });
      using stranger = new Cached("TLSv1.2", { store, secrets: [secret()] });
      contexts.visit();
      stranger.visit();
      const { entries } = store;
      store.entries = function* () {
        yield entry("aa", new Uint8Array());
        yield entry("ab", new Uint8Array(100));
        yield entry("ac", "a session");
        yield* entries.call(store);
      };
      assertEquals(await contexts.cache.revokeWhere(() => true), 1);
      assertEquals(store.size, 1);
    }),
  );

  it(
    "goes through a store that lists and deletes later",
    leavingNothingLater(async () => {
      const inner = new MemoryStore();
      const store: SessionStore = {
        get: (key) => inner.get(key),
        put: (...all) => inner.put(...all),
        delete: async (key) => inner.delete(await Promise.resolve(key)),
        async *entries() {
          for (const each of inner.entries()) yield await Promise.resolve(each);
        },
      };
      using contexts = new Cached("TLSv1.2", { store });
      for (let n = 0; n < 3; n++) contexts.visit();
      assertEquals(await contexts.cache.revokeWhere(() => true), 3);
      assertEquals(inner.size, 0);
    }),
  );

  it("is a TypeError with a store that cannot list", async () => {
    const { get, put, delete: remove } = MemoryStore.prototype;
    const cache = new SessionCache({ store: { get, put, delete: remove } });
    await assertRejects(() => cache.revokeWhere(() => true), TypeError, "it has no entries()");
  });
});

describe("SessionCache.revoke() and revokeWhere()", () => {
  it(
    "reject when the store fails, by which the operator is not told besides",
    leavingNothingLater(async () => {
      const broken = new Error("the disk is on fire");
      const fail = () => {
        throw broken;
      };
      const failures: Partial<SessionStore>[] = [
        { delete: fail },
        { delete: () => Promise.reject(broken) },
        { delete: fail, entries: fail },
        {
          delete: fail,
          async *entries() {
            yield await Promise.reject(broken);
          },
        },
      ];
      for (const failure of failures) {
        const store = new MemoryStore();
        using contexts = new Cached("TLSv1.2", { store });
        const id = make(contexts);
        Object.assign(store, failure);
        for (const revoke of [() => contexts.cache.revoke(id), () => contexts.cache.revokeWhere(() => true)]) {
          const error = await assertRejects(revoke, SessionStoreError, "the disk is on fire");
          assertEquals(error.operation, "delete");
          assertStrictEquals(error.cause, broken);
        }
        assertEquals(contexts.errors, []);
      }
    }),
  );
});

describe("SessionCache.close()", () => {
  it(
    "waits for all writes under way, those that begin meanwhile among them, and tells of those that fail",
    leavingNothingLater(async () => {
      const inner = new MemoryStore();
      const writes: PromiseWithResolvers<void>[] = [];
      const store: SessionStore = {
        get: (key) => inner.get(key),
        put: () => (writes.push(Promise.withResolvers<void>()), writes.at(-1)!.promise),
        delete: () => {},
      };
      using contexts = new Cached("TLSv1.3" satisfies Version, { store });
      contexts.visit();
      contexts.visit();
      let closed = false;
      const closing = contexts.cache.close().then(() => closed = true);
      const turn = () => new Promise((resolve) => setImmediate(resolve));
      await turn();
      contexts.visit();
      writes[0]!.resolve();
      writes[1]!.reject(new Error("the disk is on fire"));
      await turn();
      assertFalse(closed);
      writes[2]!.resolve();
      await closing;
      assertEquals(contexts.errors.map(({ operation }) => operation), ["put"]);
      assertEquals(contexts.told, ["stored", "store error", "not stored", "stored"]);
      // There is nothing left to wait for; and it may go on.
      await contexts.cache.close();
      contexts.visit();
      writes[3]!.resolve();
      await contexts.cache[Symbol.asyncDispose]();
    }),
  );
});
