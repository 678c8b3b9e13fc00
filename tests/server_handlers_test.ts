import { assert, assertEquals, assertInstanceOf, assertStringIncludes, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { MemoryStore, ReleasedError, type TlsSocket, type TlsSocketHandlers } from "../mod.ts";
import { within } from "./server_support.ts";
import { Client, echo, leavingNothingLater, Recording, Server } from "./socket_support.ts";
import { bytes, versions } from "./support.ts";

const oops = new Error("a handler's own fault");
const throwing = () => {
  throw oops;
};

/** Ways to close a socket from within its own handler. */
const closings: Record<string, (socket: TlsSocket) => void> = {
  "end()": (socket) => socket.end(),
  "end() with bytes": (socket) => socket.end(bytes("bye")),
  "destroy()": (socket) => socket.destroy(),
  "destroy() and end()": (socket) => {
    socket.destroy();
    socket.end();
  },
  "end() and destroy()": (socket) => {
    socket.end();
    socket.destroy();
  },
};

/** Places to do it, on the server, of a connection whose client writes three times and ends. */
const places: Record<string, (act: (socket: TlsSocket) => void) => (socket: TlsSocket) => TlsSocketHandlers> = {
  "onConnection": (act) => (socket) => {
    act(socket);
    return { data: () => {} };
  },
  "the data handler": (act) => () => ({ data: act }),
  "the data handler, after a write": (act) => () => {
    let calls = 0;
    return {
      data: (socket) => {
        if (calls++ === 0) socket.write(bytes("x".repeat(100_000)));
        act(socket);
      },
    };
  },
  "the end handler": (act) => () => ({ data: () => {}, end: act }),
  "the close handler": (act) => () => ({ close: act }),
};

for (const version of versions) {
  describe(`${version}: a server's socket`, () => {
    for (const [place, handlersWith] of Object.entries(places)) {
      for (const [how, close] of Object.entries(closings)) {
        it(
          `can be closed from within ${place} by ${how}`,
          leavingNothingLater(async () => {
            let acted = 0;
            await using server = await Server.start(handlersWith((socket) => {
              acted++;
              close(socket);
            }));
            using client = new Client({ version });
            const recording = new Recording({ end: () => {} });
            const socket = await client.connect(server.port, recording.handlers);
            for (let part = 0; part < 3; part++) socket.write(bytes("hello"));
            socket.end();
            await within(recording.closed, "the connection to close");
            await server.empty();
            assert(acted > 0);
            assertEquals(server.errors, []);
          }),
        );
      }
    }

    for (const where of ["onConnection", "data", "drain", "end", "close"] as const) {
      it(
        `whose ${where} handler throws is destroyed, the operator is told, and the server goes on`,
        leavingNothingLater(async () => {
          const closed = Promise.withResolvers<Error | undefined>();
          const close = (_socket: TlsSocket, error?: Error) => closed.resolve(error);
          let connections = 0;
          await using server = await Server.start((socket) => {
            if (connections++ > 0) return echo(socket);
            if (where === "onConnection") throw oops;
            if (where === "drain") { while (socket.write(new Uint8Array(100_000))); }
            return { close, [where]: throwing };
          });
          const failed = server.failure();
          using client = new Client({ version });
          const recording = new Recording({ end: (socket) => void setImmediate(() => socket.end()) });
          const socket = await client.connect(server.port, recording.handlers);
          socket.write(bytes("hello"));
          if (where === "end" || where === "close") socket.end();
          assertEquals(await failed, oops);
          await within(recording.closed, "the connection to close");
          if (where !== "onConnection" && where !== "close") {
            assertEquals(await within(closed.promise, "the close handler"), oops);
          }
          await server.empty();
          assertEquals(server.errors, [oops]);
          await client.visit(server.port);
        }),
      );
    }

    it(
      "whose session callback throws goes on, and the operator is told",
      leavingNothingLater(async () => {
        await using server = await Server.start(echo);
        const failed = server.failure();
        server.cache.detach(server.context);
        server.context.setNewSessionCallback(throwing);
        using client = new Client({ version });
        assertEquals((await client.visit(server.port)).resumed, false);
        assertEquals(await failed, oops);
        server.context.setGetSessionCallback(throwing);
        assertEquals((await client.visit(server.port, client.sessions.at(-1))).resumed, false);
        assertEquals(server.errors, [oops, oops, oops]);
      }),
    );

    it(
      "outlives an onError that throws",
      leavingNothingLater(async () => {
        let told = 0;
        await using server = await Server.start(echo, {}, {
          onError: () => {
            told++;
            throw oops;
          },
        });
        server.cache.detach(server.context);
        server.context.setNewSessionCallback(throwing);
        using client = new Client({ version });
        await client.visit(server.port);
        assertEquals(told, 1);
      }),
    );

    it(
      "does not use what the store's Promise rejects with, and serves the client",
      leavingNothingLater(async () => {
        await using server = await Server.start(echo);
        using client = new Client({ version });
        await client.visit(server.port);
        const rejecting = () => Promise.reject(oops);
        Object.assign(server.store, { get: rejecting, take: rejecting, put: rejecting });
        assertEquals((await client.visit(server.port, client.sessions.at(-1))).resumed, false);
        assertEquals(server.errors, []);
        assert(server.cache.stats().errors > 0);
        assert(server.store instanceof MemoryStore);
      }),
    );

    it(
      "cannot be written to after end()",
      leavingNothingLater(async () => {
        const thrown = Promise.withResolvers<Error>();
        await using server = await Server.start((socket) => {
          socket.end();
          thrown.resolve(assertThrows(() => socket.write(bytes("more")), Error));
          return {};
        });
        using client = new Client({ version });
        const recording = new Recording();
        await client.connect(server.port, recording.handlers);
        const error = await within(thrown.promise, "the error");
        assertEquals(error.message, "Cannot write to this socket: end() was called");
        assertEquals(await within(recording.closed, "the connection to close"), undefined);
      }),
    );
  });
}

describe("a socket that is closed", () => {
  it(
    "takes all calls, says so, and does nothing",
    leavingNothingLater(async () => {
      await using server = await Server.start(echo);
      using client = new Client();
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      assertEquals(socket.isClosed, false);
      socket.destroy();
      await within(recording.closed, "the connection to close");
      assertEquals(socket.isClosed, true);
      assertEquals(socket.write(bytes("more")), false);
      socket.end();
      socket.end(bytes("more"));
      socket.destroy();
      socket.pause();
      socket.resume();
      assertEquals([socket.remoteAddress, socket.remotePort], ["127.0.0.1", server.port]);
      for (const what of ["protocol", "cipher", "isResumed", "alpnProtocol", "serverName"] as const) {
        assertInstanceOf(assertThrows(() => socket[what]), ReleasedError, what);
      }
      assertThrows(() => socket.session(), ReleasedError, "Cannot use this connection");
    }),
  );

  it(
    "tells of the error that it was destroyed with",
    leavingNothingLater(async () => {
      await using server = await Server.start(echo);
      using client = new Client();
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      socket.destroy(oops);
      assertEquals(await within(recording.closed, "the connection to close"), oops);
    }),
  );
});

describe("a context that is disposed while it is listened with", () => {
  it(
    "ends new clients with an error, and those that are there go on",
    leavingNothingLater(async () => {
      await using server = await Server.start(echo);
      using client = new Client();
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      socket.write(bytes("hello"));
      await recording.bytes(5);
      server.context.dispose();
      const failed = server.failure();
      await client.connect(server.port).then(
        () => assert(false, "A client was served"),
        (error) => assertStringIncludes(error.message, "TLS handshake"),
      );
      assertInstanceOf(await failed, ReleasedError);
      socket.write(bytes(" again"));
      await recording.bytes(11);
      assertEquals(recording.text, "hello again");
      socket.end();
      assertEquals(await within(recording.closed, "the connection to close"), undefined);
    }),
  );
});
