import { assertEquals, assertGreaterOrEqual, assertLess, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { MemoryStore, type SessionStore } from "../mod.ts";
import { Cached, settled } from "./cache_server_support.ts";
import { root, runSelf } from "./process.ts";
import { until, within } from "./server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { versions } from "./support.ts";

/** A store whose puts, or deletions, are done when the test says so. */
class Hanging implements SessionStore {
  readonly inner = new MemoryStore();
  readonly puts: (() => void)[] = [];
  readonly deletions: (() => void)[] = [];
  hangs = true;

  get(key: string) {
    return this.inner.get(key);
  }
  put(...all: [key: string, value: Uint8Array, expiresAt: Date]) {
    if (!this.hangs) return this.inner.put(...all);
    return new Promise<void>((resolve) => this.puts.push(() => resolve(this.inner.put(...all))));
  }
  delete(key: string) {
    if (!this.hangs) return this.inner.delete(key);
    return new Promise<void>((resolve) => this.deletions.push(() => resolve(this.inner.delete(key))));
  }
}

for (const version of versions) {
  describe(`${version}: SessionCache with a store whose writes hang`, () => {
    it(
      "hands it no more than maxPendingWrites at once, and when they are overdue one at a time",
      leavingNothingLater(async () => {
        const store = new Hanging();
        using contexts = new Cached(version, { store, writeTimeout: 40, maxPendingWrites: 3 });
        for (let n = 0; n < 10; n++) contexts.visit();
        assertEquals(store.puts.length, 3);
        assertEquals(contexts.counted, { stored: 3, droppedWrites: 7 });
        await within(contexts.cache.close(), "the cache to close");
        const failed = { writeFailures: 3, writeTimeouts: 3, errors: 3 };
        assertEquals(contexts.counted, { stored: 3, droppedWrites: 7, ...failed });
        assertStringIncludes(contexts.errors[0]!.message, "It did not answer in 40 ms");
        for (let n = 0; n < 10; n++) contexts.visit();
        assertEquals(store.puts.length, 4);
        const reasons = contexts.events.flatMap((event) => event.type === "not stored" ? [event.reason] : []);
        assertEquals(reasons.filter((reason) => reason === "too many writes").length, 16);
        assertEquals(reasons.filter((reason) => reason === "the store failed").length, 3);
        await within(contexts.cache.close(), "the cache to close");
      }),
    );

    it(
      "goes on as before once it answers, and counts what comes late",
      leavingNothingLater(async () => {
        const store = new Hanging();
        using contexts = new Cached(version, { store, writeTimeout: 20, maxPendingWrites: 3 });
        for (let n = 0; n < 3; n++) contexts.visit();
        await contexts.cache.close();
        for (const put of store.puts) put();
        await settled();
        assertEquals(contexts.counted.lateWrites, 3);
        assertEquals(store.inner.size, 3);
        // What came late is there all the same.
        assertEquals(contexts.visit(contexts.sessions[0]), { resumed: true });
        store.puts.length = 0;
        for (let n = 0; n < 10; n++) contexts.visit();
        assertGreaterOrEqual(store.puts.length, 2);
        for (const put of store.puts) put();
        store.hangs = false;
        await contexts.cache.close();
        assertEquals(contexts.visit(contexts.resumable()), { resumed: true });
      }),
    );

    it(
      "tells of deletions that hang, and hands it no more of them either",
      leavingNothingLater(async () => {
        const store = new Hanging();
        using contexts = new Cached(version, { store, writeTimeout: 20, maxPendingWrites: 2 });
        store.hangs = false;
        for (let n = 0; n < 5; n++) contexts.visit();
        store.hangs = true;
        for (let n = 0; n < 5; n++) {
          using link = contexts.link().connect();
          using session = link.server.session()!;
          contexts.server.removeSession(session);
          link.close();
        }
        assertLess(store.deletions.length + store.puts.length, 4);
        await within(contexts.cache.close(), "the cache to close");
        assertEquals(contexts.counted.lateWrites, undefined);
        const operations = new Set(contexts.errors.map(({ operation }) => operation));
        assertEquals(operations, new Set(["put", "delete"] as const));
        await until(() => contexts.counted.writeTimeouts! >= 2, "the deadlines");
      }),
    );
  });
}

describe("A program that closes a cache whose store hangs", () => {
  it("waits for the deadline, and goes on", async () => {
    const code = `
      const { SessionCache, SslConnection, SslContext, selfSigned, MemoryStore } = await import("${root}mod.ts");
      const store = new MemoryStore();
      store.put = () => new Promise(() => {});
      const cache = new SessionCache({ store, writeTimeout: 100 });
      const server = SslContext.server(selfSigned());
      cache.attach(server);
      const client = SslContext.client({ verify: "none" });
      const [a, b] = [SslConnection.server(server), SslConnection.client(client)];
      const buffer = new Uint8Array(20000);
      for (let n = 0; n < 5; n++) {
        b.handshake();
        a.pushCiphertext(buffer.subarray(0, b.pullCiphertext(buffer)));
        a.handshake();
        b.pushCiphertext(buffer.subarray(0, a.pullCiphertext(buffer)));
      }
      await cache.close();
      console.log(cache.stats().writeTimeouts);
    `;
    const { code: exit, stdout } = await runSelf(code, {});
    assertEquals([exit, stdout], [0, "1\n"]);
  });
});
