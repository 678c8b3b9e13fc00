import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Session, type SessionStoreError, SslConnection } from "../mod.ts";
import { CachedServer, countedBy, PendingStore, secret } from "./cache_server_support.ts";
import { until, within } from "./server_support.ts";
import { Client, leavingNothingLater, TcpClient } from "./socket_support.ts";
import { versions } from "./support.ts";

/** What a client says first that wants to resume. */
function hello(client: Client, session: Session): Uint8Array {
  using copy = Session.fromDer(session.toDer());
  using connection = SslConnection.client(client.context, { serverName: "localhost", session: copy });
  connection.handshake();
  const buffer = new Uint8Array(5000);
  return buffer.slice(0, connection.pullCiphertext(buffer));
}

for (const version of versions) {
  const single = version === "TLSv1.3";

  describe(`${version}: listen() with a store that answers later`, () => {
    it(
      "resumes when the answer has come",
      leavingNothingLater(async () => {
        const store = new PendingStore();
        await using server = await CachedServer.start({ store, secrets: [secret()], lookupTimeout: 10_000 });
        using client = new Client({ version });
        await client.visit(server.port);
        const visiting = client.visit(server.port, client.sessions.at(-1));
        (await store.asked(1)).answer();
        assertEquals(await visiting, { resumed: true, protocol: version });
        assertEquals(countedBy(server.cache), { lookups: 1, hits: 1, stored: single ? 2 : 1 });
        assertEquals(server.errors, []);
      }),
    );

    it(
      "serves others while one waits",
      leavingNothingLater(async () => {
        const store = new PendingStore();
        await using server = await CachedServer.start({ store, lookupTimeout: 10_000 });
        using client = new Client({ version });
        await client.visit(server.port);
        const waiting = client.visit(server.port, client.sessions[0]);
        const lookup = await store.asked(1);
        assertEquals(await client.visit(server.port), { resumed: false, protocol: version });
        lookup.answer();
        assertEquals((await waiting).resumed, true);
      }),
    );

    it(
      "makes a full handshake when there is no answer in time",
      leavingNothingLater(async () => {
        const store = new PendingStore();
        await using server = await CachedServer.start({ store, lookupTimeout: 30 });
        using client = new Client({ version });
        await client.visit(server.port);
        assertEquals(await client.visit(server.port, client.sessions[0]), { resumed: false, protocol: version });
        assert(store.lookups[0]!.signal.aborted);
        store.lookups[0]!.answer();
        assertEquals(await client.visit(server.port), { resumed: false, protocol: version });
        assertEquals(countedBy(server.cache), { lookups: 1, misses: 1, timedOut: 1, late: 1, stored: 3 });
        assertEquals(server.errors, []);
      }),
    );

    it(
      "makes a full handshake when the store rejects",
      leavingNothingLater(async () => {
        const store = new PendingStore();
        const told: SessionStoreError[] = [];
        await using server = await CachedServer.start({ store, onStoreError: (error) => told.push(error) });
        using client = new Client({ version });
        await client.visit(server.port);
        const visiting = client.visit(server.port, client.sessions[0]);
        (await store.asked(1)).reject(new Error("the disk is on fire"));
        assertEquals(await visiting, { resumed: false, protocol: version });
        assertStringIncludes(told[0]!.message, "the disk is on fire");
        assertEquals(server.errors, []);
      }),
    );

    it(
      "holds back a client that sends on while it waits",
      leavingNothingLater(async () => {
        const store = new PendingStore();
        await using server = await CachedServer.start({ store, lookupTimeout: 60_000 });
        using client = new Client({ version });
        await client.visit(server.port);
        let taken = 0;
        const { pushCiphertext } = SslConnection.prototype;
        SslConnection.prototype.pushCiphertext = function (bytes) {
          taken += bytes.length;
          pushCiphertext.call(this, bytes);
        };
        try {
          await using flooder = await TcpClient.connect(server.port);
          await flooder.send(hello(client, client.sessions.at(-1)!));
          const lookup = await store.asked(1);
          const before = taken;
          // More than the system keeps for the two ends.
          const all = new Promise<void>((resolve) =>
            flooder.socket.write(new Uint8Array(64 * 2 ** 20), () => resolve())
          );
          const isHeld = async () => {
            for (let last = -1; last !== taken;) {
              last = taken;
              await new Promise((resolve) => setTimeout(resolve, 200));
            }
          };
          await within(Promise.race([all, isHeld()]), "the client to be held back, or not");
          // What is read at a time comes on top.
          assert(taken - before < 2 ** 20, `${taken - before} bytes were taken`);
          await flooder.vanish("reset");
          lookup.answer();
        } finally {
          SslConnection.prototype.pushCiphertext = pushCiphertext;
        }
      }),
    );

    for (const how of ["close", "reset"] as const) {
      it(
        `drops the answer to a client that has gone with a ${how}, and aborts its lookup`,
        leavingNothingLater(async () => {
          const store = new PendingStore();
          await using server = await CachedServer.start({ store, lookupTimeout: 10_000 });
          using client = new Client({ version });
          await client.visit(server.port);
          await using gone = await TcpClient.connect(server.port);
          await gone.send(hello(client, client.sessions[0]!));
          const lookup = await store.asked(1);
          const aborted = new Promise<void>((resolve) => lookup.signal.addEventListener("abort", () => resolve()));
          await gone.vanish(how);
          await within(aborted, "the lookup's end");
          await until(() => server.listener.connections === 0, "the connection's end");
          lookup.answer();
          assertEquals((await client.visit(server.port)).resumed, false);
          assertEquals(countedBy(server.cache), { lookups: 1, late: 1, stored: 2 });
          assertEquals(server.errors.length, 1);
        }),
      );
    }

    it(
      "closes while a client waits, whose lookup is aborted",
      leavingNothingLater(async () => {
        const store = new PendingStore();
        const server = await CachedServer.start({ store, lookupTimeout: 10_000 });
        using client = new Client({ version });
        await client.visit(server.port);
        const failed = client.connect(server.port, {}, { session: client.sessions[0]! }).then(() => false, () => true);
        const lookup = await store.asked(1);
        await server[Symbol.asyncDispose]();
        assertEquals(await failed, true);
        assert(lookup.signal.aborted);
        lookup.answer();
      }),
    );

    it(
      "resumes twenty clients that come at once",
      leavingNothingLater(async () => {
        const store = new PendingStore();
        await using server = await CachedServer.start({ store, lookupTimeout: 20_000 });
        using client = new Client({ version });
        for (let n = 0; n < 20; n++) await client.visit(server.port);
        const visits = client.sessions.slice(0, 20).map((session) => client.visit(server.port, session));
        await store.asked(20);
        for (const lookup of store.lookups.toReversed()) lookup.answer();
        assertEquals((await Promise.all(visits)).map(({ resumed }) => resumed), visits.map(() => true));
        assertEquals(server.errors, []);
      }),
    );
  });
}

describe("TLSv1.3: listen() with a store that answers later", () => {
  it(
    "resumes after a HelloRetryRequest with one take",
    leavingNothingLater(async () => {
      const store = new PendingStore();
      await using server = await CachedServer.start({ store, lookupTimeout: 10_000 }, { groups: "P-384" });
      using client = new Client({ version: "TLSv1.3", groups: "X25519:P-384" });
      await client.visit(server.port);
      const visiting = client.visit(server.port, client.sessions[0]);
      (await store.asked(1)).answer();
      assertEquals(await visiting, { resumed: true, protocol: "TLSv1.3" });
      assertEquals(store.lookups.map(({ operation }) => operation), ["take"]);
    }),
  );

  it(
    "resumes one ticket on one of two servers that are asked at once",
    leavingNothingLater(async () => {
      const store = new PendingStore();
      const options = { store, secrets: [secret()], lookupTimeout: 10_000 };
      await using first = await CachedServer.start(options);
      await using second = await CachedServer.start(options);
      using client = new Client({ version: "TLSv1.3" });
      await client.visit(first.port);
      for (let round = 0; round < 5; round++) {
        const session = client.sessions.at(-1)!;
        const visits = [client.visit(first.port, session), client.visit(second.port, session)];
        await store.asked(2 * round + 2);
        for (const lookup of store.lookups.slice(-2)) lookup.answer();
        const resumed = (await Promise.all(visits)).map(({ resumed }) => resumed);
        assertEquals(resumed.toSorted(), [false, true]);
      }
      assertEquals(first.cache.stats().hits + second.cache.stats().hits, 5);
    }),
  );
});
