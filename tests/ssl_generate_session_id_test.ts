import { assert, assertEquals, assertInstanceOf, assertNotEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { type GenerateSessionIdCallback, OpenSslError, type SslConnection } from "../mod.ts";
import { leavingNothing } from "./counts.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { Contexts, hex, type Link, thrownBy, type Version, versions } from "./support.ts";

/** An id that no other test makes. */
function someId(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length));
}

/** Shakes hands, going on where a callback threw. Answers what it threw. */
function connectTolerantly(link: Link): unknown[] {
  const thrown: unknown[] = [];
  const server = link.server.handshake.bind(link.server);
  link.server.handshake = () => {
    while (true) {
      try {
        return server();
      } catch (error) {
        if (error instanceof OpenSslError) throw error;
        thrown.push(error);
      }
    }
  };
  link.connect();
  return thrown;
}

/** A server that makes its ids so, and the ids of the sessions that it makes. */
function making(version: Version, callback: GenerateSessionIdCallback) {
  const contexts = new Contexts(version, { numTickets: 1 });
  const made: string[] = [];
  contexts.server.setNewSessionCallback((_connection, session) => void made.push(hex(session.id)));
  contexts.server.setGenerateSessionIdCallback(callback);
  return { contexts, made, [Symbol.dispose]: () => contexts[Symbol.dispose]() };
}

/** What is no id, and what is said about it. */
const wrong: Record<string, unknown> = {
  "no bytes": new Uint8Array(),
  "33 bytes": new Uint8Array(33),
  "a string": "an id of exactly thirty-two chars",
  "an array": [1, 2, 3],
  "a buffer": new ArrayBuffer(32),
  "null": null,
  "true": true,
};

for (const version of versions) {
  describe(`${version}: the generate session id callback`, () => {
    it(
      "makes the ids of new sessions",
      leavingNothing(() => {
        const ids: string[] = [];
        using server = making(version, () => {
          const id = someId(32);
          ids.push(hex(id));
          return id;
        });
        server.contexts.visit();
        server.contexts.visit();
        // TLS 1.3 makes one for the connection and one for its ticket.
        assertEquals(ids.filter((id) => server.made.includes(id)), server.made);
        assertEquals(server.made.length, 2);
        assertNotEquals(server.made[0], server.made[1]);
      }),
    );

    it(
      "makes ids that resume",
      leavingNothing(() => {
        using server = making(version, () => someId(32));
        assertEquals(server.contexts.visit(server.contexts.resumable()), { resumed: true });
      }),
    );

    it(
      "is passed the connection",
      leavingNothing(() => {
        const connections = new Set<SslConnection>();
        using server = making(version, (connection) => {
          connections.add(connection);
          return undefined;
        });
        using link = server.contexts.link();
        link.connect();
        assertEquals([...connections], [link.server]);
        link.close();
      }),
    );

    it(
      "returns nothing, and the id is random",
      leavingNothing(() => {
        let asked = 0;
        using server = making(version, () => {
          asked++;
          return undefined;
        });
        server.contexts.visit();
        server.contexts.visit();
        assert(asked >= 2);
        assertEquals(new Set(server.made).size, 2);
        for (const id of server.made) assertEquals(id.length, 64);
        assertEquals(server.contexts.visit(server.contexts.sessions.at(-1)), { resumed: true });
      }),
    );

    it(
      "is not called any more once it is cleared",
      leavingNothing(() => {
        let asked = 0;
        using server = making(version, () => {
          asked++;
          return undefined;
        });
        server.contexts.server.setGenerateSessionIdCallback(null);
        assertEquals(server.contexts.visit(server.contexts.resumable()), { resumed: true });
        assertEquals(asked, 0);
      }),
    );

    it(
      "throws: the error comes out of the call, the id is random, and the connection goes on",
      leavingNothing(() => {
        const broken = new Error("no ids left");
        using server = making(version, () => {
          throw broken;
        });
        using link = server.contexts.link();
        const thrown = connectTolerantly(link);
        assert(thrown.length > 0);
        for (const error of thrown) {
          const errors = error instanceof AggregateError ? error.errors : [error];
          for (const each of errors) assertEquals(each, broken);
        }
        assertEquals(server.made[0]!.length, 64);
        link.close();
        server.contexts.server.setGenerateSessionIdCallback(null);
        assertEquals(server.contexts.visit(server.contexts.sessions.at(-1)), { resumed: true });
      }),
    );

    for (const [what, id] of Object.entries(wrong)) {
      it(
        `returns ${what}: a TypeError says what it takes, and the id is random`,
        leavingNothing(() => {
          using server = making(version, () => id as Uint8Array);
          using link = server.contexts.link();
          const thrown = connectTolerantly(link).flatMap((error) =>
            error instanceof AggregateError ? error.errors : [error]
          );
          assert(thrown.length > 0);
          for (const error of thrown) {
            assertInstanceOf(error, TypeError);
            assertEquals(
              error.message,
              "Cannot use what the generate session id callback returned: it takes 1 to 32 bytes",
            );
          }
          assertEquals(server.made[0]!.length, 64);
          link.close();
        }),
      );
    }

    it(
      "returns a Promise: it is refused by name, whatever becomes of it",
      leavingNothingLater(async () => {
        for (const promise of [() => Promise.resolve(someId(32)), () => Promise.reject(new Error("late"))]) {
          using server = making(version, promise as unknown as GenerateSessionIdCallback);
          using link = server.contexts.link();
          const [error] = connectTolerantly(link).flatMap((error) =>
            error instanceof AggregateError ? error.errors : [error]
          );
          assertInstanceOf(error, TypeError);
          assertEquals(
            (error as Error).message.split(":")[0],
            "The generate session id callback returned a Promise",
          );
          assertEquals(server.made[0]!.length, 64);
          link.close();
        }
        await Promise.resolve();
      }),
    );

    it(
      "may dispose the connection",
      leavingNothing(() => {
        using server = making(version, (connection) => {
          connection.dispose();
          return undefined;
        });
        using link = server.contexts.link();
        const error = thrownBy(() => link.connect());
        assertEquals((error as Error).message, "Cannot use this connection: it ended with dispose()");
      }),
    );
  });
}

describe("TLSv1.2: the generate session id callback", () => {
  for (const length of [1, 16, 31, 32]) {
    it(
      `makes ids of ${length} bytes, which resume`,
      leavingNothing(() => {
        using server = making("TLSv1.2", () => someId(length));
        server.contexts.visit();
        assertEquals(server.made[0]!.length, 2 * length);
        assertEquals(hex(server.contexts.sessions[0]!.id), server.made[0]);
        assertEquals(server.contexts.visit(server.contexts.sessions[0]), { resumed: true });
      }),
    );
  }

  it(
    "makes an id that is there already: the handshake fails",
    leavingNothing(() => {
      const id = someId(32);
      using server = making("TLSv1.2", () => id);
      server.contexts.visit();
      using link = server.contexts.link();
      const error = assertThrows(() => link.connect(), OpenSslError, "The TLS handshake failed");
      assert(error.errors.some(({ reason }) => reason?.includes("conflict")));
    }),
  );
});
