import { assert, assertEquals, assertInstanceOf, assertStrictEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { type Session, SessionCacheMode, SessionReleasedError, type SslContext } from "../mod.ts";
import { counts, leavingNothing } from "./counts.ts";
import { aged, Contexts, hex, thrownBy, type Version, versions } from "./support.ts";

/** The ids that the callback is called with, in order. */
function removedFrom(context: SslContext): string[] {
  const removed: string[] = [];
  context.setRemoveSessionCallback((_context, session) => {
    removed.push(hex(session.id));
  });
  return removed;
}

/** A server with sessions in its internal cache, and the ids of them. */
function cached(version: Version, count = 1) {
  const contexts = new Contexts(version, { numTickets: 1 });
  const sessions: Session[] = [];
  contexts.server.setNewSessionCallback((_connection, session) => {
    sessions.push(session.clone());
  });
  for (let n = 0; n < count; n++) contexts.visit();
  assertEquals(contexts.server.counters().number, count);
  return {
    contexts,
    sessions,
    ids: sessions.map((session) => hex(session.id)),
    [Symbol.dispose]() {
      for (const session of sessions) session.dispose();
      contexts[Symbol.dispose]();
    },
  };
}

for (const version of versions) {
  describe(`${version}: the remove session callback`, () => {
    it(
      "is called when a session is removed because it is expired: a client asks for it",
      leavingNothing(() => {
        using server = cached(version);
        const { contexts, sessions, ids } = server;
        const removed = removedFrom(contexts.server);
        aged(sessions[0]!, 10_000);
        assertEquals(contexts.visit(contexts.sessions[0]), { resumed: false });
        assertEquals(contexts.server.counters().timeouts, 1);
        // A ticket of TLS 1.3 is refused, and its session stays until the cache is looked through.
        if (version === "TLSv1.3") contexts.server.flushSessions();
        assertEquals(removed, ids);
      }),
    );

    it(
      "is called when a session is removed because it is expired: the cache is flushed",
      leavingNothing(() => {
        using server = cached(version, 3);
        const { contexts, sessions, ids } = server;
        const removed = removedFrom(contexts.server);
        aged(sessions[1]!, 10_000);
        contexts.server.flushSessions();
        assertEquals(removed, [ids[1]]);
        contexts.server.flushSessions(new Date(Date.now() + 10_000_000));
        assertEquals(removed.toSorted(), ids.toSorted());
        assertEquals(contexts.server.counters().number, 0);
      }),
    );

    it(
      "is called for every session when all are flushed",
      leavingNothing(() => {
        using server = cached(version, 5);
        const removed = removedFrom(server.contexts.server);
        server.contexts.server.flushSessions("all");
        assertEquals(removed.toSorted(), server.ids.toSorted());
      }),
    );

    it(
      "is called when a session is removed by SSL_CTX_remove_session()",
      leavingNothing(() => {
        using server = cached(version, 2);
        const { contexts, sessions, ids } = server;
        const removed = removedFrom(contexts.server);
        assertEquals(contexts.server.removeSession(sessions[0]!), true);
        assertEquals(removed, [ids[0]]);
        assertEquals(sessions[0]!.isResumable, false);
        assertEquals(contexts.visit(contexts.sessions[0]), { resumed: false });
        assertEquals(contexts.visit(contexts.sessions[1]), { resumed: true });
      }),
    );

    it(
      "is called for a session that was not in the cache as well",
      leavingNothing(() => {
        using server = cached(version);
        using copy = server.sessions[0]!.clone();
        server.contexts.server.removeSession(copy);
        const removed = removedFrom(server.contexts.server);
        assertEquals(server.contexts.server.removeSession(copy), false);
        assertEquals(removed, server.ids);
      }),
    );

    it(
      "is called when a connection was not shut down cleanly",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        const removed = removedFrom(contexts.server);
        const link = contexts.link().connect();
        using session = link.server.session();
        const id = hex(session!.id);
        assertEquals(removed, []);
        link.server.dispose();
        assertEquals(removed, [id]);
        link.dispose();
        assertEquals(contexts.server.counters().number, 0);
      }),
    );

    it(
      "is not called when a connection was shut down cleanly, by a goodbye or quietly",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        const removed = removedFrom(contexts.server);
        contexts.link().connect().close();
        const link = contexts.link().connect();
        link.server.shutdownQuietly();
        link.dispose();
        assertEquals(removed, []);
        assertEquals(contexts.server.counters().number, 2);
      }),
    );

    it(
      "is called when the other side sends a fatal alert",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        const removed = removedFrom(contexts.server);
        using link = contexts.link().connect();
        // Bytes that are no record make the client give up with an alert.
        link.client.pushCiphertext(new Uint8Array(64));
        thrownBy(() => link.client.read(new Uint8Array(1)));
        assert(link.toServer() > 0);
        thrownBy(() => link.server.read(new Uint8Array(1)));
        assertEquals(removed.length, 1);
      }),
    );

    it(
      "is called when the internal cache overflows",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1, sessionCacheSize: 1 });
        const removed = removedFrom(contexts.server);
        const made: string[] = [];
        contexts.server.setNewSessionCallback((_connection, session) => {
          made.push(hex(session.id));
        });
        contexts.visit();
        assertEquals(removed, []);
        contexts.visit();
        contexts.visit();
        assertEquals(removed, made.slice(0, 2));
        assertEquals(contexts.server.counters().cacheFull, 2);
      }),
    );

    it(
      "is called for all sessions in the internal cache when SSL_CTX_free() is called",
      leavingNothing(() => {
        using server = cached(version, 4);
        const removed = removedFrom(server.contexts.server);
        server.contexts.server.dispose();
        assertEquals(removed.toSorted(), server.ids.toSorted());
      }),
    );

    it(
      "is not called by SSL_CTX_free() for sessions outside the internal cache",
      leavingNothing(() => {
        using contexts = new Contexts(version, {
          sessionCacheMode: SessionCacheMode.Server | SessionCacheMode.NoInternal,
        });
        const removed = removedFrom(contexts.server);
        contexts.visit();
        contexts.server.dispose();
        assertEquals(removed, []);
      }),
    );

    it(
      "is passed the context and the session, on loan until it returns",
      leavingNothing(() => {
        using server = cached(version);
        const { contexts, sessions, ids } = server;
        let lent: Session | undefined;
        contexts.server.setRemoveSessionCallback((context, session) => {
          assertStrictEquals(context, contexts.server);
          assertEquals(hex(session.id), ids[0]);
          assertEquals(session.protocol, version);
          lent = session;
        });
        contexts.server.removeSession(sessions[0]!);
        const error = thrownBy(() => lent!.id);
        assertInstanceOf(error, SessionReleasedError);
        assertEquals(
          (error as Error).message,
          "Cannot use this session: it ended with the return of the remove session callback that it was lent to",
        );
      }),
    );

    it(
      "lends a session of which a clone lives on",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        contexts.visit();
        for (const session of contexts.sessions.splice(0)) session.dispose();
        let clone: Session | undefined;
        contexts.server.setRemoveSessionCallback((_context, session) => {
          clone = session.clone();
        });
        const before = counts().sessions;
        contexts.server.flushSessions("all");
        assertEquals(counts().sessions, before);
        assertEquals(clone!.protocol, version);
        assertEquals(clone!.id.length, 32);
        clone!.dispose();
        assertEquals(counts().sessions, before - 1);
      }),
    );

    it(
      "does not provide any feedback: what it returns changes nothing",
      leavingNothing(() => {
        using server = cached(version);
        server.contexts.server.setRemoveSessionCallback((() => true) as unknown as () => void);
        assertEquals(server.contexts.server.removeSession(server.sessions[0]!), true);
        assertEquals(server.contexts.server.counters().number, 0);
      }),
    );
  });
}
