import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import {
  type DeletionReason,
  MemoryStore,
  type RemovalReason,
  Session,
  SessionCache,
  SessionCacheMode,
  type SessionCacheOptions,
} from "../mod.ts";
import { Cached, secret } from "./cache_server_support.ts";
import { leavingNothing } from "./counts.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { aged, Contexts, thrownBy, type Version, versions } from "./support.ts";

/** A store that remembers the first key, and what it was told to delete. */
class Watched extends MemoryStore {
  first: string | undefined;
  readonly deleted: string[] = [];

  override put(key: string, value: Uint8Array, expiresAt: Date): void {
    this.first ??= key;
    super.put(key, value, expiresAt);
  }
  override delete(key: string): void {
    this.deleted.push(key);
    super.delete(key);
  }

  /** Whether the first session is still there. */
  get keptFirst(): boolean {
    return this.get(this.first!) !== undefined;
  }
}

/** Makes a session that is in libssl's own cache as well, which a cache turns off. Answers it, as the server has it. */
function cachedInside(contexts: Cached, size = 0): Session {
  contexts.server.sessionCacheMode = SessionCacheMode.Server;
  contexts.server.sessionCacheSize = size;
  using link = contexts.link().connect();
  const session = link.server.session()!;
  link.close();
  return session;
}

/** How the first session comes to be removed for each reason. */
const removals: Record<RemovalReason, (contexts: Cached) => void> = {
  "application": (contexts) => {
    using link = contexts.link().connect();
    using session = link.server.session()!;
    link.close();
    contexts.server.removeSession(session);
  },
  "unclean close": (contexts) => contexts.link().connect().dispose(),
  "fatal alert": (contexts) => {
    using link = contexts.link().connect();
    link.server.pushCiphertext(new Uint8Array(64));
    thrownBy(() => link.server.read(new Uint8Array(1)));
  },
  "expired": (contexts) => {
    using session = cachedInside(contexts);
    aged(session, 10_000);
    // libssl looks for such at every 255th handshake.
    for (let n = 0; n < 256; n++) contexts.visit();
  },
  "evicted": (contexts) => {
    cachedInside(contexts, 1).dispose();
    contexts.visit();
  },
  "flushed": (contexts) => {
    cachedInside(contexts).dispose();
    contexts.server.flushSessions("all");
  },
  "context freed": (contexts) => {
    cachedInside(contexts).dispose();
    contexts.server.dispose();
  },
};

const byDefault: RemovalReason[] = ["application", "fatal alert", "expired", "flushed"];
const policies: Record<string, { deleteWhen?: DeletionReason[]; deletes: RemovalReason[] }> = {
  "where nothing is said": { deletes: byDefault },
  "where the policy is to delete for nothing": { deleteWhen: [], deletes: [] },
  "where the policy is unclean closes and fatal alerts": {
    deleteWhen: ["unclean close", "fatal alert"],
    deletes: ["unclean close", "fatal alert"],
  },
};

/** The options of a cache, with a policy if there is one. */
function options(store: MemoryStore, deleteWhen: DeletionReason[] | undefined, sealed: boolean): SessionCacheOptions {
  return { store, ...(deleteWhen ? { deleteWhen } : {}), ...(sealed ? { secrets: [secret()] } : {}) };
}

function assertRemoval(version: Version, policy: string, reason: RemovalReason, sealed: boolean): void {
  const { deleteWhen, deletes } = policies[policy]!;
  const store = new Watched();
  using contexts = new Cached(version, options(store, deleteWhen, sealed));
  removals[reason](contexts);
  const deleted = deletes.includes(reason);
  const removed = contexts.events.filter(({ type }) => type === "removed");
  const stored = contexts.events.find(({ type }) => type === "stored") as { id: string };
  assertEquals(removed, [{ type: "removed", id: stored.id, reason, deleted }]);
  assertEquals(contexts.cache.stats().removed, 1);
  assertEquals(store.keptFirst, !deleted);
  assertEquals(store.deleted, deleted ? [store.first] : []);
  assertEquals(contexts.errors, []);
}

for (const version of versions) {
  for (const [policy, { deletes }] of Object.entries(policies)) {
    describe(`${version}: SessionCache, ${policy}`, () => {
      for (const reason of Object.keys(removals) as RemovalReason[]) {
        it(
          `${deletes.includes(reason) ? "deletes" : "keeps"} a session that libssl removed for: ${reason}`,
          leavingNothing(() => {
            assertRemoval(version, policy, reason, false);
            if (policy === "where nothing is said") assertRemoval(version, policy, reason, true);
          }),
        );
      }
    });
  }

  describe(`${version}: SessionCache`, () => {
    it(
      "deletes when libssl is done: the store may use the context",
      leavingNothing(() => {
        const store = new Watched();
        using contexts = new Cached(version, { store });
        const remove = store.delete.bind(store);
        let numbers = 0;
        store.delete = (key) => {
          numbers += contexts.server.counters().number;
          contexts.server.flushSessions("all");
          contexts.visit();
          remove(key);
        };
        removals["fatal alert"](contexts);
        removals["application"](contexts);
        assertEquals(store.deleted.length, 2);
        assertEquals(numbers, 0);
      }),
    );

    it(
      "waits in close() for deletions that are under way",
      leavingNothingLater(async () => {
        const store = new MemoryStore();
        const { promise, resolve } = Promise.withResolvers<void>();
        const slow = {
          get: (key: string) => store.get(key),
          put: (...all: [string, Uint8Array, Date]) => store.put(...all),
          delete: () => promise,
        };
        using contexts = new Cached(version, { store: slow });
        removals["application"](contexts);
        let closed = false;
        const closing = contexts.cache.close().then(() => closed = true);
        await new Promise((resolve) => setImmediate(resolve));
        assertFalse(closed);
        resolve();
        await closing;
        assert(closed);
      }),
    );

    it(
      "says of a session that is not this farm's that it was not deleted",
      leavingNothing(() => {
        const store = new Watched();
        using contexts = new Cached(version, { store, secrets: [secret()] });
        using stranger = new Contexts(version);
        using link = stranger.link().connect();
        using session = link.server.session()!;
        link.close();
        using copy = Session.fromDer(session.toDer());
        contexts.server.removeSession(copy);
        assertEquals(store.deleted, []);
        assertEquals(contexts.events.map((event) => "deleted" in event && event.deleted), [false]);
      }),
    );
  });
}

describe("SessionCache's deleteWhen", () => {
  it("takes the reasons that say something against a session, and no others", () => {
    for (const wrong of ["evicted", "context freed", "fatal-alert", 7]) {
      const error = assertThrows(
        () => new SessionCache({ store: new MemoryStore(), deleteWhen: [wrong as DeletionReason] }),
        wrong === 7 ? TypeError : RangeError,
      );
      assertEquals(
        error.message,
        "Cannot use the option deleteWhen[0] with new SessionCache(): it takes one of " +
          '"expired", "fatal alert", "flushed", "application", "unclean close", ' +
          `not ${wrong === 7 ? "a number" : JSON.stringify(wrong)}`,
      );
    }
  });
});
