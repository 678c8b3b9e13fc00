import { assert, assertEquals, assertNotStrictEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { ReleasedError, type Session, SslContext } from "../mod.ts";
import { counts, leavingNothing, standing } from "./counts.ts";
import { Contexts, hex, versions } from "./support.ts";

for (const version of versions) {
  describe(`${version}: a context that is disposed while connections live`, () => {
    it(
      "goes on calling its callbacks, and is freed with the last connection",
      leavingNothing(() => {
        const before = counts();
        using contexts = new Contexts(version, { numTickets: 1 });
        const calls: string[] = [];
        contexts.server.setClientHelloCallback(() => (calls.push("client hello"), "continue"));
        contexts.server.setGetSessionCallback(() => (calls.push("get"), undefined));
        contexts.server.setNewSessionCallback((_connection, session) => {
          calls.push(`new ${hex(session.id)}`);
        });
        const session = contexts.resumable();
        contexts.server.flushSessions("all");
        contexts.server.setRemoveSessionCallback((context, session) => {
          calls.push(`remove ${hex(session.id)}`);
          assertStrictEquals(context, contexts.server);
          assertThrows(() => context.sessionTimeout, ReleasedError, "it ended with dispose()");
        });
        calls.length = 0;
        const one = contexts.link(session);
        const two = contexts.link();
        contexts.server.dispose();
        assertEquals(counts().contexts, before.contexts + 2);
        one.connect();
        const id = calls.at(-1)!.slice(4);
        assertEquals(calls, ["client hello", "get", `new ${id}`]);
        one.close();
        two.connect();
        two.client.shutdown();
        two.toServer();
        two.server.shutdown();
        two.client.dispose();
        assertEquals(counts().contexts, before.contexts + 2);
        const second = calls.at(-1)!.slice(4);
        calls.length = 0;
        two.server.dispose();
        // The last connection takes the context with it, and that what it had cached.
        assertEquals(counts().contexts, before.contexts + 1);
        assertEquals(calls.toSorted(), [`remove ${id}`, `remove ${second}`].toSorted());
      }),
    );

    it(
      "goes on serving ALPN",
      leavingNothing(() => {
        using contexts = new Contexts(version, { alpnProtocols: ["b", "a"] }, { alpnProtocols: ["a", "b"] });
        using link = contexts.link();
        contexts.server.dispose();
        contexts.client.dispose();
        link.connect();
        assertEquals([link.server.alpnProtocol, link.client.alpnProtocol], ["b", "b"]);
        link.close();
      }),
    );

    it(
      "is not mistaken for a context that libssl makes at the same address",
      leavingNothing(() => {
        for (let round = 0; round < 50; round++) {
          const called: number[] = [];
          using contexts = new Contexts(version, { numTickets: 1 });
          assertEquals(contexts.server.getNewSessionCallback(), null);
          contexts.server.setNewSessionCallback(() => {
            called.push(round);
          });
          contexts.visit();
          assertEquals(called, [round]);
        }
      }),
    );
  });

  describe(`${version}: references`, () => {
    it(
      "are counted exactly: a session by its owner, its clones, the cache and its connection",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        let kept: Session | undefined;
        contexts.server.setNewSessionCallback((_connection, session) => {
          kept = session;
          return true;
        });
        contexts.visit();
        for (const session of contexts.sessions.splice(0)) session.dispose();
        const { sessions } = counts();
        const clones = [kept!.clone(), kept!.clone(), kept!.clone()];
        assertNotStrictEquals(clones[0], clones[1]);
        assertEquals(counts().sessions, sessions, "A clone is a reference and no copy");
        contexts.server.removeSession(kept!);
        kept!.dispose();
        clones[0]!.dispose();
        clones[0]!.dispose();
        clones[1]!.dispose();
        assertEquals(counts().sessions, sessions);
        assertEquals(clones[2]!.protocol, version);
        clones[2]!.dispose();
        assertEquals(counts().sessions, sessions - 1);
      }),
    );

    it(
      "to a session in the cache keep it alive after its owner",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        const session = contexts.resumable();
        contexts.server.flushSessions("all");
        const { sessions } = counts();
        assertEquals(contexts.server.addSession(session), true);
        // Another copy takes the first one's place.
        assertEquals(contexts.server.addSession(session), true);
        session.dispose();
        contexts.sessions.length = 0;
        assertEquals(counts().sessions, sessions);
        contexts.server.flushSessions("all");
        assertEquals(counts().sessions, sessions - 1);
      }),
    );

    it(
      "to a connection's session outlive the connection",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        const link = contexts.link().connect();
        const session = link.server.session()!;
        link.close();
        assertEquals(session.protocol, version);
        session.dispose();
      }),
    );

    it(
      "are all given back by connections at any point of their handshake",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        for (let turns = 0; turns < 6; turns++) {
          const before = standing();
          const link = contexts.link(turns % 2 ? contexts.resumable() : undefined);
          for (let turn = 0; turn < turns; turn++) {
            if (turn % 2 === 0) {
              link.client.handshake();
              link.toServer();
            } else {
              link.server.handshake();
              link.toClient();
            }
          }
          link.dispose();
          link.dispose();
          contexts.server.flushSessions("all");
          for (const session of contexts.sessions.splice(0)) session.dispose();
          assertEquals(standing().held, before.held);
          assertEquals(counts().connections, before.living.connections);
        }
      }),
    );
  });
}

describe("SslContext", () => {
  it("is not constructed", () => {
    const Constructor = SslContext as unknown as new (...parameters: unknown[]) => SslContext;
    assertThrows(() => new Constructor(Symbol("SslContext"), null), TypeError, "use SslContext.server() or .client()");
  });

  it(
    "is counted until it is disposed, once however often that is",
    leavingNothing(() => {
      const { contexts } = counts();
      const made = Array.from({ length: 10 }, () => SslContext.client());
      assertEquals(counts().contexts, contexts + 10);
      for (const context of made) {
        context.dispose();
        context.dispose();
        context[Symbol.dispose]();
      }
      assertEquals(counts().contexts, contexts);
    }),
  );

  it(
    "leaves nothing of an attempt to make one that fails",
    leavingNothing(() => {
      const { contexts } = counts();
      assertThrows(() => SslContext.server({ certificate: "none" }));
      assertThrows(() => SslContext.client({ cipherList: "NONE-OF-THESE" }));
      assertThrows(() => SslContext.client({ sessionIdContext: "" }));
      assertEquals(counts().contexts, contexts);
      assert(contexts >= 0);
    }),
  );
});
