import { assertEquals, assertInstanceOf, assertStrictEquals, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Session, SessionCacheMode, SessionReleasedError } from "../mod.ts";
import { counts, leavingNothing } from "./counts.ts";
import { Contexts, hex, thrownBy, type Version, versions } from "./support.ts";

const external = SessionCacheMode.Server | SessionCacheMode.NoInternal;

/** A server that keeps its sessions in a Map, as DER. */
function storing(version: Version, sessionCacheMode: number = external) {
  const contexts = new Contexts(version, { numTickets: 1, sessionCacheMode });
  const store = new Map<string, Uint8Array>();
  contexts.server.setNewSessionCallback((_connection, session) => {
    store.set(hex(session.id), session.toDer());
  });
  return { contexts, store, [Symbol.dispose]: () => contexts[Symbol.dispose]() };
}

for (const version of versions) {
  describe(`${version}: the get session callback`, () => {
    it(
      "is called with the connection and the session id proposed by the client",
      leavingNothing(() => {
        using server = storing(version);
        const { contexts, store } = server;
        const session = contexts.resumable();
        using link = contexts.link(session);
        const asked: string[] = [];
        contexts.server.setGetSessionCallback((connection, id, lookup) => {
          assertStrictEquals(connection, link.server);
          assertEquals(lookup, { copy: true });
          asked.push(hex(id));
          return undefined;
        });
        link.connect();
        assertEquals(asked, [...store.keys()].slice(0, 1));
        // A TLS 1.3 client sees the server's id as its ticket, and makes up an id of its own.
        if (version === "TLSv1.2") assertEquals(asked, [hex(session.id)]);
        assertEquals(link.client.isResumed, false);
        link.close();
      }),
    );

    it(
      "has its session resumed",
      leavingNothing(() => {
        using server = storing(version);
        const { contexts, store } = server;
        contexts.server.setGetSessionCallback((_connection, id, lookup) => {
          lookup.copy = false;
          return Session.fromDer(store.get(hex(id))!);
        });
        assertEquals(contexts.visit(contexts.resumable()), { resumed: true });
        assertEquals(contexts.server.counters().callbackHits, 1);
      }),
    );

    it(
      "is only called on servers",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        let calls = 0;
        contexts.client.setGetSessionCallback(() => {
          calls++;
          return undefined;
        });
        contexts.client.sessionCacheMode = SessionCacheMode.Both;
        assertEquals(contexts.visit(contexts.resumable()), { resumed: true });
        assertEquals(calls, 0);
      }),
    );

    it(
      "is called also when session caching is disabled",
      leavingNothing(() => {
        using server = storing(version);
        const { contexts, store } = server;
        const session = contexts.resumable();
        contexts.server.sessionCacheMode = SessionCacheMode.Off;
        let calls = 0;
        contexts.server.setGetSessionCallback((_connection, id, lookup) => {
          calls++;
          lookup.copy = false;
          return Session.fromDer(store.get(hex(id))!);
        });
        assertEquals(contexts.visit(session), { resumed: true });
        assertEquals(calls, 1);
      }),
    );

    it(
      "is called only for a session that is not found in the internal cache",
      leavingNothing(() => {
        using server = storing(version, SessionCacheMode.Server);
        const { contexts } = server;
        let calls = 0;
        contexts.server.setGetSessionCallback(() => {
          calls++;
          return undefined;
        });
        const session = contexts.resumable();
        assertEquals(contexts.visit(session), { resumed: true });
        assertEquals(calls, 0);
        contexts.server.flushSessions("all");
        assertEquals(contexts.visit(session), { resumed: false });
        assertEquals(calls, 1);
      }),
    );

    it(
      "is not called for a client that proposes no session id of the server's",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        let calls = 0;
        contexts.server.setGetSessionCallback(() => {
          calls++;
          return undefined;
        });
        contexts.visit();
        assertEquals(calls, 0);
      }),
    );

    it(
      "keeps its reference with copy 1: libssl takes one of its own",
      leavingNothing(() => {
        using server = storing(version);
        const { contexts, store } = server;
        const proposed = contexts.resumable();
        using session = Session.fromDer([...store.values()][0]!);
        contexts.server.setGetSessionCallback((_connection, _id, lookup) => {
          assertEquals(lookup.copy, true);
          return session;
        });
        const before = counts().sessions;
        assertEquals(contexts.visit(proposed), { resumed: true });
        assertEquals(session.isReleased, false);
        assertEquals(session.protocol, version);
        for (const ticket of contexts.sessions.splice(0)) ticket.dispose();
        // Neither one too many nor one too few: ours is the last, and the client's first has gone.
        assertEquals(counts().sessions, before - 1);
        session.dispose();
        assertEquals(counts().sessions, before - 2);
      }),
    );

    it(
      "gives its reference to libssl with copy 0: the object is spent",
      leavingNothing(() => {
        using server = storing(version);
        const { contexts, store } = server;
        const proposed = contexts.resumable();
        const session = Session.fromDer([...store.values()][0]!);
        contexts.server.setGetSessionCallback((_connection, _id, lookup) => {
          lookup.copy = false;
          return session;
        });
        const before = counts().sessions;
        assertEquals(contexts.visit(proposed), { resumed: true });
        for (const ticket of contexts.sessions.splice(0)) ticket.dispose();
        assertEquals(counts().sessions, before - 2);
        const error = thrownBy(() => session.id);
        assertInstanceOf(error, SessionReleasedError);
        assertEquals(
          (error as Error).message,
          "Cannot use this session: it ended with being given to libssl by the get session callback",
        );
        session.dispose();
      }),
    );

    it(
      "reports a disposed session, which is a miss",
      leavingNothing(() => {
        using server = storing(version);
        const { contexts, store } = server;
        const session = Session.fromDer([...(contexts.visit(), store).values()][0]!);
        session.dispose();
        for (const copy of [true, false]) {
          contexts.server.setGetSessionCallback((_connection, _id, lookup) => {
            lookup.copy = copy;
            return session;
          });
          assertMissAndError(contexts, SessionReleasedError, "Cannot use this session: it ended with dispose()");
        }
      }),
    );

    it(
      "reports a session returned twice with copy 0, which is a miss the second time",
      leavingNothing(() => {
        using server = storing(version);
        const { contexts, store } = server;
        const proposed = contexts.resumable();
        const session = Session.fromDer([...store.values()][0]!);
        contexts.server.setGetSessionCallback((_connection, _id, lookup) => {
          lookup.copy = false;
          return session;
        });
        assertEquals(contexts.visit(proposed), { resumed: true });
        assertMissAndError(contexts, SessionReleasedError, "being given to libssl by the get session callback");
      }),
    );

    it(
      "reports a lent session that is given away, which is a miss",
      leavingNothing(() => {
        using server = storing(version);
        const { contexts } = server;
        contexts.server.setRemoveSessionCallback((_context, lent) => {
          // Only inside this callback is there a lent session that could be given away to another context's lookup.
          using other = new Contexts(version, { numTickets: 1, sessionCacheMode: external });
          other.visit();
          other.server.setGetSessionCallback((_connection, _id, lookup) => {
            lookup.copy = false;
            return lent;
          });
          assertMissAndError(other, TypeError, "Cannot give away a session that is only lent");
        });
        contexts.visit();
        contexts.link().connect().dispose();
      }),
    );

    for (const wrong of [{}, 1, "session", true, new Uint8Array(4)]) {
      it(
        `reports what is no Session (${JSON.stringify(wrong)}), which is a miss`,
        leavingNothing(() => {
          using server = storing(version);
          server.contexts.visit();
          server.contexts.server.setGetSessionCallback(() => wrong as unknown as Session);
          assertMissAndError(server.contexts, TypeError, "it is neither a Session nor undefined");
        }),
      );
    }

    for (const copy of [true, false]) {
      it(
        `misses with a session that was removed meanwhile, with copy ${copy ? 1 : 0}`,
        leavingNothing(() => {
          using server = storing(version);
          const { contexts, store } = server;
          const proposed = contexts.resumable();
          using session = Session.fromDer([...store.values()][0]!);
          contexts.server.removeSession(session);
          assertEquals(session.isResumable, false);
          contexts.server.setGetSessionCallback((_connection, _id, lookup) => {
            lookup.copy = copy;
            return session.isReleased ? undefined : session;
          });
          assertEquals(contexts.visit(proposed), { resumed: false });
          assertEquals(session.isReleased, !copy);
          // libssl was not given it to find out by itself, as not every version does.
          assertEquals(contexts.server.counters().callbackHits, 0);
        }),
      );
    }

    it(
      "may answer null",
      leavingNothing(() => {
        using server = storing(version);
        server.contexts.server.setGetSessionCallback(() => null);
        assertEquals(server.contexts.visit(server.contexts.resumable()), { resumed: false });
      }),
    );

    it(
      "has no expired session resumed",
      leavingNothing(() => {
        using server = storing(version);
        const { contexts, store } = server;
        const proposed = contexts.resumable();
        contexts.server.setGetSessionCallback((_connection, id, lookup) => {
          lookup.copy = false;
          const session = Session.fromDer(store.get(hex(id))!);
          session.created = new Date(session.created.getTime() - 10_000_000);
          return session;
        });
        assertEquals(contexts.visit(proposed), { resumed: false });
        assertEquals(contexts.server.counters().timeouts, 1);
      }),
    );
  });
}

describe("TLSv1.3: a session that is used for resumption once", () => {
  it(
    "does not resume a second time when it is removed after its use",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.3", { numTickets: 1 });
      const cached: Session[] = [];
      contexts.server.setNewSessionCallback((_connection, session) => cached.push(session) > 0);
      const session = contexts.resumable();
      assertEquals(contexts.visit(session), { resumed: true });
      // Without the removal it does: libssl does not count.
      assertEquals(contexts.visit(session), { resumed: true });
      assertEquals(contexts.server.removeSession(cached[0]!), true);
      for (const each of cached) each.dispose();
      contexts.server.setNewSessionCallback(null);
      assertEquals(contexts.visit(session), { resumed: false });
    }),
  );

  it(
    "does not resume a second time when the get callback takes it out of the store",
    leavingNothing(() => {
      using server = storing("TLSv1.3");
      const { contexts, store } = server;
      const session = contexts.resumable();
      contexts.server.setGetSessionCallback((_connection, id, lookup) => {
        const der = store.get(hex(id));
        store.delete(hex(id));
        lookup.copy = false;
        return der && Session.fromDer(der);
      });
      assertEquals(contexts.visit(session), { resumed: true });
      assertEquals(contexts.visit(session), { resumed: false });
    }),
  );
});

/** The client's first session is not resumed, the callback's error is reported, and the connection is fine. */
function assertMissAndError(contexts: Contexts, type: typeof TypeError | typeof SessionReleasedError, text: string) {
  using link = contexts.link(contexts.sessions[0]!);
  const error = thrownBy(() => link.half());
  assertInstanceOf(error, type);
  assertStringIncludes((error as Error).message, text);
  link.connect();
  assertEquals(link.server.isResumed, false);
  link.client.write(new Uint8Array([7]));
  link.toServer();
  const read = new Uint8Array(4);
  assertEquals(link.server.read(read), 1);
  assertEquals(read[0], 7);
  link.close();
}
