import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { inspect } from "node:util";
import {
  type ClientHello,
  ReleasedError,
  Session,
  SessionCacheMode,
  SessionReleasedError,
  SslConnection,
  SslContext,
} from "../mod.ts";
import { leavingNothing } from "./counts.ts";
import { bytes, Contexts, thrownBy, versions } from "./support.ts";

/** What may be asked of an object that has ended: how it stands, and to end it again. */
const harmless = [
  ...["constructor", "dispose", "isReleased", "isEstablished", "isHeld", "sessionIdContext", "controlMessages"],
  ...["serverNames", "wake"],
];

/** Parameters for the methods, and values for the setters, that are good while the object lives. */
const parameters: Record<string, (session: Session) => unknown[]> = {
  pushCiphertext: () => [new Uint8Array(4)],
  pullCiphertext: () => [new Uint8Array(4)],
  read: () => [new Uint8Array(4)],
  write: () => [new Uint8Array(4)],
  addSession: (session) => [session],
  removeSession: (session) => [session],
  setSessionIdContext: () => ["context"],
  setOptions: () => [0],
  clearOptions: () => [0],
};

/** Every public way to use an object, from its prototype. */
function uses(prototype: object, session: Session): Map<string, (object: never) => unknown> {
  const uses = new Map<string, (object: never) => unknown>();
  for (const [name, { get, set, value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    if (harmless.includes(name)) continue;
    if (get) uses.set(`get ${name}`, (object) => get.call(object));
    if (set) uses.set(`set ${name}`, (object) => set.call(object, name === "created" ? new Date() : 1));
    if (typeof value === "function") {
      uses.set(name, (object) => value.call(object, ...(parameters[name]?.(session) ?? [null])));
    }
  }
  return uses;
}

/** Asserts that each use of an object that has ended throws, and says what ended it. */
function assertEnded(object: Session | SslConnection | SslContext, what: string, by: string): void {
  using contexts = new Contexts("TLSv1.2");
  using session = Session.fromDer(contexts.resumable().toDer());
  const all = uses(Object.getPrototypeOf(object), session);
  assert(all.size > 10);
  for (const [name, use] of all) {
    const error = thrownBy(() => use(object as never));
    assertInstanceOf(error, ReleasedError, `${name}: ${error}`);
    assertEquals(error instanceof SessionReleasedError, object instanceof Session);
    assertEquals((error as Error).message, `Cannot use this ${what}: it ended with ${by}`, name);
  }
  // None of these throws, any number of times.
  object.dispose();
  object[Symbol.dispose]();
  inspect(object);
}

describe("after dispose(), every use throws", () => {
  it(
    "of a Session",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.3");
      const session = contexts.resumable();
      session.dispose();
      assertEnded(session, "session", "dispose()");
      assertEquals(session.isReleased, true);
      assertEquals(inspect(session), "Session { released by dispose() }");
    }),
  );

  it(
    "of an SslContext",
    leavingNothing(() => {
      const context = SslContext.server();
      context.dispose();
      assertEnded(context, "context", "dispose()");
    }),
  );

  it(
    "of an SslConnection",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.3");
      const link = contexts.link().connect();
      link.dispose();
      assertEnded(link.server, "connection", "dispose()");
      assertEnded(link.client, "connection", "dispose()");
      assertEquals(link.server.isReleased, true);
    }),
  );

  it(
    "but an SslConnection says how it stands, wakes nobody, and takes the end of a hold",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.3", { sessionIdContext: "released" });
      const { server, client } = contexts.link().connect();
      const release = server.holdCiphertext();
      let woken = 0;
      server.onWake = () => void woken++;
      server.dispose();
      client.dispose();
      assertEquals(server.isHeld, true);
      release();
      server.wake();
      assertEquals(server.isHeld, false);
      assertEquals(woken, 0);
      assertEquals(server.sessionIdContext, bytes("released"));
    }),
  );

  it(
    "of what was given to another object",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.3");
      const session = contexts.resumable();
      session.dispose();
      const context = SslContext.client();
      context.dispose();
      const ended = "it ended with dispose()";
      for (
        const use of [
          () => SslConnection.client(contexts.client, { session }),
          () => SslConnection.client(context),
          () => contexts.server.addSession(session),
          () => contexts.server.removeSession(session),
        ]
      ) {
        const error = thrownBy(use);
        assertInstanceOf(error, ReleasedError);
        assert((error as Error).message.endsWith(ended));
      }
    }),
  );
});

for (const version of versions) {
  describe(`${version}: after a loan, every use throws`, () => {
    it(
      "of a Session lent to the new callback",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        let lent: Session | undefined;
        contexts.server.setNewSessionCallback((_connection, session) => {
          lent = session;
        });
        contexts.visit();
        assertEnded(lent!, "session", "the return of the new session callback, which did not keep it");
      }),
    );

    it(
      "of a Session lent to the remove callback",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        contexts.visit();
        let lent: Session | undefined;
        contexts.server.setRemoveSessionCallback((_context, session) => {
          lent = session;
        });
        contexts.server.flushSessions("all");
        assertEnded(lent!, "session", "the return of the remove session callback that it was lent to");
      }),
    );

    it(
      "of a Session that was given away",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        contexts.server.sessionCacheMode = SessionCacheMode.Server | SessionCacheMode.NoInternal;
        const kept: Session[] = [];
        contexts.server.setNewSessionCallback((_connection, session) => kept.push(session) > 0);
        const session = contexts.resumable();
        contexts.server.setNewSessionCallback(null);
        contexts.server.setGetSessionCallback((_connection, _id, lookup) => {
          lookup.copy = false;
          return kept[0];
        });
        assertEquals(contexts.visit(session), { resumed: true });
        assertEnded(kept[0]!, "session", "being given to libssl by the get session callback");
      }),
    );

    it(
      "of a Session that ended its loan early",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        let lent: Session | undefined;
        contexts.server.setNewSessionCallback((_connection, session) => {
          lent = session;
          session.dispose();
          assertEnded(session, "session", "dispose()");
        });
        contexts.visit();
        assertEnded(lent!, "session", "dispose()");
      }),
    );

    it(
      "of a Session that was kept and then disposed",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        const kept: Session[] = [];
        contexts.server.setNewSessionCallback((_connection, session) => kept.push(session) > 0);
        contexts.visit();
        assertEquals(kept[0]!.protocol, version);
        kept[0]!.dispose();
        assertEnded(kept[0]!, "session", "dispose()");
      }),
    );

    it(
      "of a ClientHello",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        let lent: ClientHello | undefined;
        contexts.server.setClientHelloCallback((_connection, hello) => {
          lent = hello;
          assertEquals(hello.extension(0)!.length, 14); // server_name: localhost and five bytes around it
          assertEquals(hello.extension(4242), undefined);
          // With TLS 1.3 for a middlebox's sake, with TLS 1.2 alone for a session, of which there is none.
          assertEquals(hello.sessionId.length, version === "TLSv1.3" ? 32 : 0);
          return "continue";
        });
        contexts.visit();
        for (const use of [() => lent!.sessionId, () => lent!.extension(0)]) {
          const error = thrownBy(use);
          assertInstanceOf(error, TypeError);
          assertEquals((error as Error).message, "Cannot use a ClientHello after its callback has returned");
        }
      }),
    );
  });
}
