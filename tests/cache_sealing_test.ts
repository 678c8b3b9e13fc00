import { assert, assertEquals, assertFalse, assertMatch, assertNotEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Buffer } from "node:buffer";
import { inspect } from "node:util";
import { open, seal, SealError, wrap } from "../cache/envelope.ts";
import { KeyRing } from "../cache/key_ring.ts";
import { MemoryStore, SessionCache, type SessionStore, SqliteStore } from "../mod.ts";
import { overhearNewSessions } from "./cache_support.ts";
import { Cached, secret } from "./cache_server_support.ts";
import { leavingNothing } from "./counts.ts";
import { masterKey } from "./psk_offer.ts";
import { TemporaryFolder } from "./server_support.ts";
import { bytes, hex, type Version, versions } from "./support.ts";

/** A store that keeps the first value, and answers every lookup with what the test makes of it. */
class Changing implements SessionStore {
  readonly puts: { key: string; value: Uint8Array }[] = [];
  /** What lookups answer. */
  answer: Uint8Array | undefined;

  get(): Uint8Array | undefined {
    return this.answer;
  }
  take(): Uint8Array | undefined {
    return this.answer;
  }
  put(key: string, value: Uint8Array): void {
    this.puts.push({ key, value: value.slice() });
  }
  delete(): void {}
}

/** What a server knows of the sessions it makes, in clear. */
function overhear(contexts: Cached): { id: Uint8Array; der: Uint8Array; masterKey: Uint8Array }[] {
  const made: { id: Uint8Array; der: Uint8Array; masterKey: Uint8Array }[] = [];
  overhearNewSessions(contexts.server, (_connection, session) => {
    made.push({ id: session.id, der: session.toDer(), masterKey: masterKey(session) });
  });
  return made;
}

/** Whether 16 bytes in a row are in both. */
function shareARun(one: Uint8Array, other: Uint8Array): boolean {
  const where = Buffer.from(one);
  for (let at = 0; at + 16 <= other.length; at++) if (where.includes(other.subarray(at, at + 16))) return true;
  return false;
}

for (const version of versions) {
  describe(`${version}: SessionCache with secrets`, () => {
    it(
      "gives the store neither the id, nor the server's name, nor any part of the session",
      leavingNothing(() => {
        const store = new Changing();
        using contexts = new Cached(version, { store, secrets: [secret()] });
        const made = overhear(contexts);
        contexts.visit();
        const { id, der, masterKey } = made[0]!;
        const { key, value } = store.puts.at(-1)!;
        assertEquals(key.length, 64);
        assertNotEquals(key, hex(id));
        assert(masterKey.length >= 32);
        // The master key is in the session, so that the absence of both is one.
        assert(shareARun(der, masterKey));
        for (const stored of [value, bytes(key), Buffer.from(key, "hex")]) {
          assertFalse(shareARun(stored, der));
          assertFalse(shareARun(stored, id));
          assertFalse(shareARun(stored, bytes(hex(id))));
          for (const part of [bytes("localhost"), id.subarray(0, 8), id.subarray(16, 24), masterKey.subarray(0, 8)]) {
            assertFalse(Buffer.from(stored).includes(part));
          }
        }
      }),
    );

    it(
      "gives it all of that without: the same search finds it",
      leavingNothing(() => {
        const store = new Changing();
        using contexts = new Cached(version, { store });
        const made = overhear(contexts);
        contexts.visit();
        const { id, der } = made[0]!;
        const { key, value } = store.puts[0]!;
        assertEquals(key, hex(id));
        assert(shareARun(value, der));
        assert(Buffer.from(value).includes("localhost"));
      }),
    );

    it(
      "makes a full handshake for a value with any byte of it changed, and counts it",
      leavingNothing(() => {
        const store = new Changing();
        using contexts = new Cached(version, { store, secrets: [secret()] });
        const session = contexts.resumable();
        const { value } = store.puts[0]!;
        for (let position = 0; position < value.length; position++) {
          store.answer = value.slice();
          store.answer[position]! ^= 1 << position % 8;
          assertEquals(contexts.visit(session), { resumed: false }, `byte ${position}`);
          assertEquals(contexts.cache.stats().notOpened, position + 1);
        }
        assert(value.length > 100);
        assertEquals(contexts.events.filter(({ type }) => type === "refused").length, value.length);
        store.answer = value;
        assertEquals(contexts.visit(session), { resumed: true });
      }),
    );

    it(
      "makes a full handshake for every truncation of a value, and for more than it",
      leavingNothing(() => {
        const store = new Changing();
        using contexts = new Cached(version, { store, secrets: [secret()] });
        const session = contexts.resumable();
        const { value } = store.puts[0]!;
        for (let length = 0; length < value.length; length++) {
          store.answer = value.slice(0, length);
          assertEquals(contexts.visit(session), { resumed: false }, `${length} bytes`);
          assertEquals(contexts.cache.stats().notOpened, length + 1);
        }
        store.answer = Buffer.concat([value, new Uint8Array(1)]);
        assertEquals(contexts.visit(session), { resumed: false });
      }),
    );

    /** The values that are sealed, and not for this session of this farm. */
    const others: Record<string, (contexts: Cached, store: Changing) => Uint8Array> = {
      "another session's": (contexts, store) => {
        contexts.visit();
        return store.puts.at(-1)!.value;
      },
      "another farm's": () => {
        const store = new Changing();
        using other = new Cached(version, { store, secrets: [secret()] });
        other.visit();
        return store.puts[0]!.value;
      },
      "not sealed": (contexts) => {
        const made = overhear(contexts);
        contexts.visit();
        return wrap({ der: made[0]!.der, firstHandshake: Date.now() });
      },
    };
    for (const [what, other] of Object.entries(others)) {
      it(
        `makes a full handshake for a value that is ${what}, and counts it as no error of the store's`,
        leavingNothing(() => {
          const store = new Changing();
          using contexts = new Cached(version, { store, secrets: [secret()] });
          const session = contexts.resumable();
          store.answer = other(contexts, store);
          assertEquals(contexts.visit(session), { resumed: false });
          const { notOpened, errors, hits } = contexts.cache.stats();
          assertEquals({ notOpened, errors, hits }, { notOpened: 1, errors: 0, hits: 1 });
        }),
      );
    }

    it(
      "makes a full handshake for a sealed value where it has no secrets itself",
      leavingNothing(() => {
        const store = new Changing();
        using sealing = new Cached(version, { store, secrets: [secret()] });
        sealing.visit();
        using contexts = new Cached(version, { store });
        const session = contexts.resumable();
        store.answer = store.puts[0]!.value;
        assertEquals(contexts.visit(session), { resumed: false });
        assertEquals([contexts.cache.stats().notOpened, contexts.errors.length], [1, 0]);
      }),
    );

    it(
      "takes a secret as text or as its bytes",
      leavingNothing(() => {
        const store = new MemoryStore();
        using one = new Cached(version, { store, secrets: ["sixteen bytes ok"] });
        using other = new Cached(version, { store, secrets: [bytes("sixteen bytes ok")] });
        assertEquals(one.visitAt(other, one.resumable()), { resumed: true });
      }),
    );
  });

  describe(`${version}: the rotation of secrets`, () => {
    for (const sessions of ["each made at the step before", "each made at the step itself"]) {
      it(
        `in three steps, one server after the other, costs no full handshake: ${sessions}`,
        leavingNothing(() => rotate(version, sessions.endsWith("before"))),
      );
    }
  });
}

/** Two servers whose secrets are changed one after the other, and a client that visits both after each change. */
function rotate(version: Version, before: boolean): void {
  const store = new MemoryStore();
  const [old, young] = [secret(), secret()];
  const servers = [0, 1].map(() => new Cached(version, { store, secrets: [old] }));
  const caches = servers.map(({ cache }) => cache);
  const client = servers[0]!;
  const visit = (index: number, session = client.sessions.at(-1)) => client.visitAt(servers[index]!, session).resumed;
  client.visit();
  for (const secrets of [[old, young], [young, old], [young]]) {
    for (const [index, other] of [[0, 1], [1, 0]] as const) {
      // The server is the same, and its connections live on: what changes is the cache.
      const cache = new SessionCache({ store, secrets });
      caches[index]!.detach(servers[index]!.server);
      cache.attach(servers[index]!.server);
      caches[index] = cache;
      if (before) {
        assertEquals([visit(index), visit(other), visit(index)], [true, true, true]);
      } else {
        visit(index, undefined);
        assertEquals([visit(other), visit(index), visit(other)], [true, true, true]);
      }
    }
    // What was made while the secrets changed is used up or, where none is, replaced before the next step.
    client.visitAt(servers[0]!);
  }
  for (const server of servers) server[Symbol.dispose]();
}

describe("SessionCache's secrets", () => {
  it("have 16 bytes at least", () => {
    for (const short of ["fifteen bytes..", new Uint8Array(15), "", new Uint8Array()]) {
      const error = assertThrows(
        () => new SessionCache({ store: new MemoryStore(), secrets: [secret(), short] }),
        RangeError,
      );
      assertEquals(
        error.message,
        `Cannot use a secret of ${short.length} bytes: it takes 16 at least, 32 random ones at best`,
      );
    }
    // Of bytes, not of letters.
    new SessionCache({ store: new MemoryStore(), secrets: ["äöüäöüäö"] });
    new SessionCache({ store: new MemoryStore(), secrets: [new Uint8Array(16)] });
  });

  it("are one at least", () => {
    assertThrows(() => new SessionCache({ store: new MemoryStore(), secrets: [] }), RangeError, "secrets is empty");
    // An environment variable that is not set, say.
    const unset = [undefined] as never;
    const error = assertThrows(() => new SessionCache({ store: new MemoryStore(), secrets: unset }), TypeError);
    assertMatch(error.message, /give an array of text or bytes.*one is undefined: is its variable set\?/);
  });

  it("are not shown", () => {
    const cache = new SessionCache({ store: new MemoryStore(), secrets: ["a secret of many bytes"] });
    assertFalse(inspect(cache, { depth: 20, showHidden: true }).includes("a secret of many"));
    assertFalse(JSON.stringify(cache).includes("a secret of many"));
  });

  it("are needed for a store that leaves the process, unless one says that they are not", () => {
    using folder = new TemporaryFolder();
    using store = new SqliteStore(folder.file("sessions.db"));
    const error = assertThrows(() => new SessionCache({ store }), TypeError);
    assertEquals(
      error.message,
      "Cannot give sessions to a store outside of this process in clear, for they hold the keys of connections: " +
        "give the cache `secrets` to seal them with, or say `unsealed: true`",
    );
    assertThrows(() => new SessionCache({ store, unsealed: false }), TypeError);
    new SessionCache({ store, unsealed: true });
    new SessionCache({ store, secrets: [secret()] });
    using inMemory = new SqliteStore(":memory:");
    new SessionCache({ store: inMemory });
  });
});

describe("A sealed value", () => {
  const ring = new KeyRing([secret()]);
  const contents = { der: secret(), firstHandshake: 1_234_567_890_123.5 };
  const key = "ab".repeat(32);

  it("opens where it was sealed for", () => {
    const { der, firstHandshake } = open(ring, seal(ring, contents, key), key);
    assertEquals([hex(der), firstHandshake], [hex(contents.der), contents.firstHandshake]);
  });

  it("opens under no other key, and with no other secret", () => {
    const value = seal(ring, contents, key);
    const others = ["ac".repeat(32), key.slice(1), ""];
    for (const other of others) assertThrows(() => open(ring, value, other), SealError);
    assertThrows(() => open(new KeyRing([secret()]), value, key), SealError, "not known here");
    assertThrows(() => open(undefined, value, key), SealError);
  });

  it("has memory of its own, like one that is not sealed: nothing else is stored along with it", () => {
    for (const value of [seal(ring, contents, key), wrap(contents)]) {
      assertEquals(value.constructor, Uint8Array);
      assertEquals(value.buffer.byteLength, value.length);
    }
  });

  it("differs each time", () => {
    assertNotEquals(hex(seal(ring, contents, key)), hex(seal(ring, contents, key)));
  });
});
