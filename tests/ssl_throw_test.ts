import { assert, assertEquals, assertInstanceOf, assertStrictEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { OpenSslError, Session, SessionCacheMode, SslContext } from "../mod.ts";
import { library } from "../ssl/library.ts";
import { leavingNothing } from "./counts.ts";
import { bytes, Contexts, type Link, thrownBy, versions } from "./support.ts";

/** Asserts that plaintext goes both ways. */
function assertTalking(link: Link): void {
  const buffer = new Uint8Array(16);
  link.client.write(bytes("ping"));
  link.toServer();
  assertEquals(link.server.read(buffer), 4);
  link.server.write(bytes("pong!"));
  link.toClient();
  assertEquals(link.client.read(buffer), 5);
}

/** Shakes hands to the end and answers what the calls threw on the way. */
function connectCatching(link: Link): unknown[] {
  const thrown: unknown[] = [];
  const attempt = (act: () => unknown) => {
    try {
      act();
    } catch (error) {
      thrown.push(error);
    }
  };
  for (let turn = 0; turn < 6; turn++) {
    attempt(() => link.client.handshake());
    link.toServer();
    attempt(() => link.server.handshake());
    link.toClient();
  }
  attempt(() => link.client.read(new Uint8Array(1)));
  return thrown;
}

for (const version of versions) {
  describe(`${version}: what a callback throws`, () => {
    it(
      "new: comes out of the handshake, which completes; the session is not kept",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        using link = contexts.link();
        const error = new Error("from the new callback");
        let lent: Session | undefined;
        contexts.server.setNewSessionCallback((_connection, session) => {
          lent = session;
          throw error;
        });
        const thrown = connectCatching(link);
        assertEquals(thrown.length, 1);
        assertStrictEquals(thrown[0], error);
        assertEquals(lent!.isReleased, true);
        assertEquals([link.server.isEstablished, link.client.isEstablished], [true, true]);
        assertTalking(link);
        link.close();
      }),
    );

    it(
      "new at a client: comes out of the call that brought the session",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        using link = contexts.link();
        const error = new Error("from the client's new callback");
        contexts.client.setNewSessionCallback(() => {
          throw error;
        });
        const thrown = connectCatching(link);
        assertEquals(thrown.length, 1);
        assertStrictEquals(thrown[0], error);
        assertTalking(link);
        link.close();
      }),
    );

    it(
      "get: comes out of the handshake, which is a full one",
      leavingNothing(() => {
        using contexts = new Contexts(version, {
          sessionCacheMode: SessionCacheMode.Server | SessionCacheMode.NoInternal,
        });
        const error = new Error("from the get callback");
        contexts.server.setGetSessionCallback(() => {
          throw error;
        });
        using link = contexts.link(contexts.resumable());
        const thrown = connectCatching(link);
        assertEquals(thrown.length, 1);
        assertStrictEquals(thrown[0], error);
        assertEquals(link.client.isResumed, false);
        assertTalking(link);
        link.close();
      }),
    );

    it(
      "client hello: comes out of the handshake, which is refused",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        using link = contexts.link();
        const error = new Error("from the client hello callback");
        contexts.server.setClientHelloCallback(() => {
          throw error;
        });
        assertStrictEquals(thrownBy(() => link.half()), error);
        assert(link.toClient() > 0, "There is no alert");
        assertInstanceOf(thrownBy(() => link.client.handshake()), OpenSslError);
        assertInstanceOf(thrownBy(() => link.server.handshake()), OpenSslError);
      }),
    );

    it(
      "client hello: leaves no reason behind that the next failure would be blamed on",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        using link = contexts.link();
        contexts.server.setClientHelloCallback(() => {
          throw new Error("refused");
        });
        thrownBy(() => link.half());
        assertEquals(library().crypto.ERR_peek_error(), 0);
        const error = thrownBy(() => Session.fromPem("no session")) as OpenSslError;
        assertEquals(error.errors.map(({ library }) => library), ["PEM routines"]);
      }),
    );

    it(
      "keylog: comes out of the handshake, which completes; several are an AggregateError",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        using link = contexts.link();
        let calls = 0;
        contexts.server.setKeylogCallback(() => {
          throw new Error(`from keylog call ${++calls}`);
        });
        const thrown = connectCatching(link).flatMap((error) =>
          error instanceof AggregateError ? error.errors : [error]
        );
        assert(calls > 0);
        assertEquals(
          thrown.map((error) => (error as Error).message),
          Array.from({ length: calls }, (_, n) => `from keylog call ${n + 1}`),
        );
        assertTalking(link);
        link.close();
      }),
    );

    it(
      "remove: comes out of removeSession() and flushSessions(), which have done their work",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        const kept: Session[] = [];
        contexts.server.setNewSessionCallback((_connection, session) => kept.push(session) > 0);
        for (let n = 0; n < 4; n++) contexts.visit();
        contexts.server.setRemoveSessionCallback((_context, session) => {
          throw new Error(String(kept.findIndex(({ id }) => id.join() === session.id.join())));
        });
        assertEquals((thrownBy(() => contexts.server.removeSession(kept[2]!)) as Error).message, "2");
        assertEquals(contexts.server.counters().number, 3);
        const error = thrownBy(() => contexts.server.flushSessions("all"));
        assertInstanceOf(error, AggregateError);
        assertEquals((error as AggregateError).message, "Several callbacks threw");
        assertEquals((error as AggregateError).errors.map(({ message }) => message).toSorted(), ["0", "1", "3"]);
        assertEquals(contexts.server.counters().number, 0);
        for (const session of kept) session.dispose();
      }),
    );

    it(
      "remove: comes out of a connection's dispose(), which has ended it",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        const link = contexts.link().connect();
        const error = new Error("from the remove callback");
        contexts.server.setRemoveSessionCallback(() => {
          throw error;
        });
        assertStrictEquals(thrownBy(() => link.server.dispose()), error);
        link.dispose();
      }),
    );

    it(
      "remove: comes out of a context's dispose(), which has ended it",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        contexts.visit();
        contexts.visit();
        contexts.server.setRemoveSessionCallback(() => {
          throw new Error("from the remove callback");
        });
        const error = thrownBy(() => contexts.server.dispose());
        assertInstanceOf(error, AggregateError);
        assertEquals((error as AggregateError).errors.length, 2);
      }),
    );

    it(
      "costs no plaintext: what the call had read is returned by the next reads",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        using link = contexts.link();
        // The server's first read brings the handshake's end, with it the callback, and data that came along.
        link.client.handshake();
        link.toServer();
        link.server.handshake();
        link.toClient();
        contexts.server.setNewSessionCallback(() => {
          throw new Error("from the new callback");
        });
        contexts.server.setKeylogCallback(() => {
          throw new Error("from the keylog callback");
        });
        for (let turn = 0; !link.client.isEstablished && turn < 4; turn++) {
          link.client.handshake();
          link.toServer();
          thrownBy(() => version === "TLSv1.2" && link.server.handshake());
          link.toClient();
        }
        link.client.write(bytes("hello, server"));
        link.toServer();
        const buffer = new Uint8Array(5);
        let text = "";
        const thrown: unknown[] = [];
        for (let turn = 0; turn < 6; turn++) {
          try {
            text += new TextDecoder().decode(buffer.subarray(0, link.server.read(buffer) ?? 0));
          } catch (error) {
            thrown.push(error);
          }
        }
        assertEquals(text, "hello, server");
        assertEquals(thrown.length, version === "TLSv1.2" ? 0 : 1);
        link.close();
      }),
    );

    it(
      "in a nested call: comes out of that call alone",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        using other = new Contexts(version, { numTickets: 1 });
        other.visit();
        other.server.setRemoveSessionCallback(() => {
          throw new Error("inner");
        });
        const inner: unknown[] = [];
        let keylogs = 0;
        contexts.server.setKeylogCallback(() => {
          if (++keylogs === 1) throw new Error("outer");
        });
        contexts.server.setNewSessionCallback(() => {
          inner.push(thrownBy(() => other.server.flushSessions("all")));
        });
        using link = contexts.link();
        const thrown = connectCatching(link);
        assertEquals(inner.map((error) => (error as Error).message), ["inner"]);
        assertEquals(thrown.map((error) => (error as Error).message), ["outer"]);
      }),
    );

    it(
      "in a nested call that the callback does not catch: goes on to the outer call",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        using other = new Contexts(version, { numTickets: 1 });
        other.visit();
        const error = new Error("inner");
        other.server.setRemoveSessionCallback(() => {
          throw error;
        });
        contexts.server.setNewSessionCallback(() => other.server.flushSessions("all") as undefined);
        using link = contexts.link();
        const thrown = connectCatching(link);
        assertEquals(thrown.length, 1);
        assertStrictEquals(thrown[0], error);
        assertTalking(link);
        link.close();
      }),
    );
  });
}

describe("what a callback throws that is no Error", () => {
  for (const value of [undefined, null, 0, "text", Symbol.iterator]) {
    it(
      String(value),
      leavingNothing(() => {
        using context = SslContext.server();
        using contexts = new Contexts("TLSv1.2");
        const session = contexts.resumable();
        context.setRemoveSessionCallback(() => {
          throw value;
        });
        assertStrictEquals(thrownBy(() => context.removeSession(session)), value);
      }),
    );
  }
});
