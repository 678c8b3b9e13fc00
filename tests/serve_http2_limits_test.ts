import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import type { ServeOptions, ServeStats } from "../mod.ts";
import { frame, FrameClient, ping, preface, request, reset, settings, windowUpdate } from "./http2_frames.ts";
import { Served } from "./serve_support.ts";
import { until, within } from "./server_support.ts";
import { Client, leavingNothingLater } from "./socket_support.ts";

const h2 = { alpnProtocols: ["h2"] };

/** Lets a client do something to a server, and waits until it is thrown out. */
async function thrownOut(
  attack: (client: FrameClient) => Promise<void> | void,
  options: ServeOptions = {},
  first: Record<number, number> = {},
): Promise<{ stats: ServeStats; errors: Error[] }> {
  await using server = await Served.start(() => new Response("ok"), options);
  using client = new Client(h2);
  const attacker = await FrameClient.connect(client, server.port);
  await attacker.start(first);
  await attack(attacker);
  await within(attacker.recording.closed, "the client to be thrown out");
  await until(() => server.server.connections === 0, "the connection to end");
  return { stats: server.server.stats(), errors: server.errors };
}

function many<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, n) => make(n));
}

const floods: Record<string, (client: FrameClient) => void> = {
  "PINGs": (client) => client.send(...many(3000, () => ping)),
  "SETTINGS": (client) => client.send(...many(3000, () => settings())),
  "SETTINGS with many entries": (client) => client.send(...many(20, () => frame(4, 0, 0, new Uint8Array(6 * 160)))),
  "SETTINGS of unheard-of length": (client) => {
    // What comes last in it would hold all answers up.
    const strange = many(180, (n) => [0, 64 + n, 0, 0, 0, 1]).flat();
    client.send(frame(4, 0, 0, new Uint8Array([...strange, 0, 4, 0, 0, 0, 0])));
  },
  "PRIORITY": (client) => client.send(...many(3000, () => frame(2, 0, 1, new Uint8Array([0, 0, 0, 3, 1])))),
  "frames of an unknown type": (client) => client.send(...many(3000, () => frame(0xf0, 0, 0))),
  "WINDOW_UPDATEs": (client) => client.send(...many(3000, () => windowUpdate(0, 1))),
  "acknowledgements of nothing": (client) => client.send(...many(3000, () => frame(6, 1, 0, new Uint8Array(8)))),
  "empty DATA": (client) => client.send(request(1, "POST", "/", 4), ...many(3000, () => frame(0, 0, 1))),
  "DATA of padding alone": (client) => {
    client.send(
      request(1, "POST", "/", 4),
      ...many(3000, () => frame(0, 8, 1, new Uint8Array([9, ...new Uint8Array(9)]))),
    );
  },
  "resets": (client) => client.send(...many(1000, (n) => n % 2 ? reset(n) : request(n + 1))),
  "CONTINUATIONs of nothing": (client) => {
    client.send(request(1, "GET", "/", 1), ...many(1000, () => frame(9, 0, 1)));
  },
  "CONTINUATIONs without end": (client) => {
    client.send(request(1, "GET", "/", 1), ...many(10, () => frame(9, 0, 1, new Uint8Array(16_000))));
  },
};

describe("serve() over HTTP/2", () => {
  for (const [what, attack] of Object.entries(floods)) {
    it(
      `closes the connection of a client that floods it with ${what}`,
      leavingNothingLater(async () => {
        const { stats, errors } = await thrownOut(attack);
        assertEquals(stats.http2Floods, 1);
        assertEquals(errors.length, 1, String(errors));
        // Each runs no more handlers than a client may have by itself.
        assertLess(stats.requests, 400);
      }),
    );
  }

  it(
    "closes the connection of a client whose mistakes have the server reset one stream after the other",
    leavingNothingLater(async () => {
      // A WINDOW_UPDATE of 0 is a mistake of the stream alone.
      const attack = async (client: FrameClient) => {
        for (let n = 1; n < 2000 && !client.isEnded; n += 2) {
          client.send(request(n, "POST", "/", 4), windowUpdate(n, 0));
          if (n % 20 === 1) await setTimeout(1);
        }
      };
      const { stats } = await thrownOut(attack);
      assertLess(stats.requests, 1000);
    }),
  );

  it(
    "closes the connection of a client that sends PINGs and never reads",
    leavingNothingLater(async () => {
      await using server = await Served.start(() => new Response("ok"));
      using client = new Client(h2);
      const attacker = await FrameClient.connect(client, server.port);
      await attacker.start();
      attacker.socket.pause();
      const before = process.memoryUsage().rss;
      const flight = many(2000, () => ping);
      while (server.server.connections > 0) {
        attacker.send(...flight);
        await setTimeout(1);
      }
      attacker.socket.resume();
      assertLess(process.memoryUsage().rss - before, 100 * 1024 * 1024);
      assertEquals(server.server.stats().http2Floods, 1);
      attacker.socket.destroy();
    }),
  );

  it(
    "closes the connection of a client with more requests open than it may have",
    leavingNothingLater(async () => {
      const { promise: never, resolve } = Promise.withResolvers<void>();
      await using server = await Served.start(() => never.then(() => new Response("late")), {
        maxConcurrentStreams: 10,
      });
      using client = new Client(h2);
      const attacker = await FrameClient.connect(client, server.port);
      await attacker.start();
      const [said] = attacker.frames.filter(({ type }) => type === 4);
      const values = new DataView(said!.payload.buffer);
      const told: Record<number, number> = {};
      for (let at = 0; at < said!.payload.length; at += 6) told[values.getUint16(at)] = values.getUint32(at + 2);
      assertEquals(told[3], 10);
      attacker.send(...many(10, (n) => request(2 * n + 1)));
      await until(() => server.server.stats().activeRequests === 10, "ten requests");
      attacker.send(request(21));
      await within(attacker.recording.closed, "the client to be thrown out");
      assertEquals([server.server.stats().streamOverflows, server.server.stats().requests], [1, 10]);
      resolve();
    }),
  );

  it(
    "runs at most 100 handlers for 20,000 requests that come before the client knows how many it may have open",
    leavingNothingLater(async () => {
      const { promise: never, resolve } = Promise.withResolvers<void>();
      await using server = await Served.start(() => never.then(() => new Response("late")));
      using client = new Client(h2);
      const attacker = await FrameClient.connect(client, server.port);
      attacker.send(preface, settings());
      attacker.send(...many(20_000, (n) => request(2 * n + 1)));
      await within(attacker.recording.closed, "the client to be thrown out");
      assert(server.server.stats().requests <= 100, `${server.server.stats().requests} requests`);
      assertEquals(server.server.stats().streamOverflows, 1);
      resolve();
    }),
  );

  it(
    "ends a client that takes nothing of its answers when idleTimeout is over, whatever else it sends",
    leavingNothingLater(async () => {
      let made = 0;
      const options = { idleTimeout: 400, maxBufferedBytes: 16 * 1024 * 1024 };
      await using server = await Served.start(() => {
        made++;
        return new Response(new Uint8Array(10 * 1024 * 1024));
      }, options);
      using client = new Client(h2);
      const attacker = await FrameClient.connect(client, server.port);
      await attacker.start({ 4: 0 });
      attacker.send(...many(25, (n) => request(2 * n + 1)));
      let next = 51;
      while (!attacker.isEnded) {
        // A new request and its end are no progress either.
        attacker.send(ping, request(next), reset(next));
        next += 2;
        await setTimeout(50);
      }
      assertEquals(server.server.stats().idleTimeouts, 1);
      // Those that are beyond the limit were not even begun.
      assert(made <= 8, `${made} answers were made`);
    }),
  );

  const megabyte: Record<string, () => Response> = {
    "bytes": () => new Response(new Uint8Array(1024 * 1024)),
    "text": () => new Response("x".repeat(1024 * 1024)),
    "JSON": () => Response.json("x".repeat(1024 * 1024 - 2)),
  };
  for (const [what, make] of Object.entries(megabyte)) {
    it(
      `goes on with the requests that had to wait when there is room, where the answers are of ${what}`,
      leavingNothingLater(async () => {
        let made = 0;
        await using server = await Served.start(() => {
          made++;
          return make();
        }, { maxBufferedBytes: 2 * 1024 * 1024 });
        using client = new Client(h2);
        const reader = await FrameClient.connect(client, server.port);
        await reader.start({ 4: 0 });
        reader.send(...many(20, (n) => request(2 * n + 1)));
        await until(() => made >= 3, "the first answers");
        assertLess(made, 8);
        reader.send(windowUpdate(0, 64 * 1024 * 1024), ...many(20, (n) => windowUpdate(2 * n + 1, 2 * 1024 * 1024)));
        await reader.recording.bytes(20 * 1024 * 1024);
        assertEquals(made, 20);
        reader.socket.end();
        await within(reader.recording.closed, "the connection to close");
      }),
    );
  }

  it(
    "has small requests wait too, and begins with all of them when there is room",
    leavingNothingLater(async () => {
      const { promise: never, resolve } = Promise.withResolvers<void>();
      const large = "x".repeat(12 * 1024 * 1024);
      await using server = await Served.start(async ({ url }) => {
        if (url.endsWith("/large")) return new Response(large);
        if (url.endsWith("/late")) await never;
        return new Response("ok");
      });
      using client = new Client(h2);
      const reader = await FrameClient.connect(client, server.port);
      // None of this is a mistake of the client's: no stream is to be reset.
      const isReset = () => reader.frames.some(({ type }) => type === 3 || type === 7);
      const isAnswered = (id: number) =>
        reader.frames.some(({ type, stream, flags }) => stream === id && type < 2 && flags & 1);
      await reader.start({ 4: 1024 });
      reader.send(request(1, "GET", "/large"), request(3, "GET", "/large"));
      await until(() => server.server.stats().requests === 2, "the large ones");
      await setTimeout(100);
      reader.send(request(5, "GET", "/late"), ...many(30, (n) => request(2 * n + 7)));
      await setTimeout(100);
      assertEquals(isReset(), false);
      reader.send(reset(1), reset(3));
      await until(
        () => many(30, (n) => 2 * n + 7).every(isAnswered),
        "the small ones",
      );
      assertEquals([isReset(), server.server.stats().requests], [false, 33]);
      resolve();
      await until(() => isAnswered(5), "the late one");
      reader.socket.end();
      await within(reader.recording.closed, "the connection to close");
    }),
  );

  it(
    "counts the requests that a client has reset as long as their handlers are busy",
    leavingNothingLater(async () => {
      const { promise: never, resolve } = Promise.withResolvers<void>();
      await using server = await Served.start(async ({ url }) => {
        if (url.endsWith("/late")) await never;
        return new Response("ok");
      }, { maxConcurrentStreams: 10 });
      using client = new Client(h2);
      const attacker = await FrameClient.connect(client, server.port);
      await attacker.start();
      let most = 0;
      for (let n = 0; n < 40; n++) {
        attacker.send(request(2 * n + 1, "GET", "/late"));
        await setTimeout(5);
        attacker.send(reset(2 * n + 1));
        most = Math.max(most, server.server.stats().activeRequests);
      }
      assertEquals([most, attacker.isEnded], [10, false]);
      resolve();
      attacker.send(request(81));
      await until(() => attacker.frames.some(({ stream, flags }) => stream === 81 && flags & 1), "an answer");
      assertEquals(server.server.stats().activeRequests, 0);
      attacker.socket.destroy();
    }),
  );

  it(
    "ends a client that holds an answer up, whatever stands in the reserved bit of its WINDOW_UPDATEs",
    leavingNothingLater(async () => {
      const { promise: never, resolve } = Promise.withResolvers<void>();
      await using server = await Served.start(async ({ method }) => {
        if (method === "POST") await never;
        return new Response("x".repeat(1024 * 1024));
      }, { idleTimeout: 400 });
      using client = new Client(h2);
      const attacker = await FrameClient.connect(client, server.port);
      await attacker.start({ 4: 10 });
      attacker.send(request(1), request(3, "POST", "/", 4));
      await until(() => attacker.frames.some(({ type, stream }) => type === 0 && stream === 1), "the beginning");
      attacker.send(windowUpdate(1, 0x80000001), windowUpdate(0, 0x80000001));
      while (!attacker.isEnded) {
        attacker.send(frame(0, 0, 3, new Uint8Array(1)));
        await setTimeout(50);
      }
      assertEquals(server.server.stats().idleTimeouts, 1);
      resolve();
      attacker.socket.destroy();
    }),
  );

  it(
    "serves a client that cancels and asks anew as people do",
    leavingNothingLater(async () => {
      await using server = await Served.start(() => new Response("x".repeat(1000)));
      using client = new Client(h2);
      const browser = await FrameClient.connect(client, server.port);
      await browser.start();
      let stream = 1;
      for (let page = 0; page < 30; page++) {
        const before = server.server.stats().requests;
        // Twenty requests, five of them cancelled, and what a browser says beside.
        for (let n = 0; n < 20; n++, stream += 2) {
          browser.send(request(stream), windowUpdate(0, 1000));
          if (n % 4 === 3) browser.send(reset(stream));
        }
        browser.send(ping);
        await until(() => server.server.stats().requests >= before + 15, "the requests of a page");
      }
      assertEquals([browser.isClosed, server.server.stats().http2Floods], [false, 0]);
      assertGreater(server.server.stats().requests, 449);
      browser.socket.end();
      await within(browser.recording.closed, "the connection to close");
    }),
  );
});
