import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { Session } from "../mod.ts";
import { within } from "./server_support.ts";
import { Client, echo, leavingNothingLater, Recording, Server, TcpClient } from "./socket_support.ts";
import { versions } from "./support.ts";

const duringHandshake = /^The other side closed the connection during the TLS handshake$|reset/i;

for (const how of ["close", "reset"] as const) {
  const title = how === "close" ? "is gone" : "resets the connection";

  describe(`a client that ${title} during the handshake`, () => {
    it(
      "before any byte leaves nothing behind",
      leavingNothingLater(async () => {
        await using server = await Server.start(echo);
        const failed = server.failure();
        await using client = await TcpClient.connect(server.port);
        await client.vanish(how);
        assert(duringHandshake.test((await failed).message), (await failed).message);
        await server.empty();
        assertEquals(server.errors.length, 1);
      }),
    );

    it(
      "in the middle of its hello leaves nothing behind",
      leavingNothingLater(async () => {
        await using server = await Server.start(echo);
        using contexts = new Client();
        const failed = server.failure();
        await using client = await TcpClient.connect(server.port, contexts.context);
        await client.send(client.pull().subarray(0, 100));
        await client.vanish(how);
        assert(duringHandshake.test((await failed).message), (await failed).message);
        await server.empty();
        assertEquals(server.errors.length, 1);
      }),
    );

    for (const version of versions) {
      it(
        `after its hello leaves nothing behind, with ${version}`,
        leavingNothingLater(async () => {
          await using server = await Server.start(echo);
          using contexts = new Client({ version });
          const failed = server.failure();
          await using client = await TcpClient.connect(server.port, contexts.context);
          await client.send(client.pull());
          assert((await client.receive()).length > 0);
          await client.vanish(how);
          assert(duringHandshake.test((await failed).message), (await failed).message);
          await server.empty();
          assertEquals([server.errors.length, server.store.size], [1, 0]);
        }),
      );
    }
  });

  for (const version of versions) {
    describe(`${version}: a client that ${title} after the handshake`, () => {
      /** The session that the client of the test got; it is to be good still. */
      async function assertGood(server: Server, client: Client, session: Session | undefined): Promise<void> {
        assert(session);
        assertEquals((await client.visit(server.port, session)).resumed, true);
      }

      it(
        "right away leaves nothing behind, and its session stays good",
        leavingNothingLater(async () => {
          const recording = new Recording();
          const connected = Promise.withResolvers<void>();
          let connections = 0;
          await using server = await Server.start((socket) => {
            connected.resolve();
            return connections++ === 0 ? recording.handlers : echo(socket);
          });
          using client = new Client({ version });
          await using tcp = await TcpClient.connect(server.port, client.context);
          await tcp.shakeHands();
          await within(connected.promise, "the server's end of the handshake");
          // With TLS 1.3 the session comes after the handshake.
          while (client.sessions.length === 0) {
            tcp.connection!.pushCiphertext(await tcp.receive());
            tcp.connection!.read(new Uint8Array(1));
          }
          await tcp.vanish(how);
          await within(recording.closed, "the server's socket to close");
          await server.empty();
          assertEquals(server.errors, []);
          assertEquals(server.cache.stats().removed, 0);
          await assertGood(server, client, client.sessions[0]);
        }),
      );

      it(
        "while it speaks leaves nothing behind, and its session stays good",
        leavingNothingLater(async () => {
          const recording = new Recording();
          let connections = 0;
          await using server = await Server.start((socket) =>
            connections++ === 0
              ? { ...recording.handlers, data: (socket, bytes) => void socket.write(bytes) }
              : echo(socket)
          );
          using client = new Client({ version });
          await using tcp = await TcpClient.connect(server.port, client.context);
          await tcp.shakeHands();
          await tcp.write("hello");
          assertEquals(new TextDecoder().decode(await tcp.read()), "hello");
          // A record of which only a part arrives.
          await tcp.send(new Uint8Array([23, 3, 3, 1, 0, 1, 2, 3]));
          await tcp.vanish(how);
          await within(recording.closed, "the server's socket to close");
          await server.empty();
          assertEquals(server.cache.stats().removed, 0);
          await assertGood(server, client, client.sessions[0]);
        }),
      );

      it(
        "in the middle of a large answer leaves nothing behind, and its session stays good",
        leavingNothingLater(async () => {
          const closed = Promise.withResolvers<Error | undefined>();
          const part = new Uint8Array(64 * 1024);
          let connections = 0;
          await using server = await Server.start((socket) => {
            if (connections++ > 0) return echo(socket);
            // It never comes to its end.
            const pump = () => {
              while (socket.write(part));
            };
            return { data: pump, drain: pump, close: (_socket, error) => closed.resolve(error) };
          });
          using client = new Client({ version });
          await using tcp = await TcpClient.connect(server.port, client.context);
          await tcp.shakeHands();
          await tcp.write("go");
          for (let length = 0; length < 1024 * 1024;) length += (await tcp.read()).length;
          await tcp.vanish(how);
          await within(closed.promise, "the server's socket to close");
          await server.empty();
          assertEquals(server.errors, []);
          assertEquals(server.cache.stats().removed, 0);
          await assertGood(server, client, client.sessions[0]);
        }),
      );
    });
  }
}

for (const version of versions) {
  describe(`${version}: a client that ends TCP without a goodbye of TLS`, () => {
    it(
      "is told the rest, and its session stays good",
      leavingNothingLater(async () => {
        const heard = new Recording({
          end: (socket) => socket.end(new TextEncoder().encode("goodbye")),
        });
        let connections = 0;
        await using server = await Server.start((socket) => connections++ === 0 ? heard.handlers : echo(socket));
        using client = new Client({ version });
        await using tcp = await TcpClient.connect(server.port, client.context);
        await tcp.shakeHands();
        await tcp.write("hello");
        tcp.socket.end();
        assertEquals(new TextDecoder().decode(await tcp.read()), "goodbye");
        assertEquals(await within(heard.closed, "the server's socket to close"), undefined);
        assertEquals(heard.text, "hello");
        await server.empty();
        assertEquals(server.errors, []);
        assertEquals((await client.visit(server.port, client.sessions[0])).resumed, true);
      }),
    );
  });
}
