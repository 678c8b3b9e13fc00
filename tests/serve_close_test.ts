import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { type HttpsServer, serve } from "../mod.ts";
import { joined, until, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording } from "./socket_support.ts";
import { bytes, credentials, versions } from "./support.ts";

const request = bytes("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");

function serveHttp1(handler: () => Response | Promise<Response> = () => new Response("hello")): Promise<HttpsServer> {
  return serve({ ...credentials, hostname: "127.0.0.1", alpnProtocols: ["http/1.1"] }, handler);
}

const text = (parts: readonly Uint8Array[]) => new TextDecoder().decode(joined(parts));

/** All that came on a connection until it was closed. */
async function answerOn(recording: Recording): Promise<string> {
  assertEquals(await within(recording.closed, "the connection to close"), undefined);
  return text(recording.parts);
}

for (const version of versions) {
  describe(`${version}: a server of serve() closes with grace`, () => {
    it(
      "and answers who has connected, and asks only now",
      leavingNothingLater(async () => {
        const server = await serveHttp1();
        using client = new Client({ version, alpnProtocols: ["http/1.1"] });
        const recordings = [new Recording(), new Recording()];
        const sockets = [];
        for (const { handlers } of recordings) sockets.push(await client.connect(server.port, handlers));
        const closed = server.close({ grace: 10_000 });
        sockets[0]!.write(request);
        // The second one after the event loop has gone round a few times.
        await new Promise((resolve) => setTimeout(resolve, 50));
        sockets[1]!.write(request);
        for (const recording of recordings) assertMatch(await answerOn(recording), /^HTTP\/1\.1 200 [^]*hello/);
        await within(closed, "the server to close");
        assertEquals([server.stats().requests, server.stats().failedHandshakes], [2, 0]);
      }),
    );

    it(
      "and tells who asks on an idle connection that it ends with the answer",
      leavingNothingLater(async () => {
        const server = await serveHttp1();
        using client = new Client({ version, alpnProtocols: ["http/1.1"] });
        const recording = new Recording();
        const socket = await client.connect(server.port, recording.handlers);
        socket.write(request);
        await until(() => text(recording.parts).includes("hello"), "the answer");
        const closed = server.close({ grace: 10_000 });
        await new Promise((resolve) => setTimeout(resolve, 50));
        socket.write(request);
        const [, first, last] = (await answerOn(recording)).split("HTTP/1.1 200");
        assert(!/^connection: close/im.test(first!));
        assertMatch(last!, /^connection: close\r$[^]*hello/im);
        await within(closed, "the server to close");
      }),
    );

    it(
      "and does not wait for idle connections, nor long for those that were never used",
      leavingNothingLater(async () => {
        const server = await serveHttp1();
        using client = new Client({ version, alpnProtocols: ["http/1.1"] });
        const [used, unused] = [new Recording(), new Recording()];
        const socket = await client.connect(server.port, used.handlers);
        socket.write(request);
        await until(() => text(used.parts).includes("hello"), "the answer");
        await client.connect(server.port, unused.handlers);
        const began = performance.now();
        await within(server.close({ grace: 60_000 }), "the server to close", 5_000);
        assert(performance.now() - began < 4_000);
        assertStringIncludes(await answerOn(used), "hello");
        assertEquals(await answerOn(unused), "");
      }),
    );

    it(
      "and ends the connection after an answer that is under way",
      leavingNothingLater(async () => {
        const answer = Promise.withResolvers<Response>();
        const server = await serveHttp1(() => answer.promise);
        using client = new Client({ version, alpnProtocols: ["http/1.1"] });
        const recording = new Recording();
        const socket = await client.connect(server.port, recording.handlers);
        socket.write(request);
        await until(() => server.stats().activeRequests === 1, "the request");
        const closed = server.close({ grace: 60_000 });
        await new Promise((resolve) => setTimeout(resolve, 50));
        assertEquals(server.connections, 1);
        answer.resolve(new Response("at last"));
        assertMatch(await answerOn(recording), /^HTTP\/1\.1 200 [^]*at last/);
        await within(closed, "the server to close", 5_000);
      }),
    );
  });
}

describe("close() of a server of serve(), called again", () => {
  /** A request is under way when `act` is called; what it answers is awaited before the handler answers. */
  async function underWay(act: (server: HttpsServer) => Promise<void>): Promise<string> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const server = await serveHttp1(() => late.then(() => new Response("hello")));
    using client = new Client({ alpnProtocols: ["http/1.1"] });
    const recording = new Recording();
    const socket = await client.connect(server.port, recording.handlers);
    socket.write(request);
    await until(() => server.stats().activeRequests === 1, "the request");
    await act(server);
    resolve();
    await within(server.close(), "the server to close");
    await within(recording.closed, "the connection to close");
    return recording.text;
  }

  it(
    "waits no longer than the shorter time that was given",
    leavingNothingLater(async () => {
      const text = await underWay(async (server) => {
        const first = server.close({ grace: 600_000 });
        await within(Promise.all([server.close({ grace: 0 }), first]), "the server to close", 8000);
      });
      assertEquals(text, "");
    }),
  );

  it(
    "waits on where no time is given, or a longer one",
    leavingNothingLater(async () => {
      const text = await underWay(async (server) => {
        for (const options of [{ grace: 10_000 }, undefined, { grace: 60_000 }]) void server.close(options);
        await new Promise((resolve) => setTimeout(resolve, 50));
      });
      assertMatch(text, /hello/);
    }),
  );

  it(
    "waits for longer than a timer can",
    leavingNothingLater(async () => {
      const text = await underWay(async (server) => {
        void server.close({ grace: 2 ** 40 });
        await new Promise((resolve) => setTimeout(resolve, 2500));
      });
      assertMatch(text, /hello/);
    }),
  );
});
