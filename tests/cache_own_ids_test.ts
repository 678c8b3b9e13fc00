import { assert, assertEquals, assertFalse, assertNotEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { KeyRing } from "../cache/key_ring.ts";
import { MemoryStore, SessionCache } from "../mod.ts";
import { anotherServer, overhearNewSessions } from "./cache_support.ts";
import { Cached, countedBy, secret } from "./cache_server_support.ts";
import { leavingNothing } from "./counts.ts";
import { bytes, Contexts, hex, Link, versions } from "./support.ts";

/** A store that writes down what it is asked. */
class Asked extends MemoryStore {
  readonly asked: string[] = [];

  override get(key: string): Uint8Array | undefined {
    this.asked.push(key);
    return super.get(key);
  }
  override take(key: string): Uint8Array | undefined {
    this.asked.push(key);
    return super.take(key);
  }
}

for (const version of versions) {
  describe(`${version}: SessionCache that makes its ids`, () => {
    it(
      "makes ids of 32 bytes that carry a signature, each another one",
      leavingNothing(() => {
        const secrets = [secret()];
        const ids: Uint8Array[] = [];
        using contexts = new Cached(version, { store: new MemoryStore(), secrets });
        let idContext: Uint8Array = new Uint8Array();
        overhearNewSessions(contexts.server, (_connection, session) => {
          ids.push(session.id);
          idContext = session.idContext;
        });
        for (let n = 0; n < 20; n++) contexts.visit();
        assertEquals(new Set(ids.map(hex)).size, 20);
        const ring = new KeyRing(secrets);
        for (const id of ids) {
          assertEquals(id.length, 32);
          assert(ring.keysOf(id, idContext, version));
        }
      }),
    );

    it(
      "refuses an id that it did not make without a word to the store",
      leavingNothing(() => {
        const store = new Asked();
        using contexts = new Cached(version, { store, secrets: [secret()] });
        using stranger = new Cached(version, { store: new MemoryStore() });
        for (let n = 0; n < 5; n++) assertEquals(contexts.visit(stranger.resumable()), { resumed: false });
        assertEquals(store.asked, []);
        assertEquals(contexts.counted, { foreignIds: 5, stored: 5 });
        assertEquals(contexts.told.filter((type) => type !== "stored"), Array(5).fill("foreign id"));
      }),
    );

    it(
      "does so with another farm's, and with those of its own under another id context",
      leavingNothing(() => {
        const store = new Asked();
        const secrets = [secret()];
        using contexts = new Cached(version, { store, secrets }, { sessionIdContext: "one" });
        using farm = new Cached(version, { store, secrets: [secret()] }, { sessionIdContext: "one" });
        using context = new Cached(version, { store, secrets }, { sessionIdContext: "two" });
        const session = contexts.resumable();
        for (const other of [farm, context]) {
          assertEquals(contexts.visitAt(other, session), { resumed: false });
          assertEquals(other.counted, { foreignIds: 1, stored: 1 });
        }
        assertEquals(store.asked, []);
        assertEquals(contexts.visit(session), { resumed: true });
        assertEquals(store.asked.length, 1);
      }),
    );

    it(
      "accepts those that another server with the same secrets made, in both directions",
      leavingNothing(() => {
        const store = new Asked();
        const secrets = [secret(), secret()];
        using contexts = new Cached(version, { store, secrets });
        using other = new Cached(version, { store, secrets });
        contexts.visit();
        for (const server of [other, contexts, other]) {
          assertEquals(contexts.visitAt(server, contexts.sessions.at(-1)), { resumed: true });
        }
        assertEquals([countedBy(contexts.cache).foreignIds, countedBy(other.cache).foreignIds], [undefined, undefined]);
      }),
    );

    it(
      "asks for any id where it has no secrets",
      leavingNothing(() => {
        const store = new Asked();
        using contexts = new Cached(version, { store });
        using stranger = new Cached(version, { store: new MemoryStore() });
        assertEquals(contexts.visit(stranger.resumable()), { resumed: false });
        assertEquals(store.asked.length, 1);
        assertEquals(contexts.counted, { lookups: 1, misses: 1, stored: 1 });
      }),
    );

    it(
      "makes them for every context that it serves, each with its own id context",
      leavingNothing(() => {
        const store = new Asked();
        using contexts = new Cached(version, { store, secrets: [secret()] }, { sessionIdContext: "one" });
        using second = anotherServer(version, contexts.cache, { sessionIdContext: "two" });
        const session = contexts.resumable();
        assertEquals(contexts.visitAt({ server: second }, session), { resumed: false });
        assertEquals(contexts.visitAt({ server: second }, contexts.sessions.at(-1)), { resumed: true });
        assertEquals(contexts.visit(session), { resumed: true });
        assertEquals(contexts.counted.foreignIds, 1);
      }),
    );
  });
}

describe("A server of TLS 1.2 whose clients speak TLS 1.3 as well", () => {
  const both = { minVersion: "TLSv1.2", maxVersion: "TLSv1.3" } as const;

  it(
    "is not asked to look for the random ids that they send",
    leavingNothing(() => {
      const store = new Asked();
      using contexts = new Cached("TLSv1.2", { store, secrets: [secret()] }, {}, both);
      for (let n = 0; n < 3; n++) contexts.visit();
      assertEquals(store.asked, []);
      assertEquals(contexts.counted, { foreignIds: 3, stored: 3 });
      // Their sessions resume all the same.
      assertEquals(contexts.visit(contexts.sessions.at(-1)), { resumed: true });
      assertEquals(contexts.counted, { foreignIds: 3, lookups: 1, hits: 1, stored: 3 });
    }),
  );

  it(
    "is asked for each of them without secrets",
    leavingNothing(() => {
      const store = new Asked();
      using contexts = new Cached("TLSv1.2", { store }, {}, both);
      for (let n = 0; n < 3; n++) contexts.visit();
      assertEquals(contexts.counted, { lookups: 3, misses: 3, stored: 3 });
      assertEquals(store.asked.length, 3);
    }),
  );

  it(
    "resumes also where an option, and not its versions, keeps it from TLS 1.3",
    leavingNothing(() => {
      const noTls13 = 0x20000000; // SSL_OP_NO_TLSv1_3
      using contexts = new Cached("TLSv1.2", { store: new MemoryStore(), secrets: [secret()] }, {
        ...both,
        options: noTls13,
      }, both);
      const session = contexts.resumable();
      assertEquals(session.protocol, "TLSv1.2");
      assertEquals(contexts.visit(session), { resumed: true });
    }),
  );
});

describe("A server of TLS 1.3 and 1.2", () => {
  it(
    "asks for the tickets of the one and the ids of the other, and for no random id",
    leavingNothing(() => {
      const store = new Asked();
      const both = { minVersion: "TLSv1.2", maxVersion: "TLSv1.3" } as const;
      using contexts = new Cached("TLSv1.3", { store, secrets: [secret()] }, both);
      using old = new Contexts("TLSv1.2");
      const visit = (version: "old" | "new") => {
        const client = version === "old" ? old : contexts;
        const session = client.sessions.at(-1);
        using link = new Link({ server: contexts.server, client: client.client }, session, "localhost");
        link.connect();
        const { isResumed, protocol } = link.server;
        link.close();
        return [isResumed, protocol];
      };
      assertEquals([visit("old"), visit("new")], [[false, "TLSv1.2"], [false, "TLSv1.3"]]);
      assertEquals(store.asked, []);
      assertEquals([visit("old"), visit("new")], [[true, "TLSv1.2"], [true, "TLSv1.3"]]);
      assertEquals(contexts.counted, { lookups: 2, hits: 2, stored: 3 });
    }),
  );
});

describe("A signed id", () => {
  const secrets = [secret(), secret()];
  const ring = new KeyRing(secrets);
  const context = bytes("context");
  const id = ring.makeId(secret(), context, "TLSv1.3");

  it("is known with any byte of it as it was made, and with none changed", () => {
    assert(ring.keysOf(id, context, "TLSv1.3"));
    for (let position = 0; position < id.length; position++) {
      const changed = id.slice();
      changed[position]! ^= 1 << position % 8;
      assertEquals(ring.keysOf(changed, context, "TLSv1.3"), undefined, `byte ${position}`);
    }
    for (const length of [0, 1, 16, 31]) {
      assertEquals(ring.keysOf(id.subarray(0, length), context, "TLSv1.3"), undefined);
    }
    assertEquals(ring.keysOf(new Uint8Array([...id, 0]), context, "TLSv1.3"), undefined);
  });

  it("is known by the secret that it was made with, wherever that stands", () => {
    const reversed = new KeyRing(secrets.toReversed());
    assertEquals(hex(reversed.keysOf(id, context, "TLSv1.3")!.id), hex(ring.current.id));
    assertNotEquals(hex(reversed.current.id), hex(ring.current.id));
    assertEquals(new KeyRing([secrets[1]!]).keysOf(id, context, "TLSv1.3"), undefined);
  });

  it("is known in its own context alone", () => {
    for (const other of ["contexu", "contex", "context ", ""]) assertFalse(ring.keysOf(id, bytes(other), "TLSv1.3"));
  });

  it("is known for its own protocol alone", () => {
    assertFalse(ring.keysOf(id, context, "TLSv1.2"));
  });

  it("is of 16 random bytes, whatever is given", () => {
    const random = secret();
    assertEquals(hex(ring.makeId(random, context, "TLSv1.3").subarray(0, 16)), hex(random.subarray(0, 16)));
    assertEquals(ring.makeId(random, context, "TLSv1.3").length, 32);
  });
});

describe("SessionCache without secrets", () => {
  it(
    "leaves the making of ids to libssl, and to the application",
    leavingNothing(() => {
      const contexts = new Contexts("TLSv1.2");
      const made: string[] = [];
      contexts.server.setGenerateSessionIdCallback(() => {
        const id = secret();
        made.push(hex(id));
        return id;
      });
      new SessionCache({ store: new MemoryStore() }).attach(contexts.server);
      const session = contexts.resumable();
      assertEquals(hex(session.id), made[0]);
      assertEquals(contexts.visit(session), { resumed: true });
      contexts[Symbol.dispose]();
    }),
  );
});
