import { assert, assertEquals, assertInstanceOf, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { ReleasedError, Session, SessionCacheMode, SslConnection } from "../mod.ts";
import { leavingNothing } from "./counts.ts";
import { Contexts, type Link, thrownBy, versions } from "./support.ts";

const buffer = new Uint8Array(100);

/** Every call that moves a connection on. */
const moves: Record<string, (connection: SslConnection) => unknown> = {
  handshake: (connection) => connection.handshake(),
  read: (connection) => connection.read(buffer),
  write: (connection) => connection.write(buffer),
  shutdown: (connection) => connection.shutdown(),
  pushCiphertext: (connection) => connection.pushCiphertext(buffer),
  pullCiphertext: (connection) => connection.pullCiphertext(buffer),
};

/** The callbacks that are passed a connection. */
const callbacks: Record<string, (contexts: Contexts, act: (connection: SslConnection) => void) => void> = {
  new: ({ server }, act) => server.setNewSessionCallback((connection) => act(connection)),
  get: ({ server }, act) => server.setGetSessionCallback((connection) => act(connection) as undefined),
  "client hello": ({ server }, act) => server.setClientHelloCallback((connection) => (act(connection), "continue")),
  keylog: ({ server }, act) => server.setKeylogCallback((connection) => act(connection)),
};

/** Two connections of which the server's calls all four callbacks. */
function link(contexts: Contexts): Link {
  contexts.server.sessionCacheMode = SessionCacheMode.Server | SessionCacheMode.NoInternal;
  return contexts.link(contexts.resumable());
}

for (const version of versions) {
  describe(`${version}: from within a callback of the same connection`, () => {
    for (const [callback, set] of Object.entries(callbacks)) {
      it(
        `${callback}: a call that moves the connection on is refused`,
        leavingNothing(() => {
          using contexts = new Contexts(version, { numTickets: 1 });
          using pair = link(contexts);
          const messages = new Set<string>();
          let calls = 0;
          set(contexts, (connection) => {
            calls++;
            for (const move of Object.values(moves)) {
              messages.add(String(thrownBy(() => move(connection))).replace(/Cannot .* from/, "Cannot ... from"));
            }
          });
          pair.connect();
          assert(calls > 0);
          assertEquals([...messages], ["Error: Cannot ... from within a callback of the same connection"]);
          pair.close();
        }),
      );

      it(
        `${callback}: the connection can be disposed, and the call says so`,
        leavingNothing(() => {
          using contexts = new Contexts(version, { numTickets: 1 });
          using pair = link(contexts);
          set(contexts, (connection) => connection.dispose());
          let error: unknown;
          for (let turn = 0; turn < 6 && !error; turn++) {
            pair.client.handshake();
            try {
              pair.toServer();
              pair.server.handshake();
              pair.toClient();
            } catch (thrown) {
              error = thrown;
            }
          }
          assertInstanceOf(error, ReleasedError);
          assertEquals((error as Error).message, "Cannot use this connection: it ended with dispose()");
          assertEquals(pair.server.isReleased, true);
        }),
      );

      it(
        `${callback}: the context can be disposed, and the handshake goes on`,
        leavingNothing(() => {
          using contexts = new Contexts(version, { numTickets: 1 });
          using pair = link(contexts);
          set(contexts, () => contexts.server.dispose());
          pair.connect();
          pair.close();
        }),
      );

      it(
        `${callback}: the context and the connection can be disposed at once`,
        leavingNothing(() => {
          using contexts = new Contexts(version, { numTickets: 1 });
          using pair = link(contexts);
          set(contexts, (connection) => {
            contexts.server.dispose();
            connection.dispose();
          });
          assertInstanceOf(thrownBy(() => pair.connect()), ReleasedError);
        }),
      );

      it(
        `${callback}: another connection can go through a whole life`,
        leavingNothing(() => {
          using contexts = new Contexts(version, { numTickets: 1 });
          using pair = link(contexts);
          let nested = 0;
          set(contexts, () => {
            if (nested++ > 0) return;
            contexts.visit();
          });
          pair.connect();
          assert(nested > 0);
          pair.close();
        }),
      );
    }

    it(
      "new: a session disposed in the callback is not kept by a true after it",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        contexts.server.setNewSessionCallback((_connection, session) => {
          session.dispose();
          return true;
        });
        contexts.visit();
        assertEquals(contexts.visit(contexts.sessions[0]), { resumed: true });
      }),
    );

    it(
      "client hello: a handshake that fails by a callback that ends the connection leaves no error behind",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        using pair = contexts.link();
        contexts.server.setClientHelloCallback((connection) => (connection.dispose(), "refuse"));
        assertInstanceOf(thrownBy(() => pair.half()), ReleasedError);
      }),
    );

    it(
      "new, get: the context's cache can be changed",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        using session = Session.fromDer(contexts.resumable().toDer());
        const answers: boolean[] = [];
        contexts.server.setNewSessionCallback((_connection, made) => {
          answers.push(contexts.server.addSession(session), contexts.server.removeSession(session));
          answers.push(contexts.server.removeSession(made));
        });
        contexts.server.flushSessions("all");
        contexts.visit();
        assertEquals(answers, [true, true, true]);
        assertEquals(contexts.server.counters().number, 0);
      }),
    );
  });

  describe(`${version}: from within the remove session callback`, () => {
    /** Removes a session in each way that there is, with `act` in the callback. */
    function removals(act: (contexts: Contexts, sessions: Session[], connection: SslConnection) => void): number {
      let calls = 0;
      const ways: ((contexts: Contexts, sessions: Session[], idle: SslConnection) => void)[] = [
        ({ server }, sessions) => server.removeSession(sessions[0]!),
        ({ server }) => server.flushSessions("all"),
        ({ server }, _sessions, idle) => {
          server.dispose();
          idle.dispose();
        },
        (contexts) => {
          contexts.server.sessionCacheSize = 1;
          contexts.visit();
        },
        (contexts) => contexts.link().connect().dispose(),
      ];
      for (const way of ways) {
        using contexts = new Contexts(version, { numTickets: 1 });
        const sessions: Session[] = [];
        contexts.server.setNewSessionCallback((_connection, session) => sessions.push(session) > 0);
        contexts.visit();
        contexts.visit();
        contexts.server.setNewSessionCallback(null);
        using idle = SslConnection.server(contexts.server);
        const before = calls;
        contexts.server.setRemoveSessionCallback(() => {
          calls++;
          act(contexts, sessions, idle);
        });
        way(contexts, sessions, idle);
        assert(calls > before);
        for (const session of sessions) session.dispose();
      }
      return calls;
    }

    it(
      "calls that take the context's lock are refused",
      leavingNothing(() => {
        const messages = new Set<string>();
        let idle = 0;
        removals(({ server }, sessions, connection) => {
          idle++;
          const refused = [
            () => server.addSession(sessions[1]!),
            () => server.removeSession(sessions[1]!),
            () => server.flushSessions(),
            () => server.flushSessions("all"),
            () => server.setGenerateSessionIdCallback(null),
            () => server.setGenerateSessionIdCallback(() => undefined),
            () => connection.handshake(),
            () => sessions[1]!.created = new Date(),
            () => sessions[1]!.timeout = 1,
          ];
          for (const call of refused) messages.add((thrownBy(call) as Error).message);
        });
        assert(idle > 0);
        // In the context's own end, what was disposed before it says that first.
        const released = "it ended with dispose()";
        const remove = "from within the context's remove session callback: do it when the callback is over";
        assertEquals([...messages].filter((message) => !message.endsWith(released)), [
          `Cannot add a session ${remove}`,
          `Cannot remove a session ${remove}`,
          `Cannot flush sessions ${remove}`,
          `Cannot set the callback for session ids ${remove}`,
          "Cannot shake hands from within its context's remove session callback: do it when the callback is over",
          "Cannot set a session's time from within a remove session callback: do it when the callback is over",
          "Cannot set a session's timeout from within a remove session callback: do it when the callback is over",
        ]);
      }),
    );

    it(
      "what is only read can be read, and things can be made and disposed",
      leavingNothing(() => {
        removals(({ server }, sessions, connection) => {
          for (const session of sessions) {
            if (session.isReleased) continue;
            assertEquals(session.protocol, version);
            assert(session.created.getTime() > 0);
            assert(session.timeout > 0);
            using copy = Session.fromDer(session.toDer());
            assertEquals(copy.id, session.id);
            session.clone().dispose();
          }
          if (thrownBy(() => server.sessionTimeout) instanceof ReleasedError) return;
          assert(server.counters().number >= 0);
          assert(server.sessionCacheMode > 0);
          SslConnection.server(server).dispose();
          connection.dispose();
          sessions.pop()?.dispose();
        });
      }),
    );

    it(
      "the context can be disposed",
      leavingNothing(() => {
        removals(({ server }) => server.dispose());
      }),
    );

    it(
      "the same can be done once it is over",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        contexts.visit();
        const removed: Session[] = [];
        contexts.server.setRemoveSessionCallback((_context, session) => {
          removed.push(session.clone());
        });
        contexts.server.flushSessions("all");
        removed[0]!.created = new Date(1_000_000_000_000);
        assertEquals(removed[0]!.created.getTime(), 1_000_000_000_000);
        assertEquals(contexts.server.addSession(removed[0]!), true);
        assertEquals(contexts.server.removeSession(removed[0]!), true);
        for (const session of removed) session.dispose();
      }),
    );
  });
}

describe("a handshake suspended by the client hello callback", () => {
  for (const version of versions) {
    it(
      `${version}: goes on with the next call, and can be disposed while it waits`,
      leavingNothing(() => {
        using contexts = new Contexts(version);
        let answer: "suspend" | "continue" = "suspend";
        contexts.server.setClientHelloCallback(() => answer);
        {
          using pair = contexts.link();
          assertEquals(pair.half(), "wants-lookup");
          assertEquals(pair.server.handshake(), "wants-lookup");
          answer = "continue";
          assertEquals(pair.server.handshake(), "wants-bytes");
          pair.connect().close();
        }
        answer = "suspend";
        using pair = contexts.link();
        assertEquals(pair.half(), "wants-lookup");
        pair.dispose();
        assertStringIncludes(String(thrownBy(() => pair.server.handshake())), "it ended with dispose()");
      }),
    );
  }
});
