import { assertEquals, assertGreater, assertLess, assertRejects, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { createServer } from "node:net";
import { listen, ReleasedError, SslContext } from "../mod.ts";
import { listenSockets } from "../server/listen.ts";
import { within } from "./server_support.ts";
import { Client, echo, leavingNothingLater, Recording, Server, TcpClient } from "./socket_support.ts";
import { bytes, credentials, versions } from "./support.ts";

describe("listen() refuses what cannot work", () => {
  const handler = () => ({});

  it("a context that was disposed", async () => {
    const context = SslContext.server(credentials);
    context.dispose();
    await assertRejects(() => listenSockets({ context }, handler), ReleasedError, "Cannot use this context");
  });

  it("no certificate, no context, or a client's", async () => {
    await assertRejects(() => listenSockets({}, handler), TypeError, "Cannot make a server without a certificate");
    const wrong = { context: {} as SslContext };
    await assertRejects(() => listenSockets(wrong, handler), TypeError, "it takes an SslContext, not an object");
    using context = SslContext.client();
    await assertRejects(() => listenSockets({ context }, handler), TypeError, "Cannot listen with a client's context");
  });

  it("no handler", async () => {
    using context = SslContext.server(credentials);
    const nothing = undefined as unknown as typeof handler;
    await assertRejects(() => listen({ context }, nothing), TypeError, "Cannot listen without a handler");
  });
});

describe("listen()", () => {
  it(
    "serves a client",
    leavingNothingLater(async () => {
      await using server = await Server.start(echo);
      using client = new Client();
      assertEquals(await client.visit(server.port), { resumed: false, protocol: "TLSv1.3" });
      assertEquals(server.errors, []);
    }),
  );

  it(
    "serves fifty clients at once",
    leavingNothingLater(async () => {
      await using server = await Server.start(echo);
      using client = new Client();
      await Promise.all(Array.from({ length: 50 }, () => client.visit(server.port)));
      assertEquals(server.errors, []);
    }),
  );

  it(
    "says where it listens, and how many connections there are",
    leavingNothingLater(async () => {
      await using server = await Server.start(echo);
      const { listener } = server;
      assertEquals(listener.hostname, "127.0.0.1");
      assertGreater(listener.port, 0);
      assertEquals(listener.connections, 0);
      using client = new Client();
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      assertEquals(listener.connections, 1);
      socket.end();
      await within(recording.closed, "the connection to close");
      await server.empty();
    }),
  );

  it(
    "listens on IPv6",
    leavingNothingLater(async () => {
      await using server = await Server.start(echo, {}, { hostname: "::1" });
      assertEquals(server.listener.hostname, "::1");
      using client = new Client();
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers, { hostname: "::1" });
      socket.write(bytes("hello"));
      await recording.bytes(5);
      socket.end();
      await within(recording.closed, "the connection to close");
    }),
  );

  it(
    "says so of a port that is in use",
    leavingNothingLater(async () => {
      await using server = await Server.start(echo);
      const { context } = server;
      await assertRejects(
        () => listenSockets({ context, hostname: "127.0.0.1", port: server.port }, echo),
        Error,
        `Cannot listen on 127.0.0.1:${server.port}: the port is in use`,
      );
      using client = new Client();
      assertEquals((await client.visit(server.port)).resumed, false);
    }),
  );

  it(
    "says so of an address that is not this machine's",
    leavingNothingLater(async () => {
      using context = SslContext.server(credentials);
      // An address for documentation: nobody has it.
      await assertRejects(
        () => listenSockets({ context, hostname: "192.0.2.1" }, echo),
        Error,
        "Cannot listen on 192.0.2.1:0: the address is not this machine's",
      );
    }),
  );

  it(
    "says so of a name that is nobody's",
    leavingNothingLater(async () => {
      using context = SslContext.server(credentials);
      const listening = listenSockets({ context, hostname: "no-such-host.invalid" }, echo);
      await assertRejects(() => within(listening, "an error"), Error, "Cannot listen on no-such-host.invalid:0: ");
    }),
  );

  it(
    "takes ports from 0 to 65535",
    leavingNothingLater(async () => {
      using context = SslContext.server(credentials);
      for (const port of [-1, 65536, 1.5, NaN]) {
        await assertRejects(() => listenSockets({ context, port }, echo), RangeError, `not ${port}`);
      }
    }),
  );

  it(
    "takes times above 0 for the handshake",
    leavingNothingLater(async () => {
      using context = SslContext.server(credentials);
      for (const handshakeTimeout of [0, -5, NaN, Infinity]) {
        await assertRejects(
          () => listenSockets({ context, handshakeTimeout }, echo),
          RangeError,
          `not ${handshakeTimeout}`,
        );
      }
    }),
  );

  it(
    "tells of a client's address",
    leavingNothingLater(async () => {
      const addresses: string[] = [];
      await using server = await Server.start((socket) => {
        addresses.push(`${socket.remoteAddress} ${socket.remotePort > 0}`);
        return echo(socket);
      });
      using client = new Client();
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      assertEquals([socket.remoteAddress, socket.remotePort], ["127.0.0.1", server.port]);
      socket.end();
      await within(recording.closed, "the connection to close");
      assertEquals(addresses, ["127.0.0.1 true"]);
    }),
  );
});

describe("Listener.close()", () => {
  it(
    "frees the port",
    leavingNothingLater(async () => {
      const server = await Server.start(echo);
      await server[Symbol.asyncDispose]();
      const other = createServer();
      await within(
        new Promise<void>((resolve, reject) => {
          other.once("error", reject).listen(server.port, "127.0.0.1", resolve);
        }),
        "the port",
      );
      await within(new Promise((resolve) => other.close(resolve)), "the port to close");
    }),
  );

  it(
    "is one and the same when called twice",
    leavingNothingLater(async () => {
      const server = await Server.start(echo);
      const [first, second] = [server.listener.close(), server.listener.close()];
      await within(Promise.all([first, second]), "the server to close");
      await within(server.listener.close(), "the server to close");
      server.context.dispose();
    }),
  );

  for (const version of versions) {
    it(
      `${version}: says goodbye to the clients that are there, and their sessions stay good`,
      leavingNothingLater(async () => {
        using client = new Client({ version });
        const recordings = [new Recording(), new Recording(), new Recording()];
        const server = await Server.start(echo);
        for (const { handlers } of recordings) {
          const socket = await client.connect(server.port, handlers);
          socket.write(bytes("hello"));
        }
        for (const recording of recordings) await recording.bytes(5);
        assertEquals(server.listener.connections, 3);
        await server[Symbol.asyncDispose]();
        for (const recording of recordings) {
          await within(recording.ended, "the server's goodbye");
          assertEquals(await within(recording.closed, "the connection to close"), undefined);
        }
        assertEquals(server.listener.connections, 0);
        assertEquals(server.errors, []);
        assertEquals(server.store.size, 3);
      }),
    );
  }

  it(
    "lets no new client in",
    leavingNothingLater(async () => {
      const server = await Server.start(echo);
      await server[Symbol.asyncDispose]();
      using client = new Client();
      const error = await assertRejects(() => client.connect(server.port), Error);
      assertStringIncludes(error.message, `Cannot connect to 127.0.0.1:${server.port}`);
    }),
  );

  it(
    "does not wait for a client that has not finished its handshake",
    leavingNothingLater(async () => {
      const established: unknown[] = [];
      const server = await Server.start((socket) => {
        established.push(socket);
        return {};
      });
      using context = SslContext.client({ verify: "none" });
      await using silent = await TcpClient.connect(server.port);
      await using halfway = await TcpClient.connect(server.port, context);
      await halfway.send(halfway.pull());
      await halfway.receive();
      const began = performance.now();
      await server[Symbol.asyncDispose]();
      assertLess(performance.now() - began, 2500);
      for (const client of [silent, halfway]) await within(client.ended, "the server's end");
      assertEquals([established, server.errors], [[], []]);
    }),
  );

  it(
    "destroys a connection whose client does not say goodbye, after a second",
    leavingNothingLater(async () => {
      using client = new Client();
      const server = await Server.start(echo);
      // It reads nothing, and so does not learn of the end.
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      socket.write(bytes("hello"));
      await recording.bytes(5);
      socket.pause();
      const began = performance.now();
      await within(server.listener.close(), "the server to close");
      const milliseconds = performance.now() - began;
      assertGreater(milliseconds, 900);
      assertLess(milliseconds, 4500);
      server.context.dispose();
      socket.destroy();
      await within(recording.closed, "the client's socket to close");
    }),
  );
});
