import { assert, assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Session, SessionCacheMode, SslConnection, type SslContext, SslOption } from "../mod.ts";
import { offerSession } from "../ssl/connection.ts";
import { derElements } from "../ssl/der.ts";
import { leavingNothing } from "./counts.ts";
import { Contexts, type Link, thrownBy, versions } from "./support.ts";

const noCipher = "it has no cipher yet, as the handshake that makes it is not over";

/** Connections in the middle of their handshake whose sessions have an id and no cipher. */
const halves: Record<string, (link: Link) => SslConnection> = {
  "a server's, after the client's hello": (link) => {
    link.half();
    return link.server;
  },
  "a client's, after the server's hello": (link) => {
    link.half();
    const header = new Uint8Array(5);
    assertEquals(link.server.pullCiphertext(header), 5);
    const hello = new Uint8Array(header[3]! << 8 | header[4]!);
    assertEquals(link.server.pullCiphertext(hello), hello.length);
    link.client.pushCiphertext(header);
    link.client.pushCiphertext(hello);
    link.client.handshake();
    return link.client;
  },
};

/** Gives a test such a session; the handshake that makes it goes on to its end after that. */
function withHalf(of: (link: Link) => SslConnection, use: (half: Session, contexts: Contexts) => void): () => void {
  return leavingNothing(() => {
    using contexts = new Contexts("TLSv1.2");
    using link = contexts.link();
    using half = of(link).session()!;
    assertEquals([half.cipher, half.id.length, half.isResumable], [undefined, 32, true]);
    use(half, contexts);
    link.connect();
    assertEquals([link.client.isResumed, half.cipher], [false, link.client.cipher]);
    link.close();
  });
}

for (const [whose, of] of Object.entries(halves)) {
  describe(`the session of a handshake that is not over, ${whose}`, () => {
    for (const copy of [true, false]) {
      for (const mode of [SessionCacheMode.Server, SessionCacheMode.Server | SessionCacheMode.NoInternal]) {
        it(
          `is a reported miss from the get callback: copy ${copy}, cache mode ${mode}`,
          withHalf(of, (half, contexts) => {
            const known = contexts.resumable();
            contexts.server.flushSessions("all");
            contexts.server.sessionCacheMode = mode;
            let asked = 0;
            contexts.server.setGetSessionCallback((_connection, _id, lookup) => {
              asked++;
              lookup.copy = copy;
              return copy ? half : half.clone();
            });
            using link = contexts.link(known);
            link.client.handshake();
            link.toServer();
            assertThrows(
              () => link.server.handshake(),
              TypeError,
              `Cannot use the session that the get session callback returned: ${noCipher}`,
            );
            link.connect();
            assertEquals([asked, link.server.isResumed], [1, false]);
            link.close();
          }),
        );
      }
    }

    it(
      "is refused where libssl would keep it or write it down",
      withHalf(of, (half, contexts) => {
        const refused: [action: string, act: () => unknown][] = [
          ["add this session to a context's cache", () => contexts.server.addSession(half)],
          ["write a session as DER", () => half.toDer()],
          ["write a session as PEM", () => half.toPem()],
        ];
        using link = contexts.link();
        refused.push(["offer this session", () => offerSession(link.client, half)]);
        refused.push(["offer this session", () => SslConnection.client(contexts.client, { session: half })]);
        for (const [action, act] of refused) assertThrows(act, TypeError, `Cannot ${action}: ${noCipher}`);
      }),
    );

    it(
      "can be looked at, shown, cloned and removed",
      withHalf(of, (half, contexts) => {
        using clone = half.clone();
        assertEquals([clone.id, clone.protocol, clone.peerCertificate === undefined], [half.id, "TLSv1.2", true]);
        assertEquals(contexts.server.removeSession(clone), false);
      }),
    );
  });
}

/** The same session without its id: its ticket is all that it can be resumed by. */
function withoutId(session: Session): Session {
  const der = session.toDer();
  const [whole] = derElements(der)!;
  const id = derElements(whole!.content)![3]!;
  assertEquals([id.tag, id.content], [4, session.id]);
  const start = id.content.byteOffset - der.byteOffset;
  const content = [...der.subarray(der.length - whole!.content.length, start - 1), 0, ...der.subarray(start + 32)];
  return Session.fromDer(Uint8Array.of(0x30, 0x82, content.length >> 8, content.length & 255, ...content));
}

/** The session that a context has in its cache, once it was removed. */
function removedFrom(context: SslContext): Session {
  let removed: Session | undefined;
  context.setRemoveSessionCallback((_context, session) => {
    removed ??= session.clone();
  });
  context.flushSessions("all");
  context.setRemoveSessionCallback(null);
  return removed!;
}

for (const version of versions) {
  describe(`${version}: a session that cannot be found in a cache`, () => {
    it(
      "is put into one so that it can: it was removed",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        const known = contexts.resumable();
        using removed = removedFrom(contexts.server);
        assertEquals([removed.isResumable, contexts.visit(known).resumed], [false, false]);
        assertEquals(contexts.server.addSession(removed), true);
        assertEquals([removed.isResumable, contexts.visit(known).resumed], [false, true]);
      }),
    );

    it(
      "is not put into one: it has a ticket and no id",
      leavingNothing(() => {
        using contexts = new Contexts(version, { options: 0 });
        using session = withoutId(contexts.resumable());
        assertEquals([session.id.length, session.isResumable], [0, true]);
        assertThrows(() => contexts.server.addSession(session), TypeError, "it has no id to be found by");
      }),
    );

    it(
      "is not put into one: its connection has sent no ticket",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 0, options: SslOption.NoTicket });
        using link = contexts.link().connect();
        using session = link.server.session()!;
        if (version === "TLSv1.2") assertEquals(contexts.server.addSession(session), true);
        else assertThrows(() => contexts.server.addSession(session), TypeError, "it has no id to be found by");
        link.close();
      }),
    );
  });

  describe(`${version}: a session for a connection that has one`, () => {
    it(
      "is refused in the remove callback of its context, whose lock libssl holds",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        const known = contexts.resumable();
        using link = contexts.link().connect();
        const errors: unknown[] = [];
        contexts.client.setRemoveSessionCallback(() => {
          errors.push(thrownBy(() => offerSession(link.client, known)));
        });
        using other = Session.fromDer(known.toDer());
        contexts.client.removeSession(other);
        assertEquals(errors.map((error) => (error as Error).message), [
          "Cannot offer another session from within its context's remove session callback: do it when the callback is over",
        ]);
        contexts.client.setRemoveSessionCallback(null);
        offerSession(link.client, known);
        assert(link.client.sessionId.length > 0);
      }),
    );
  });
}
