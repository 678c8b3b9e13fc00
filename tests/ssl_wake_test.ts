import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { OpenSslError, SessionCache, SessionCacheMode, type SessionStore, type SslConnection } from "../mod.ts";
import { leavingNothing } from "./counts.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { bytes, Contexts, type Link } from "./support.ts";

const oops = new Error("the transport's own fault");
const throwing = () => {
  throw oops;
};

/** Runs a test with a connection whose transport fails when it is woken. */
function withLink(use: (link: Link, contexts: Contexts) => void): () => void {
  return leavingNothing(() => {
    using contexts = new Contexts("TLSv1.3");
    using link = contexts.link();
    use(link, contexts);
    link.connect();
    link.close();
  });
}

/** Every call that moves a connection on. */
const moves: Record<string, (connection: SslConnection) => unknown> = {
  handshake: (connection) => connection.handshake(),
  read: (connection) => connection.read(new Uint8Array(1)),
  write: (connection) => connection.write(new Uint8Array(1)),
  pushCiphertext: (connection) => connection.pushCiphertext(new Uint8Array(1)),
  pullCiphertext: (connection) => connection.pullCiphertext(new Uint8Array(1)),
  shutdown: (connection) => connection.shutdown(),
  shutdownQuietly: (connection) => connection.shutdownQuietly(),
};

describe("what onWake throws", () => {
  for (const [name, move] of Object.entries(moves)) {
    it(
      `comes out of the next call, once: ${name}`,
      withLink((link) => {
        link.server.onWake = throwing;
        link.server.wake();
        link.server.wake();
        assertEquals(link.server.isEstablished, false);
        assertThrows(() => move(link.server), Error, oops.message);
      }),
    );
  }

  it(
    "does not come out of what lets go of ciphertext",
    withLink((link) => {
      const release = link.client.holdCiphertext();
      link.client.onWake = throwing;
      release();
      assertThrows(() => link.client.handshake(), Error, oops.message);
    }),
  );

  it("does not come out of nowhere when it is woken from within a callback", async () => {
    using contexts = new Contexts("TLSv1.3");
    using link = contexts.link();
    link.server.onWake = throwing;
    contexts.server.setClientHelloCallback((connection) => {
      connection.wake();
      return "continue";
    });
    assertEquals(link.half(), "wants-bytes");
    await Promise.resolve();
    assertThrows(() => link.server.handshake(), Error, oops.message);
    link.connect().close();
  });

  it("and what its Promise is rejected with", async () => {
    using contexts = new Contexts("TLSv1.3");
    using link = contexts.link();
    const failing = Promise.reject(oops);
    link.server.onWake = () => failing;
    link.server.wake();
    await assertRejects(() => failing);
    await Promise.resolve();
    assertThrows(() => link.server.handshake(), Error, oops.message);
    link.connect().close();
  });

  it(
    "is forgotten with the connection",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.3");
      using link = contexts.link();
      link.server.onWake = throwing;
      link.server.wake();
      link.dispose();
      link.server.wake();
    }),
  );

  it(
    "as a handshake does that is gone on with when the store has answered",
    leavingNothingLater(async () => {
      const answer = Promise.withResolvers<undefined>();
      const store: SessionStore = { get: () => answer.promise, put: () => {}, delete: () => {} };
      using contexts = new Contexts("TLSv1.2");
      const cache = new SessionCache({ store });
      cache.attach(contexts.server);
      contexts.client.sessionCacheMode = SessionCacheMode.Client | SessionCacheMode.NoInternal;
      using link = contexts.link(contexts.resumable());
      const woken = Promise.withResolvers<void>();
      link.server.onWake = () => {
        woken.resolve();
        link.server.handshake();
      };
      assertEquals(link.half(), "wants-lookup");
      link.server.pushCiphertext(bytes("this is no TLS at all, is it?"));
      answer.resolve(undefined);
      await woken.promise;
      assertThrows(() => link.server.handshake(), OpenSslError, "The TLS handshake failed");
      await cache.close();
    }),
  );
});
