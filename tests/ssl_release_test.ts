import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { SessionCacheMode, SslContext } from "../mod.ts";
import { onConnectionEnd } from "../ssl/connection.ts";
import { canCollect, collectUntil } from "./garbage.ts";
import { assertNothingLeft, counts, leavingNothing, standing } from "./counts.ts";
import { Contexts, credentials, type Link, thrownBy, versions } from "./support.ts";

/** A connection whose certificates are another context's, which goes with it. Both contexts' remove callbacks throw. */
function borrowing(contexts: Contexts): Link {
  const other = SslContext.server({ ...credentials, sessionCacheMode: SessionCacheMode.Server });
  other.setRemoveSessionCallback(() => {
    throw new Error("the other context's");
  });
  const [session] = contexts.sessions;
  if (session) other.addSession(session);
  contexts.server.setClientHelloCallback((_connection, hello) => {
    hello.useContext(other);
    return "continue";
  });
  contexts.server.setRemoveSessionCallback(() => {
    throw new Error("its own context's");
  });
  const link = contexts.link().connect();
  other.dispose();
  contexts.server.setClientHelloCallback(null);
  return link;
}

for (const version of versions) {
  describe(`${version}: everything is released, whatever a step throws`, () => {
    it(
      "a connection that uses another context's certificates",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        contexts.resumable();
        const link = borrowing(contexts);
        const error = thrownBy(() => link.server.dispose());
        assertInstanceOf(error, AggregateError);
        assertEquals((error as AggregateError).errors.map(({ message }) => message), [
          "its own context's",
          "the other context's",
        ]);
        contexts.server.setRemoveSessionCallback(null);
        link.client.dispose();
      }),
    );

    it(
      "a connection that takes its disposed context with it",
      leavingNothing(() => {
        const contexts = new Contexts(version, { numTickets: 2 });
        contexts.visit();
        const link = borrowing(contexts);
        contexts[Symbol.dispose]();
        const error = thrownBy(() => link.dispose());
        assertInstanceOf(error, Error);
        link.server.dispose();
      }),
    );

    it(
      "a connection whose end is watched by what throws",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        using link = contexts.link().connect();
        onConnectionEnd(link.server, () => {
          throw new Error("the watcher's");
        });
        let others = 0;
        onConnectionEnd(link.server, () => others++);
        assertEquals((thrownBy(() => link.server.dispose()) as Error).message, "the watcher's");
        assertEquals(others, 1);
        assertEquals(link.server.isReleased, true);
      }),
    );

    it("connections and contexts that were forgotten", { ignore: !canCollect }, async () => {
      const before = standing();
      function forget(): void {
        for (let n = 0; n < 10; n++) {
          const contexts = new Contexts(version, { numTickets: 1 });
          contexts.visit();
          contexts.client.setNewSessionCallback(null);
          for (const session of contexts.sessions.splice(0)) session.dispose();
          borrowing(contexts);
          contexts.visit();
        }
      }
      forget();
      assert(counts().contexts > before.living.contexts, "They were freed at once");
      // An error that nobody catches would end the process, or fail the test.
      assert(await collectUntil(() => counts().contexts === before.living.contexts), "Contexts are left");
      assertNothingLeft(before);
    });
  });
}
