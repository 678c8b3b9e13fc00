import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import {
  connect,
  listen,
  MemoryStore,
  selfSigned,
  type Session,
  SessionCache,
  SessionCacheMode,
  type SessionStore,
  SslContext,
  type TlsFacts,
} from "../mod.ts";
import { Cached } from "./cache_server_support.ts";
import { leavingNothing } from "./counts.ts";
import { within } from "./server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { Contexts, hex, type Link, versions } from "./support.ts";

/** Which session a connection resumed, as both of its ends have it. */
function resumedBy(link: Link): { server: string | undefined; client: string | undefined } {
  const { server, client } = link;
  const idOf = (id: Uint8Array | undefined) => id && hex(id);
  return { server: idOf(server.resumedSessionId), client: idOf(client.resumedSessionId) };
}

describe("SessionCache's singleUse", () => {
  it(
    "has a TLS 1.3 session used once where nothing is said, and where it is true",
    leavingNothing(() => {
      for (const options of [{}, { singleUse: true }]) {
        using contexts = new Cached("TLSv1.3", { store: new MemoryStore(), ...options });
        const session = contexts.resumable();
        assertEquals([1, 2].map(() => contexts.visit(session).resumed), [true, false]);
      }
    }),
  );

  it(
    "lets a session be used several times where it is false, and says which one it was",
    leavingNothing(() => {
      using contexts = new Cached("TLSv1.3", { store: new MemoryStore(), singleUse: false });
      using control = contexts.link().connect();
      const offered = contexts.sessions.at(-1);
      const id = hex(control.server.sessionId);
      for (let n = 0; n < 3; n++) {
        using data = contexts.link(offered).connect();
        assertEquals(resumedBy(data), { server: id, client: hex(offered!.id) });
        data.close();
      }
      control.close();
      assertEquals(contexts.counted, { lookups: 3, hits: 3, stored: 4 });
    }),
  );

  it("is refused where it is true and the store cannot take", () => {
    const { get, put, delete: remove } = MemoryStore.prototype;
    const store = { get, put, delete: remove } satisfies SessionStore;
    assertThrows(() => new SessionCache({ store, singleUse: true }), TypeError, "it has no method take");
    new SessionCache({ store, singleUse: false });
    new SessionCache({ store });
  });
});

for (const version of versions) {
  describe(`${version}: SslConnection.resumedSessionId`, () => {
    it(
      "is undefined for a full handshake, also where a session was offered",
      leavingNothing(() => {
        const store = new MemoryStore();
        using contexts = new Cached(version, { store });
        const session: Session = contexts.resumable();
        for (const [key] of store.entries()) store.delete(key);
        using link = contexts.link(session).connect();
        assertEquals(resumedBy(link), { server: undefined, client: undefined });
        link.close();
      }),
    );

    it(
      "is the session's that a get callback found, and not that of the connection's own session",
      leavingNothing(() => {
        using contexts = new Cached(version, { store: new MemoryStore() });
        using first = contexts.link().connect();
        const offered = contexts.sessions.at(-1)!;
        using second = contexts.link(offered).connect();
        assertEquals(resumedBy(second), { server: hex(first.server.sessionId), client: hex(offered.id) });
        assertEquals(hex(second.server.sessionId) === hex(first.server.sessionId), version === "TLSv1.2");
        for (const link of [first, second]) link.close();
      }),
    );

    it(
      "is the session's that libssl found in its own cache",
      leavingNothing(() => {
        using contexts = new Contexts(version, { sessionCacheMode: SessionCacheMode.Server });
        using first = contexts.link().connect();
        const sessionId = hex(first.server.sessionId);
        using second = contexts.link(contexts.sessions.at(-1)).connect();
        // With TLS 1.3 libssl has made two, and the client offers the one that came last.
        assertEquals(resumedBy(second).server, sessionId);
        for (const link of [first, second]) link.close();
      }),
    );

    it(
      "is among the facts of a socket's TLS",
      leavingNothingLater(async () => {
        const facts: { resumed: string | undefined; own: string }[] = [];
        const sessions = new SessionCache({ store: new MemoryStore(), singleUse: false });
        const options = { ...selfSigned(), maxVersion: version, sessions, hostname: "127.0.0.1" };
        const authorize = (_certificate: unknown, tls: TlsFacts) =>
          facts.push({ resumed: tls.resumedSessionId, own: tls.sessionId }) > 0;
        const server = await listen({ ...options, authorize }, { open: (socket) => void socket.end() });
        using context = SslContext.client({ verify: "none", sessionCacheMode: SessionCacheMode.Client });
        const kept: Session[] = [];
        context.setNewSessionCallback((_connection, session) => kept.push(session) > 0);
        const visit = async () => {
          const ended = Promise.withResolvers<void>();
          const session = kept.at(-1);
          await connect({ context, hostname: "127.0.0.1", port: server.port, ...(session && { session }) }, {
            close: () => ended.resolve(),
          });
          await within(ended.promise, "the connection to end");
        };
        await visit();
        await visit();
        assertEquals(facts.map(({ resumed }) => resumed), [undefined, facts[0]!.own]);
        for (const session of kept) session.dispose();
        await within(server.close(), "the server to close");
      }),
    );
  });
}
