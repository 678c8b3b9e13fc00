import { assert, assertEquals, assertFalse, assertGreater } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { type ConnectionHandler, MemoryStore, type SessionCacheOptions, type SessionStore } from "../mod.ts";
import { Cached, CachedServer, secret, settled, woken } from "./cache_server_support.ts";
import { leavingNothing } from "./counts.ts";
import { until, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording, TcpClient } from "./socket_support.ts";
import { bytes, type Link } from "./support.ts";

/** A store over memory that is done with a session when the test says so. */
class SlowWriter implements SessionStore {
  readonly inner = new MemoryStore();
  readonly writes: { store(): void; fail(error: Error): void }[] = [];

  get(key: string): Uint8Array | undefined {
    return this.inner.get(key);
  }
  take(key: string): Uint8Array | undefined {
    return this.inner.take(key);
  }
  put(...session: [key: string, value: Uint8Array, expiresAt: Date]): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const store = () => {
      this.inner.put(...session);
      resolve();
    };
    this.writes.push({ store, fail: reject });
    return promise;
  }
  delete(key: string): void {
    this.inner.delete(key);
  }

  /** Waits until it has been given this many sessions. */
  async given(count: number): Promise<void> {
    await until(() => this.writes.length >= count, `session number ${count}`);
  }
}

/** A test of a server in memory that holds tickets back. */
function durable(
  test: (contexts: Cached, store: SlowWriter) => Promise<void>,
  options: Partial<SessionCacheOptions> = {},
): () => Promise<void> {
  return leavingNothingLater(async () => {
    const store = new SlowWriter();
    const all = { store, secrets: [secret()], lookupTimeout: 60_000, durableTickets: true, ...options };
    using contexts = new Cached("TLSv1.3", all);
    await test(contexts, store);
    await contexts.cache.close();
  });
}

/** Shakes hands. The server is done when this returns, and its tickets are on their way or held. */
function shake(link: Link): void {
  link.half();
  link.toClient();
  assertEquals(link.client.handshake(), "done");
  link.toServer();
  assertEquals(link.server.handshake(), "done");
}

/** Has the client take in what came. Answers how many tickets it has got in all. */
function take(contexts: Cached, link: Link): number {
  link.deliver();
  return contexts.sessions.length;
}

describe("TLSv1.3: SessionCache with durableTickets", () => {
  it(
    "holds the ticket back until the store has the session, and with it all that is sent",
    durable(async (contexts, store) => {
      using link = contexts.link();
      shake(link);
      link.server.write(bytes("hello"));
      assertEquals(link.server.isHeld, true);
      assertEquals(link.toClient(), 0);
      await settled();
      assertEquals(link.toClient(), 0);
      store.writes[0]!.store();
      await woken(link.server);
      assertEquals(link.server.isHeld, false);
      assertGreater(link.toClient(), 0);
      const buffer = new Uint8Array(10);
      assertEquals(new TextDecoder().decode(buffer.subarray(0, link.client.read(buffer)!)), "hello");
      assertEquals(contexts.sessions.length, 1);
      link.close();
      // A resumption's ticket is held as well.
      using second = contexts.link(contexts.sessions[0]);
      shake(second);
      assertEquals(second.server.isResumed, true);
      assertEquals(second.toClient(), 0);
      store.writes[1]!.store();
      await woken(second.server);
      assertEquals(take(contexts, second), 2);
      second.close();
    }),
  );

  it(
    "waits for the sessions of all tickets",
    durable(async (contexts, store) => {
      contexts.server.numTickets = 3;
      using link = contexts.link();
      shake(link);
      assertEquals(store.writes.length, 3);
      const waking = woken(link.server);
      for (const index of [1, 0]) {
        store.writes[index]!.store();
        await settled();
        assertEquals(link.toClient(), 0);
      }
      store.writes[2]!.store();
      await waking;
      assertEquals(take(contexts, link), 3);
      link.close();
    }),
  );

  it(
    "lets the ticket go at the deadline",
    durable(async (contexts, store) => {
      using link = contexts.link();
      shake(link);
      assertEquals(link.toClient(), 0);
      await woken(link.server);
      assertEquals(take(contexts, link), 1);
      link.close();
      assertEquals(contexts.errors, []);
      // It arrives after all.
      store.writes[0]!.store();
      assertEquals(contexts.visit(contexts.sessions[0]), { resumed: true });
      store.writes[1]!.store();
    }, { lookupTimeout: 20 }),
  );

  it(
    "lets the ticket go when the store rejects, and says so",
    durable(async (contexts, store) => {
      using link = contexts.link();
      shake(link);
      store.writes[0]!.fail(new Error("the disk is on fire"));
      await woken(link.server);
      assertEquals(take(contexts, link), 1);
      link.close();
      assertEquals(contexts.errors.map(({ operation }) => operation), ["put"]);
      assertEquals(contexts.counted, { stored: 1, writeFailures: 1, errors: 1 });
      using second = contexts.link(contexts.sessions[0]);
      shake(second);
      assertEquals(second.server.isResumed, false);
      store.writes[1]!.store();
      await woken(second.server);
      second.close();
    }),
  );

  it(
    "lets a connection end meanwhile",
    durable(async (contexts, store) => {
      const link = contexts.link();
      shake(link);
      let isWoken = false;
      link.server.onWake = () => void (isWoken = true);
      link.dispose();
      store.writes[0]!.store();
      await settled();
      assertFalse(isWoken);
    }),
  );

  it(
    "holds nothing where the store is done at once, throws, or gets nothing",
    leavingNothing(() => {
      const throwing = new MemoryStore();
      throwing.put = () => {
        throw new Error("the disk is on fire");
      };
      const stores = [{ store: new MemoryStore() }, { store: throwing }, { store: new SlowWriter(), maxEntrySize: 1 }];
      for (const options of stores) {
        using contexts = new Cached("TLSv1.3", { ...options, durableTickets: true });
        using link = contexts.link();
        shake(link);
        assertEquals(link.server.isHeld, false);
        assertEquals(take(contexts, link), 1);
        link.close();
      }
    }),
  );

  it(
    "holds nothing where it is not asked for",
    durable(async (contexts, store) => {
      using link = contexts.link();
      shake(link);
      assertEquals(link.server.isHeld, false);
      assertEquals(take(contexts, link), 1);
      link.close();
      store.writes[0]!.store();
      await settled();
    }, { durableTickets: false }),
  );
});

describe("TLSv1.2: SessionCache with durableTickets", () => {
  it(
    "holds the end of the handshake until the store has the session",
    leavingNothingLater(async () => {
      const store = new SlowWriter();
      using contexts = new Cached("TLSv1.2", { store, durableTickets: true });
      using link = contexts.link();
      for (let turn = 0; turn < 4; turn++) {
        link.client.handshake();
        link.toServer();
        link.server.handshake();
        link.toClient();
      }
      assertEquals([link.server.isHeld, link.client.isEstablished], [true, false]);
      store.writes[0]!.store();
      await settled();
      link.toClient();
      assertEquals(link.client.handshake(), "done");
      link.close();
      await contexts.cache.close();
    }),
  );
});

describe("TLSv1.3: listen() with durableTickets", () => {
  /** A test of a server on a socket that holds tickets back, and a client of it. */
  function onSockets(
    onConnection: ConnectionHandler | undefined,
    test: (server: CachedServer, client: Client, store: SlowWriter) => Promise<void>,
    options: Partial<SessionCacheOptions> = {},
  ): () => Promise<void> {
    return leavingNothingLater(async () => {
      const store = new SlowWriter();
      const all = { store, lookupTimeout: 60_000, durableTickets: true, ...options };
      await using server = await CachedServer.start(all, {}, onConnection);
      using client = new Client({ version: "TLSv1.3" });
      await test(server, client, store);
      for (const write of store.writes) write.store();
    });
  }

  /** A server that greets. */
  const greet: ConnectionHandler = (socket) => {
    socket.write(bytes("hello"));
    return {};
  };

  it(
    "gives the client its first answer after the store has the session",
    onSockets(greet, async (server, client, store) => {
      const [early, late] = [new Recording(), new Recording()];
      const first = await client.connect(server.port, early.handlers);
      await store.given(1);
      // Another client comes, is answered and has gone before the first one hears anything.
      const second = await client.connect(server.port, late.handlers);
      await store.given(2);
      store.writes[1]!.store();
      await late.bytes(5);
      second.end();
      await within(late.closed, "the second connection to close");
      assertEquals([early.length, client.sessions.length], [0, 1]);
      store.writes[0]!.store();
      await early.bytes(5);
      assertEquals(early.text, "hello");
      assertEquals(client.sessions.length, 2);
      first.end();
      await within(early.closed, "the first connection to close");
      assertEquals(server.errors, []);
    }),
  );

  for (const how of ["never answers", "rejects"]) {
    it(
      `answers also when the store ${how}`,
      onSockets(greet, async (server, client, store) => {
        const recording = new Recording();
        const socket = await client.connect(server.port, recording.handlers);
        await store.given(1);
        if (how === "rejects") store.writes[0]!.fail(new Error("the disk is on fire"));
        await recording.bytes(5);
        socket.end();
        await within(recording.closed, "the connection to close");
        assertEquals(server.errors, []);
      }, how === "rejects" ? {} : { lookupTimeout: 30 }),
    );
  }

  it(
    "sends an answer that was held also to a client that has ended its side",
    onSockets(() => ({ data: (socket) => socket.end(bytes("goodbye")) }), async (server, client, store) => {
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      socket.end(bytes("hello"));
      await store.given(1);
      // The server has read to the end when it has nothing more to read of this client.
      await until(() => server.cache.stats().stored === 1, "the session");
      await settled();
      store.writes[0]!.store();
      await recording.bytes(7);
      assertEquals(recording.text, "goodbye");
      assertEquals(await within(recording.closed, "the connection to close"), undefined);
      await until(() => server.listener.connections === 0, "the server's end");
      assertEquals(server.errors, []);
    }),
  );

  it(
    "tells of a drain when much was held",
    leavingNothingLater(async () => {
      const store = new SlowWriter();
      const drained = Promise.withResolvers<void>();
      let filled = false;
      const length = 256 * 1024;
      const fill: ConnectionHandler = (socket) => {
        filled = !socket.write(new Uint8Array(length));
        return { drain: () => drained.resolve() };
      };
      const options = { store, lookupTimeout: 60_000, durableTickets: true };
      await using server = await CachedServer.start(options, {}, fill);
      using client = new Client({ version: "TLSv1.3" });
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      await store.given(1);
      await until(() => filled, "the server to have written");
      store.writes[0]!.store();
      await recording.bytes(length);
      await within(drained.promise, "the drain");
      socket.end();
      await within(recording.closed, "the connection to close");
    }),
  );

  it(
    "lets clients go, and those that send what is no TLS",
    onSockets(undefined, async (server, client, store) => {
      await using gone = await TcpClient.connect(server.port, client.context);
      await gone.shakeHands();
      await store.given(1);
      await gone.vanish("reset");
      await using hostile = await TcpClient.connect(server.port, client.context);
      await hostile.shakeHands();
      await store.given(2);
      await hostile.send(new Uint8Array(64));
      await until(() => server.errors.length > 0, "the server to notice");
      for (const write of store.writes) write.store();
      await within(hostile.ended, "the server to hang up", 4000);
      await hostile.vanish("close");
      await until(() => server.listener.connections === 0, "the server's end");
      assert(server.errors.length >= 1);
    }),
  );
});
