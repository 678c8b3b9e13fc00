import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Buffer } from "node:buffer";
import { MemoryStore, OpenSslError, type Session, type SessionStore } from "../mod.ts";
import { Cached, PendingStore, secret, woken } from "./cache_server_support.ts";
import { leavingNothing } from "./counts.ts";
import { RawHello } from "./hello.ts";
import { offeringBefore } from "./psk_offer.ts";
import { until } from "./server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { hex, type Link } from "./support.ts";

function someId(length = 32): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length));
}

/** A client that offers other sessions before one of its own. Answers the connection, its hello on the way. */
function offering(contexts: Cached, session: Session, others: readonly Uint8Array[]): Link {
  const link = contexts.link(session);
  link.client.handshake();
  const buffer = new Uint8Array(5000);
  const hello = buffer.subarray(0, link.client.pullCiphertext(buffer));
  link.server.pushCiphertext(offeringBefore(hello, others, session));
  return link;
}

describe("TLSv1.3: SessionCache, offered several sessions", () => {
  it(
    "resumes the first that the store has",
    leavingNothing(() => {
      using contexts = new Cached("TLSv1.3", { store: new MemoryStore() });
      using link = offering(contexts, contexts.resumable(), [someId(), someId()]);
      assertEquals(link.server.handshake(), "wants-bytes");
      assertEquals(link.server.isResumed, true);
      assertEquals(contexts.counted, { lookups: 3, misses: 2, hits: 1, stored: 1 });
      assertEquals(contexts.told, ["stored", "miss", "miss", "hit"]);
    }),
  );

  it(
    "takes nothing for a client that names no mode to use it in",
    leavingNothing(() => {
      const store = new MemoryStore();
      using contexts = new Cached("TLSv1.3", { store });
      const session = contexts.resumable();
      using link = contexts.link(session);
      link.client.handshake();
      const buffer = new Uint8Array(5000);
      const hello = new RawHello(buffer.subarray(0, link.client.pullCiphertext(buffer)));
      const pskKeyExchangeModes = 45;
      hello.extensions = hello.extensions.filter(({ type }) => type !== pskKeyExchangeModes);
      link.server.pushCiphertext(hello.write());
      // It is also against the protocol: RFC 8446, section 4.2.9.
      assertThrows(() => link.server.handshake(), OpenSslError);
      assertEquals(store.size, 1);
      assertEquals(contexts.counted.lookups, undefined);
      assertEquals(contexts.visit(session), { resumed: true });
    }),
  );

  it(
    "asks a store that answers later for one after the other, until it has one",
    leavingNothingLater(async () => {
      const store = new PendingStore();
      using contexts = new Cached("TLSv1.3", { store });
      const session = contexts.resumable();
      const [[key]] = [...store.inner.entries()] as [[string, Uint8Array]];
      const others = [someId(), someId()];
      using link = offering(contexts, session, others);
      assertEquals(link.server.handshake(), "wants-lookup");
      for (const number of [1, 2, 3]) {
        assertEquals(link.server.handshake(), "wants-lookup");
        (await store.asked(number)).answer();
      }
      await woken(link.server);
      assertEquals(store.lookups.map(({ key }) => key), [...others.map(hex), key]);
      assertEquals(link.server.handshake(), "wants-bytes");
      assertEquals(link.server.isResumed, true);
      await contexts.cache.close();
    }),
  );

  it(
    "takes no more than the first that the store has, which is spent whatever becomes of the handshake",
    leavingNothing(() => {
      const store = new MemoryStore();
      using contexts = new Cached("TLSv1.3", { store });
      contexts.server.numTickets = 2;
      contexts.visit();
      const [first, second] = contexts.sessions;
      const [key] = [...store.entries()][0]!;
      using link = offering(contexts, second!, [Buffer.from(key, "hex")]);
      // The first one's binder proves nothing: it was made for another hello.
      assertThrows(() => link.server.handshake(), OpenSslError, "binder does not verify");
      assertEquals(store.size, 1);
      assertEquals(contexts.visit(first), { resumed: false });
      assertEquals(contexts.visit(second), { resumed: true });
    }),
  );

  it(
    "waits no longer for many than for one",
    leavingNothingLater(async () => {
      const inner = new MemoryStore();
      let asked = 0;
      const slow: SessionStore = {
        get: (key) => inner.get(key),
        take: () => {
          asked++;
          // Each answer is in time, all of them together are not.
          return new Promise((resolve) => setTimeout(() => resolve(undefined), 60));
        },
        put: (...all) => inner.put(...all),
        delete: (key) => inner.delete(key),
      };
      using contexts = new Cached("TLSv1.3", { store: slow, lookupTimeout: 100 });
      const others = [someId(), someId(), someId()];
      using link = offering(contexts, contexts.resumable(), others);
      assertEquals(link.server.handshake(), "wants-lookup");
      await woken(link.server);
      assertEquals(contexts.counted.timedOut, 1);
      assertLess(asked, 4);
      const timedOut = contexts.events.find(({ type }) => type === "timed out") as { id: string };
      assert(others.some((id) => hex(id.subarray(0, 4)) === timedOut.id));
      assertEquals(link.server.handshake(), "wants-bytes");
      assertEquals(link.server.isResumed, false);
      // The one that is under way comes too late.
      await until(() => contexts.counted.late === 1, "the late answer");
      await contexts.cache.close();
    }),
  );

  it(
    "asks for four at most",
    leavingNothing(() => {
      using contexts = new Cached("TLSv1.3", { store: new MemoryStore() });
      const session = contexts.resumable();
      using link = offering(contexts, session, Array.from({ length: 10 }, () => someId()));
      link.server.handshake();
      assertEquals(link.server.isResumed, false);
      assertEquals(contexts.counted, { lookups: 4, misses: 4, stored: 1 });
    }),
  );

  it(
    "passes over those that are no session's id",
    leavingNothing(() => {
      using contexts = new Cached("TLSv1.3", { store: new MemoryStore() });
      const others = [1, 16, 31, 33, 200].map((length) => someId(length));
      using link = offering(contexts, contexts.resumable(), others);
      link.server.handshake();
      assertEquals(link.server.isResumed, true);
      assertEquals(contexts.counted, { lookups: 1, hits: 1, stored: 1 });
    }),
  );

  it(
    "passes over those that the farm did not make",
    leavingNothing(() => {
      using contexts = new Cached("TLSv1.3", { store: new MemoryStore(), secrets: [secret()] });
      using link = offering(contexts, contexts.resumable(), [someId(), someId()]);
      link.server.handshake();
      assertEquals(link.server.isResumed, true);
      assertEquals(contexts.counted, { lookups: 1, hits: 1, foreignIds: 2, stored: 1 });
    }),
  );

  it(
    "reads a hello with any byte of it changed: the handshake fails or goes on, and nothing else is thrown",
    leavingNothing(() => {
      using contexts = new Cached("TLSv1.3", { store: new MemoryStore() });
      const session = contexts.resumable();
      const buffer = new Uint8Array(5000);
      let failed = 0;
      for (let position = 5; position < 5000; position++) {
        using link = contexts.link(session);
        link.client.handshake();
        const hello = buffer.slice(0, link.client.pullCiphertext(buffer));
        if (position >= hello.length) break;
        hello[position]! ^= 0xff;
        link.server.pushCiphertext(hello);
        try {
          link.server.handshake();
        } catch (error) {
          assert(error instanceof OpenSslError, `${position}: ${error}`);
          failed++;
        }
      }
      assert(failed > 20);
      assertEquals(contexts.errors, []);
    }),
  );
});
