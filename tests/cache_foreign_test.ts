import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { Pointer } from "../ffi/types.ts";
import { type Session, SslConnection, type SslContext } from "../mod.ts";
import { contextPointer } from "../ssl/context.ts";
import { library } from "../ssl/library.ts";
import { Cached, PendingStore, woken } from "./cache_server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { versions } from "./support.ts";

/** A handshake of a client of ours with an SSL that other code makes of a context of ours. Answers how many turns. */
function shakeWithOthers(server: SslContext, client: SslConnection): number {
  const { ssl, crypto } = library();
  const connection = ssl.SSL_new(contextPointer(server)) as Pointer;
  const input = crypto.BIO_new(crypto.BIO_s_mem()) as Pointer;
  const output = crypto.BIO_new(crypto.BIO_s_mem()) as Pointer;
  ssl.SSL_set_bio(connection, input, output);
  ssl.SSL_set_accept_state(connection);
  const chunk = new Uint8Array(20_000);
  let turns = 0;
  try {
    for (let done = 0; done !== 1 || !client.isEstablished;) {
      if (++turns > 10) throw new Error("The handshake does not end");
      client.handshake();
      for (let length = client.pullCiphertext(chunk); length > 0; length = client.pullCiphertext(chunk)) {
        crypto.BIO_write(input, chunk.subarray(0, length), length);
      }
      done = ssl.SSL_do_handshake(connection);
      for (let length = crypto.BIO_read(output, chunk, 20_000); length > 0;) {
        client.pushCiphertext(chunk.subarray(0, length));
        length = crypto.BIO_read(output, chunk, 20_000);
      }
    }
    client.read(new Uint8Array(1));
    return turns;
  } finally {
    ssl.SSL_set_shutdown(connection, 1);
    ssl.SSL_free(connection);
    crypto.ERR_clear_error();
  }
}

for (const version of versions) {
  describe(`${version}: SessionCache and connections that other code makes of its context`, () => {
    it(
      "lets them shake hands in full, without a word to the store, and stores their sessions",
      leavingNothingLater(async () => {
        const store = new PendingStore();
        using contexts = new Cached(version, { store });
        const session = contexts.resumable();
        const others = (session: Session) => {
          using client = SslConnection.client(contexts.client, { serverName: "localhost", session });
          shakeWithOthers(contexts.server, client);
          assertEquals(client.isResumed, false);
          client.shutdownQuietly();
        };
        using copy = session.clone();
        others(copy);
        assertEquals(store.lookups.length, 0);
        assertEquals(contexts.counted, { stored: 2 });
        // What they got resumes with connections of ours.
        using link = contexts.link(contexts.sessions.at(-1));
        assertEquals(link.half(), "wants-lookup");
        store.lookups[0]!.answer();
        await woken(link.server);
        link.connect();
        assertEquals(link.server.isResumed, true);
        link.close();
      }),
    );
  });
}
