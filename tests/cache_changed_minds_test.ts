import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { MemoryStore, SessionCache, type SessionCacheEvent, type SessionStore } from "../mod.ts";
import { cString } from "../ffi/memory.ts";
import type { Pointer } from "../ffi/types.ts";
import { library } from "../ssl/library.ts";
import { leavingNothing } from "./counts.ts";
import { Contexts, versions } from "./support.ts";

const secrets = ["a secret of sixteen bytes and more"];

describe("TLSv1.3: SessionCache and a client that asks for another name after a HelloRetryRequest", () => {
  it(
    "does not resume under the second name what was made under the first",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.3", { groups: "P-256" }, { groups: "X25519:P-256" });
      const events: SessionCacheEvent["type"][] = [];
      const onEvent = ({ type }: SessionCacheEvent) => void events.push(type);
      new SessionCache({ store: new MemoryStore(), secrets, onEvent }).attach(contexts.server);
      const session = contexts.resumable();
      assertEquals(contexts.visit(session), { resumed: true });
      events.length = 0;

      using link = contexts.link(contexts.sessions.at(-1)!);
      // The name is changed as a client of another make could: by SSL_set_tlsext_host_name between the two hellos.
      const ssl = library().ssl as { SSL_do_handshake: (ssl: Pointer) => number };
      const shakeHands = ssl.SSL_do_handshake;
      let client: Pointer | undefined;
      ssl.SSL_do_handshake = (pointer) => {
        client = pointer;
        return shakeHands(pointer);
      };
      try {
        link.client.handshake();
      } finally {
        ssl.SSL_do_handshake = shakeHands;
      }
      link.toServer();
      assertEquals(link.server.handshake(), "wants-bytes");
      link.toClient();
      const setHostName = 55, hostName = 0;
      assertEquals(Number(library().ssl.SSL_ctrl(client!, setHostName, hostName, cString("admin.example"))), 1);
      link.connect();
      assertEquals([link.server.isResumed, link.server.serverName], [false, "admin.example"]);
      assert(events.includes("refused"), events.join());
      link.close();
    }),
  );
});

for (const version of versions) {
  describe(`${version}: SessionCache with a store that is slow to write`, () => {
    /** Puts when it is told to. */
    class SlowStore implements SessionStore {
      readonly inner = new MemoryStore();
      readonly waiting: (() => void)[] = [];
      get(key: string) {
        return this.inner.get(key);
      }
      put(key: string, value: Uint8Array, expiresAt: Date) {
        return new Promise<void>((resolve) => {
          this.waiting.push(() => {
            this.inner.put(key, value, expiresAt);
            resolve();
          });
        });
      }
      delete(key: string) {
        this.inner.delete(key);
      }
    }

    for (const by of ["revoke", "removal"] as const) {
      it(`deletes after the write that is under way: ${by}`, async () => {
        const store = new SlowStore();
        using contexts = new Contexts(version, { numTickets: 1 });
        const cache = new SessionCache({ store, secrets });
        cache.attach(contexts.server);
        using link = contexts.link().connect();
        using session = link.server.session()!;
        const revoked = by === "revoke" ? cache.revoke(session.id) : undefined;
        if (by === "removal") contexts.server.removeSession(session);
        for (const write of store.waiting) write();
        await revoked;
        await cache.close();
        assertEquals(store.inner.size, 0);
        link.close();
      });
    }
  });
}
