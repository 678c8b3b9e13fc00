import { assertEquals, assertGreater } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { type RemovalReason, Session, SessionCacheMode, type SslContextOptions } from "../mod.ts";
import { leavingNothing } from "./counts.ts";
import { aged, Contexts, hex, thrownBy, type Version, versions } from "./support.ts";

/** A server that keeps its sessions in libssl's cache, and why they are removed. */
class Recorded extends Contexts {
  /** The server's sessions, oldest first. */
  readonly made: Session[] = [];
  /** What was removed, and why: `[index in made, reason]`. */
  readonly removed: [number, RemovalReason][] = [];

  constructor(version: Version, server: SslContextOptions = {}) {
    super(version, { numTickets: 1, ...server });
    this.server.setNewSessionCallback((_connection, session) => void this.made.push(session.clone()));
    this.server.setRemoveSessionCallback((_context, session, reason) => {
      const id = hex(session.id);
      this.removed.push([this.made.findIndex((made) => hex(made.id) === id), reason]);
    });
  }

  /** Makes this many sessions. */
  make(count: number): this {
    while (this.made.length < count) this.visit();
    assertEquals(this.removed, []);
    return this;
  }

  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    for (const session of this.made) session.dispose();
  }
}

/** What no connection can read. */
const noRecord = new Uint8Array(64);

for (const version of versions) {
  describe(`${version}: a session is removed`, () => {
    it(
      "because it is expired: every 255th handshake looks for such",
      leavingNothing(() => {
        using contexts = new Recorded(version).make(2);
        aged(contexts.made[0]!, 10_000);
        for (let n = contexts.made.length; n < 260; n++) contexts.visit();
        assertEquals(contexts.removed, [[0, "expired"]]);
      }),
    );

    it(
      "because its connection was freed without a goodbye",
      leavingNothing(() => {
        using contexts = new Recorded(version).make(1);
        const link = contexts.link().connect();
        link.server.dispose();
        link.dispose();
        assertEquals(contexts.removed, [[1, "unclean close"]]);
      }),
    );

    it(
      "because its connection was freed so in a callback of its own, and of another's",
      leavingNothing(() => {
        using contexts = new Recorded(version).make(1);
        const own = contexts.link().connect();
        const others = contexts.link().connect();
        contexts.server.setClientHelloCallback(() => {
          others.dispose();
          return "continue";
        });
        contexts.visit();
        contexts.server.setClientHelloCallback(null);
        assertEquals(contexts.removed, [[2, "unclean close"]]);
        contexts.server.setNewSessionCallback((connection) => {
          own.dispose();
          connection.dispose();
        });
        using link = contexts.link();
        thrownBy(() => link.connect());
        // The one in its handshake was told of and then freed, so that it is no session of `made`.
        assertEquals(contexts.removed.slice(1).map(([, reason]) => reason), ["unclean close", "unclean close"]);
      }),
    );

    it(
      "because its connection received a fatal alert",
      leavingNothing(() => {
        using contexts = new Recorded(version).make(1);
        using link = contexts.link().connect();
        link.client.pushCiphertext(noRecord);
        thrownBy(() => link.client.read(new Uint8Array(1)));
        assertGreater(link.toServer(), 0);
        thrownBy(() => link.server.read(new Uint8Array(1)));
        assertEquals(contexts.removed, [[1, "fatal alert"]]);
      }),
    );

    it(
      "because its connection sent a fatal alert",
      leavingNothing(() => {
        using contexts = new Recorded(version).make(1);
        using link = contexts.link().connect();
        link.server.pushCiphertext(noRecord);
        thrownBy(() => link.server.read(new Uint8Array(1)));
        assertEquals(contexts.removed, [[1, "fatal alert"]]);
        // It is no unclean close besides: it has been removed.
        link.dispose();
        assertEquals(contexts.removed.map(([, reason]) => reason).includes("unclean close"), false);
      }),
    );

    it(
      "because the cache was full: by another's handshake",
      leavingNothing(() => {
        using contexts = new Recorded(version, { sessionCacheSize: 1 }).make(1);
        contexts.visit();
        contexts.visit();
        assertEquals(contexts.removed, [[0, "evicted"], [1, "evicted"]]);
      }),
    );

    it(
      "because the cache was full: by one that was added",
      leavingNothing(() => {
        using contexts = new Recorded(version, { sessionCacheSize: 1 }).make(1);
        using other = new Recorded(version).make(1);
        // A copy: libssl's lists take a session into one cache at a time.
        using copy = Session.fromDer(other.made[0]!.toDer());
        assertEquals(contexts.server.addSession(copy), true);
        assertEquals(contexts.removed, [[0, "evicted"]]);
      }),
    );

    it(
      "because the cache was flushed, of those that have expired",
      leavingNothing(() => {
        using contexts = new Recorded(version).make(3);
        aged(contexts.made[1]!, 10_000);
        contexts.server.flushSessions();
        assertEquals(contexts.removed, [[1, "flushed"]]);
      }),
    );

    it(
      "because the cache was flushed, of all",
      leavingNothing(() => {
        using contexts = new Recorded(version).make(3);
        contexts.server.flushSessions("all");
        assertEquals(contexts.removed.toSorted(), [[0, "flushed"], [1, "flushed"], [2, "flushed"]]);
      }),
    );

    it(
      "because the context was freed: when it is disposed",
      leavingNothing(() => {
        using contexts = new Recorded(version).make(2);
        contexts.server.dispose();
        assertEquals(contexts.removed.toSorted(), [[0, "context freed"], [1, "context freed"]]);
      }),
    );

    it(
      "because the context was freed: when its last connection ends, whose own session that ends first",
      leavingNothing(() => {
        using contexts = new Recorded(version).make(1);
        const link = contexts.link().connect();
        contexts.server.dispose();
        assertEquals(contexts.removed, []);
        link.server.dispose();
        assertEquals(contexts.removed, [[1, "unclean close"], [0, "context freed"]]);
        link.dispose();
      }),
    );

    it(
      "because the application said so",
      leavingNothing(() => {
        using contexts = new Recorded(version).make(2);
        contexts.server.removeSession(contexts.made[0]!);
        assertEquals(contexts.removed, [[0, "application"]]);
      }),
    );

    it(
      "because the application said so in a callback",
      leavingNothing(() => {
        using contexts = new Recorded(version).make(1);
        contexts.server.setClientHelloCallback(() => {
          contexts.server.removeSession(contexts.made[0]!);
          return "continue";
        });
        contexts.visit();
        assertEquals(contexts.removed, [[0, "application"]]);
      }),
    );

    it(
      "for nothing that it did: a goodbye leaves it where it is",
      leavingNothing(() => {
        using contexts = new Recorded(version).make(3);
        const link = contexts.link(contexts.sessions[0]).connect();
        assertEquals(link.server.isResumed, true);
        link.close();
        assertEquals(contexts.removed.filter(([index]) => index !== 0), []);
      }),
    );
  });

  describe(`${version}: a session outside of the internal cache is removed`, () => {
    const options = { sessionCacheMode: SessionCacheMode.Server | SessionCacheMode.NoInternal };

    it(
      "because its connection was not shut down, failed, or because the application said so",
      leavingNothing(() => {
        using contexts = new Recorded(version, options).make(1);
        contexts.link().connect().dispose();
        assertEquals(contexts.removed.splice(0), [[1, "unclean close"]]);
        using link = contexts.link().connect();
        link.server.pushCiphertext(noRecord);
        thrownBy(() => link.server.read(new Uint8Array(1)));
        assertEquals(contexts.removed.splice(0), [[2, "fatal alert"]]);
        contexts.server.removeSession(contexts.made[0]!);
        assertEquals(contexts.removed.splice(0), [[0, "application"]]);
        contexts.server.flushSessions("all");
        contexts.server.dispose();
        assertEquals(contexts.removed, []);
      }),
    );
  });
}

describe("TLSv1.2: a session is removed", () => {
  it(
    "because it is expired: a client offers it",
    leavingNothing(() => {
      using contexts = new Recorded("TLSv1.2").make(2);
      aged(contexts.made[0]!, 10_000);
      assertEquals(contexts.visit(contexts.sessions[0]), { resumed: false });
      assertEquals(contexts.removed, [[0, "expired"]]);
    }),
  );
});
