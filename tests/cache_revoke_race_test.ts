import { assert, assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { MemoryStore, OpenSslError, type Session, type SessionStore, SessionStoreError } from "../mod.ts";
import { Cached, PendingStore, secret, settled, woken } from "./cache_server_support.ts";
import { assertNothingLeft, counts, standing } from "./counts.ts";
import { canCollect, collectUntil } from "./garbage.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { type Link, versions } from "./support.ts";

class Listing extends PendingStore {
  entries() {
    return this.inner.entries();
  }
}

/** Goes on with a handshake, and ends the connection. Answers whether it resumed. */
function finish(link: Link): boolean {
  link.connect();
  const { isResumed } = link.server;
  link.close();
  return isResumed;
}

/** Makes a session. Answers it as the server has it. */
function make(contexts: Cached): Session {
  using link = contexts.link().connect();
  const session = link.server.session()!;
  link.close();
  return session;
}

/** The ways to delete a session. */
const deletions: Record<string, (contexts: Cached, session: Session) => Promise<unknown> | unknown> = {
  "revoke()": ({ cache }, { id }) => cache.revoke(id),
  "revokeWhere()": ({ cache }) => cache.revokeWhere(() => true),
  "removeSession()": async ({ cache, server }, session) => {
    server.removeSession(session);
    await cache.close();
  },
};

/** A server that asks each client for another hello. */
const retry = { server: { groups: "P-384" }, client: { groups: "X25519:P-384" } };

for (const version of versions) {
  for (const [how, remove] of Object.entries(deletions)) {
    describe(`${version}: ${how}, with lookups under way`, () => {
      it(
        "ends what is being asked for, whatever the store answers, and shares it with nobody who comes later",
        leavingNothingLater(async () => {
          const store = new Listing();
          using contexts = new Cached(version, { store, secrets: [secret()] });
          using made = make(contexts);
          const session = contexts.sessions[0]!;
          using first = contexts.link(session);
          assertEquals(first.half(), "wants-lookup");
          // The store has read it already.
          const value = store.inner.get(store.lookups[0]!.key);
          await remove(contexts, made);
          using second = contexts.link(session);
          assertEquals(second.half(), "wants-lookup");
          assertEquals(store.lookups.length, 2);
          store.lookups[0]!.resolve(value);
          store.lookups[1]!.answer();
          await woken(second.server);
          assertEquals([finish(first), finish(second)], [false, false]);
          assertEquals(contexts.counted.revokedMeanwhile, 1);
          assertEquals(contexts.events.filter(({ type }) => type === "refused").length, 1);
        }),
      );

      it(
        "ends what a handshake that is suspended has found",
        leavingNothingLater(async () => {
          const store = new Listing();
          using contexts = new Cached(version, { store });
          using made = make(contexts);
          const session = contexts.sessions[0]!;
          using link = contexts.link(session);
          link.half();
          store.lookups[0]!.answer();
          await woken(link.server);
          await remove(contexts, made);
          assertEquals(finish(link), false);
        }),
      );
    });
  }

  describe(`${version}: SessionCache.revoke()`, () => {
    it(
      "wins over a put that is under way, and over one that comes later",
      leavingNothingLater(async () => {
        const inner = new MemoryStore();
        const puts: (() => void)[] = [];
        const store: SessionStore = {
          get: (key) => inner.get(key),
          delete: (key) => inner.delete(key),
          put: (...all) => new Promise<void>((resolve) => puts.push(() => resolve(inner.put(...all)))),
        };
        using contexts = new Cached(version, { store });
        using made = make(contexts);
        const revoked = contexts.cache.revoke(made.id);
        await settled();
        puts[0]!();
        await revoked;
        assertEquals(inner.size, 0);
        // The id is known as soon as the server has chosen it, in mid-handshake with TLS 1.2.
        contexts.server.setGenerateSessionIdCallback(() => {
          const id = crypto.getRandomValues(new Uint8Array(32));
          void contexts.cache.revoke(id);
          return id;
        });
        contexts.visit();
        await settled();
        assertEquals([puts.length, inner.size], [1, 0]);
        assertEquals(contexts.counted, { stored: 1, revoked: 2, revokedMeanwhile: 1 });
        assertEquals(contexts.told, ["stored", "revoked", "not stored", "revoked"]);
      }),
    );

    it(
      "deletes once more what a put brings that is later than its deadline, and does not wait for it",
      leavingNothingLater(async () => {
        const inner = new MemoryStore();
        const late = Promise.withResolvers<void>();
        const store: SessionStore = {
          get: (key) => inner.get(key),
          delete: (key) => inner.delete(key),
          put: (...all) => late.promise.then(() => inner.put(...all)),
        };
        using contexts = new Cached(version, { store, writeTimeout: 20 });
        using made = make(contexts);
        await contexts.cache.revoke(made.id);
        late.resolve();
        await settled();
        assertEquals(inner.size, 0);
        assertEquals(contexts.counted, {
          ...{ stored: 1, writeFailures: 1, writeTimeouts: 1, lateWrites: 1, errors: 1, revoked: 1 },
        });
      }),
    );

    it(
      "rejects when the store does not answer",
      leavingNothingLater(async () => {
        const store = new MemoryStore() as SessionStore;
        using contexts = new Cached(version, { store, writeTimeout: 20 });
        using made = make(contexts);
        store.delete = () => new Promise(() => {});
        const error = await assertRejects(
          () => contexts.cache.revoke(made.id),
          SessionStoreError,
          "did not answer in 20 ms",
        );
        assertEquals(error.operation, "delete");
        await contexts.cache.close();
      }),
    );
  });

  describe(`${version}: SessionCache.revokeWhere()`, () => {
    it(
      "catches what is made while it is under way",
      leavingNothingLater(async () => {
        const store = new MemoryStore();
        const entries = store.entries.bind(store);
        const listing = Promise.withResolvers<void>();
        (store as SessionStore).entries = async function* () {
          yield* entries();
          await listing.promise;
        };
        using contexts = new Cached(version, { store });
        contexts.visit();
        const revoked = contexts.cache.revokeWhere(({ serverName }) => serverName === "localhost");
        await settled();
        contexts.visit();
        contexts.visitAt(contexts, undefined, "other.example");
        listing.resolve();
        assertEquals(await revoked, 1);
        assertEquals(contexts.visit(contexts.sessions[1]), { resumed: false });
        assertEquals(contexts.visitAt(contexts, contexts.sessions[2], "other.example"), { resumed: true });
      }),
    );
  });
}

describe("TLSv1.3: a session that is deleted between a client's two hellos", () => {
  for (const [how, remove] of Object.entries(deletions)) {
    it(
      `does not resume: ${how}`,
      leavingNothingLater(async () => {
        using contexts = new Cached("TLSv1.3", { store: new MemoryStore() }, retry.server, retry.client);
        using made = make(contexts);
        const session = contexts.sessions[0]!;
        using link = contexts.link(session);
        // The HelloRetryRequest is on its way.
        assertEquals(link.half(), "wants-bytes");
        await remove(contexts, made);
        link.toClient();
        assertEquals(finish(link), false);
      }),
    );
  }

  it(
    "resumes where nobody deletes it",
    leavingNothingLater(async () => {
      using contexts = new Cached("TLSv1.3", { store: new MemoryStore() }, retry.server, retry.client);
      make(contexts).dispose();
      using link = contexts.link(contexts.sessions[0]!);
      assertEquals(link.half(), "wants-bytes");
      await contexts.cache.revokeWhere(() => false);
      link.toClient();
      assertEquals(finish(link), true);
      assertEquals(contexts.counted, { lookups: 1, hits: 1, stored: 2 });
    }),
  );

  for (const [how, remove] of Object.entries(deletions)) {
    it(
      `leaves nothing that resumes where the handshake had it already: ${how}`,
      leavingNothingLater(async () => {
        const store = new MemoryStore();
        using contexts = new Cached("TLSv1.3", { store });
        using made = make(contexts);
        const session = contexts.sessions[0]!;
        using link = contexts.link(session);
        // The server has answered the hello by resuming.
        assertEquals(link.half(), "wants-bytes");
        await remove(contexts, made);
        link.toClient();
        assertEquals(finish(link), true);
        assertEquals(store.size, 0);
        assertEquals(contexts.visit(contexts.sessions.at(-1)), { resumed: false });
      }),
    );
  }
});

describe("A fatal alert", () => {
  it(
    "ends the lookups of its session that are under way",
    leavingNothingLater(async () => {
      const store = new PendingStore();
      using contexts = new Cached("TLSv1.2", { store });
      contexts.visit();
      const session = contexts.sessions[0]!;
      using broken = contexts.link(session);
      using waiting = contexts.link(session);
      broken.half();
      waiting.half();
      store.lookups[0]!.answer();
      await woken(waiting.server);
      broken.connect();
      assertEquals(broken.server.isResumed, true);
      broken.server.pushCiphertext(new Uint8Array([23, 3, 3, 0, 32, ...new Uint8Array(32)]));
      await assertRejects(async () => await broken.server.read(new Uint8Array(1)), OpenSslError);
      await contexts.cache.close();
      assertEquals(store.inner.size, 0);
      assertEquals(finish(waiting), false);
    }),
  );
});

describe("A session that another server deletes", () => {
  it(
    "is not shared with connections that begin after that",
    leavingNothingLater(async () => {
      const store = new PendingStore();
      const options = { store, secrets: [secret()], lookupTimeout: 10_000 };
      using contexts = new Cached("TLSv1.2", options);
      using others = new Cached("TLSv1.2", options);
      using made = make(contexts);
      const [session] = contexts.sessions;
      using first = contexts.link(session);
      first.half();
      const value = store.inner.get(store.lookups[0]!.key);
      await settled();
      await others.cache.revoke(made.id);
      using second = contexts.link(session);
      second.half();
      store.lookups[0]!.resolve(value);
      store.lookups[1]!.answer();
      await Promise.all([woken(first.server), woken(second.server)]);
      // The one had begun before.
      assertEquals([finish(first), finish(second)], [true, false]);
    }),
  );
});

describe("A connection that is forgotten between a client's two hellos", () => {
  it("is collected, and what was found for it", { ignore: !canCollect }, async () => {
    const before = standing();
    function forget(): void {
      using contexts = new Cached("TLSv1.3", { store: new MemoryStore() }, retry.server, retry.client);
      for (let n = 0; n < 20; n++) {
        contexts.visit();
        contexts.link(contexts.sessions.at(-1)).half();
      }
    }
    forget();
    assert(counts().connections > before.living.connections, "They were freed at once");
    const { contexts, sessions } = before.living;
    const isOver = () => counts().contexts === contexts && counts().sessions === sessions;
    assert(await collectUntil(isOver), "Contexts or sessions are left");
    assertNothingLeft(before);
  });
});
