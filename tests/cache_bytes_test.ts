import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { MemoryStore, SessionCache, type SessionCacheOptions } from "../mod.ts";
import { odd, refused } from "./odd_arrays.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { bytes, Contexts, type Version, versions } from "./support.ts";

const secret = bytes("a secret of a farm, long enough");

/** Whether a session of one server resumes on another, whose cache may have other options. */
function resumes(version: Version, first: SessionCacheOptions, second: SessionCacheOptions): boolean {
  using contexts = new Contexts(version);
  new SessionCache(first).attach(contexts.server);
  const session = contexts.resumable();
  using others = new Contexts(version);
  new SessionCache(second).attach(others.server);
  return others.visit(session).resumed;
}

/** A store that answers with another form of what it was given. */
function answering(make: (value: Uint8Array) => Uint8Array): MemoryStore {
  return new (class extends MemoryStore {
    override get(key: string): Uint8Array | undefined {
      const value = super.get(key);
      return value && make(value);
    }
    override take(key: string): Uint8Array | undefined {
      const value = super.take(key);
      return value && make(value);
    }
  })();
}

for (const version of versions) {
  describe(`${version}: arrays that a user passes to a cache`, () => {
    for (const [what, make] of Object.entries(odd)) {
      it(
        `secrets, what a store answers, ids to revoke: ${what}`,
        leavingNothingLater(async () => {
          const store = answering(make);
          assertEquals(resumes(version, { store, secrets: [make(secret)] }, { store, secrets: [secret] }), true);
          assertEquals(resumes(version, { store }, { store }), true);
          using contexts = new Contexts(version);
          const cache = new SessionCache({ store, secrets: [secret] });
          cache.attach(contexts.server);
          using link = contexts.link().connect();
          await cache.revoke(make(link.server.sessionId));
          link.close();
          assertEquals(contexts.visit(contexts.sessions.at(-1)).resumed, false);
        }),
      );
    }

    for (const [what, make] of Object.entries(refused)) {
      it(
        `not ${what}`,
        leavingNothingLater(async () => {
          const store = new MemoryStore();
          assertThrows(() => new SessionCache({ store, secrets: [make()] }), TypeError, "Cannot use ");
          const bad = answering(make);
          assertEquals(resumes(version, { store: bad }, { store: bad }), false);
          await assertRejects(
            () => new SessionCache({ store }).revoke(make()),
            TypeError,
            "Cannot use this session id",
          );
        }),
      );
    }
  });
}
