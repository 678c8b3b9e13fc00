import { assert, assertEquals, assertInstanceOf, assertNotEquals, assertStrictEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { type Session, SessionCacheMode, SessionReleasedError, SslConnection } from "../mod.ts";
import { counts, leavingNothing } from "./counts.ts";
import { Contexts, hex, thrownBy, versions } from "./support.ts";

for (const version of versions) {
  describe(`${version}: the new session callback`, () => {
    it(
      "is called whenever a new session has been negotiated",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        let calls = 0;
        contexts.server.setNewSessionCallback(() => {
          calls++;
        });
        for (let connection = 1; connection <= 3; connection++) {
          contexts.visit();
          assertEquals(calls, connection);
        }
      }),
    );

    it(
      version === "TLSv1.2" ? "is called during the handshake" : "is called after the main handshake has completed",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        using link = contexts.link();
        const seen: { established: boolean; finishedOfClient: boolean }[] = [];
        let clientIsDone = false;
        contexts.server.setNewSessionCallback(() => {
          seen.push({ established: link.server.isEstablished, finishedOfClient: clientIsDone });
        });
        for (let turn = 0; turn < 10 && seen.length === 0; turn++) {
          clientIsDone = link.client.handshake() === "done";
          link.toServer();
          link.server.handshake();
          link.toClient();
        }
        // With TLS 1.2 the client waits for the server's Finished, which comes after the session has been made.
        // With TLS 1.3 it has sent its own, and thinks itself done, before the server makes tickets.
        assertEquals(seen, [{ established: false, finishedOfClient: version === "TLSv1.3" }]);
      }),
    );

    it(
      "is passed the connection and the session",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        using link = contexts.link();
        let id = "";
        contexts.server.setNewSessionCallback((connection, session) => {
          assertStrictEquals(connection, link.server);
          assert(connection instanceof SslConnection);
          assertEquals(session.protocol, version);
          assertEquals(session.serverName, "localhost");
          assertEquals(session.id.length, 32);
          id = hex(session.id);
        });
        link.connect();
        assertNotEquals(id, "");
        using own = link.server.session();
        assertEquals(hex(own!.id), id);
        link.close();
      }),
    );

    it(
      "has the session removed again when it returns 0: the object is dead, the reference given back",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1, sessionCacheMode: SessionCacheMode.Server });
        for (const answer of [false, undefined]) {
          const before = counts().sessions;
          let leaked: Session | undefined;
          let during = 0;
          contexts.server.sessionCacheMode = SessionCacheMode.Server | SessionCacheMode.NoInternal;
          contexts.server.setNewSessionCallback((_connection, session) => {
            leaked = session;
            during = counts().sessions;
            return answer as boolean | undefined;
          });
          contexts.visit();
          assert(during > before);
          const error = thrownBy(() => leaked!.id);
          assertInstanceOf(error, SessionReleasedError);
          assertEquals(
            (error as Error).message,
            "Cannot use this session: it ended with the return of the new session callback, which did not keep it",
          );
          assertEquals(leaked!.isReleased, true);
          // What the client was given is all that is left of it.
          for (const session of contexts.sessions.splice(0)) session.dispose();
          assertEquals(counts().sessions, before);
        }
      }),
    );

    it(
      "keeps the session when it returns true: it is the callback's to dispose",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        contexts.server.sessionCacheMode = SessionCacheMode.Server | SessionCacheMode.NoInternal;
        const before = counts().sessions;
        let kept: Session | undefined;
        contexts.server.setNewSessionCallback((_connection, session) => {
          kept = session;
          return true;
        });
        contexts.visit();
        for (const session of contexts.sessions.splice(0)) session.dispose();
        assertEquals(counts().sessions, before + 1);
        assertEquals(kept!.protocol, version);
        assertEquals(kept!.isReleased, false);
        kept!.dispose();
        assertEquals(counts().sessions, before);
      }),
    );

    it(
      "leaves a clone good when it returns 0",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        contexts.server.sessionCacheMode = SessionCacheMode.Server | SessionCacheMode.NoInternal;
        let clone: Session | undefined;
        contexts.server.setNewSessionCallback((_connection, session) => {
          clone = session.clone();
          return false;
        });
        contexts.visit();
        assertEquals(clone!.protocol, version);
        clone!.dispose();
      }),
    );

    it(
      "is called only when session caching is enabled",
      leavingNothing(() => {
        using contexts = new Contexts(version, { sessionCacheMode: SessionCacheMode.Off });
        let calls = 0;
        contexts.server.setNewSessionCallback(() => {
          calls++;
        });
        contexts.visit();
        assertEquals(calls, 0);
        // A client's mode does not count at a server.
        contexts.server.sessionCacheMode = SessionCacheMode.Client;
        contexts.visit();
        assertEquals(calls, 0);
        contexts.server.sessionCacheMode = SessionCacheMode.Server;
        contexts.visit();
        assert(calls > 0);
      }),
    );

    it(
      "is called at a client too, where a client's caching is enabled",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        contexts.visit();
        assertEquals(contexts.sessions.length, 1);
        contexts.client.sessionCacheMode = SessionCacheMode.Off;
        contexts.visit();
        assertEquals(contexts.sessions.length, 1);
      }),
    );

    it(
      "is called no more once it has been cleared",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        let calls = 0;
        contexts.server.setNewSessionCallback(() => {
          calls++;
        });
        contexts.server.setNewSessionCallback(null);
        contexts.visit();
        assertEquals(calls, 0);
      }),
    );
  });
}

describe("TLSv1.3: the new session callback", () => {
  for (const numTickets of [0, 1, 2, 3, 7]) {
    it(
      `is called ${numTickets} times when ${numTickets} sessions are established with a single connection`,
      leavingNothing(() => {
        using contexts = new Contexts("TLSv1.3", { numTickets });
        const ids = new Set<string>();
        contexts.server.setNewSessionCallback((_connection, session) => {
          ids.add(hex(session.id));
        });
        contexts.visit();
        assertEquals(ids.size, numTickets);
        // The client's is called as often, and each of its sessions resumes.
        assertEquals(contexts.sessions.length, numTickets);
        for (const session of contexts.sessions.slice()) assertEquals(contexts.visit(session), { resumed: true });
      }),
    );
  }

  it(
    "is called once for the ticket that follows a resumption",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.3", { numTickets: 2 });
      const session = contexts.resumable();
      let calls = 0;
      contexts.server.setNewSessionCallback(() => {
        calls++;
      });
      assertEquals(contexts.visit(session), { resumed: true });
      assertEquals(calls, 1);
    }),
  );
});

describe("TLSv1.2: the new session callback", () => {
  it(
    "is not called for a resumption, which negotiates no session",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.2");
      const session = contexts.resumable();
      let calls = 0;
      contexts.server.setNewSessionCallback(() => {
        calls++;
      });
      assertEquals(contexts.visit(session), { resumed: true });
      assertEquals(calls, 0);
    }),
  );

  it(
    "is not called for a session in a stateless ticket, which has no id",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.2", { options: 0 });
      let calls = 0;
      contexts.server.setNewSessionCallback(() => {
        calls++;
      });
      assertEquals(contexts.visit(contexts.resumable()), { resumed: true });
      assertEquals(calls, 0);
    }),
  );
});
