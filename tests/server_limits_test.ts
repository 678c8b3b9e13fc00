import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { setTimeout } from "node:timers/promises";
import type { TlsSocket } from "../mod.ts";
import { Served } from "./serve_support.ts";
import { until, within } from "./server_support.ts";
import { Client, echo, leavingNothingLater, Recording, Server, TcpClient } from "./socket_support.ts";
import { bytes, versions } from "./support.ts";

describe("A server's limits", () => {
  it(
    "end a ClientHello that comes byte by byte when handshakeTimeout is over",
    leavingNothingLater(async () => {
      await using server = await Server.start(echo, {}, { handshakeTimeout: 150 });
      using client = new Client();
      await using tcp = await TcpClient.connect(server.port, client.context);
      const hello = tcp.pull();
      // As slow as a trickle has to be, and never silent.
      for (const byte of hello) {
        if (tcp.isOver) break;
        await tcp.send(new Uint8Array([byte]));
        await setTimeout(5);
      }
      await within(tcp.ended, "the server to close the connection");
      assertEquals([server.listener.stats().handshakeTimeouts, server.listener.stats().handshakes], [1, 0]);
      assertMatch(server.errors[0]!.message, /did not finish its handshake in 150 ms/);
      await server.empty();
      assertEquals(server.listener.stats().failedHandshakes, 1);
    }),
  );

  it(
    "end a connection that is silent for idleTimeout, and not one that speaks",
    leavingNothingLater(async () => {
      await using server = await Server.start(echo, {}, { idleTimeout: 200 });
      using client = new Client();
      const [silent, speaking] = [new Recording(), new Recording()];
      await client.connect(server.port, silent.handlers);
      const socket = await client.connect(server.port, speaking.handlers);
      let said = 0;
      let isSilentClosed = false;
      silent.closed.then(() => isSilentClosed = true);
      // The client's end of it may be closed before the server's.
      while (!isSilentClosed || server.listener.connections > 1) {
        socket.write(bytes("x"));
        await speaking.bytes(++said);
        await setTimeout(10);
      }
      await until(() => server.listener.connections === 1, "the server's side to close");
      assertEquals(server.listener.stats().idleTimeouts, 1);
      assertEquals(socket.isClosed, false);
      socket.end();
      await within(speaking.closed, "the other connection to close");
    }),
  );

  it(
    "end a connection whose client never reads when idleTimeout is over",
    leavingNothingLater(async () => {
      let socket: TlsSocket | undefined;
      await using server = await Server.start(
        (opened) => {
          socket = opened;
          const part = new Uint8Array(65_536);
          const pump = () => {
            while (opened.write(part));
          };
          return { data: pump, drain: pump };
        },
        {},
        { idleTimeout: 200 },
      );
      using client = new Client();
      const recording = new Recording();
      const reader = await client.connect(server.port, recording.handlers);
      reader.write(bytes("go"));
      reader.pause();
      await until(() => server.listener.stats().idleTimeouts === 1, "the client to be given up");
      await server.empty();
      assertEquals(socket!.isClosed, true);
      assertGreater(server.listener.stats().bytesWritten, 0);
      reader.destroy();
    }),
  );

  it(
    "close connections beyond maxConnections at once, and let others in when there is room",
    leavingNothingLater(async () => {
      await using server = await Server.start(echo, {}, { maxConnections: 2 });
      using client = new Client();
      const recordings = [new Recording(), new Recording()];
      const sockets = [];
      for (const { handlers } of recordings) sockets.push(await client.connect(server.port, handlers));
      await using refused = await TcpClient.connect(server.port);
      await within(refused.ended, "the third connection to be closed");
      assertEquals([server.listener.stats().refusedConnections, server.listener.connections], [1, 2]);
      sockets[0]!.end();
      await within(recordings[0]!.closed, "a connection to close");
      await until(() => server.listener.connections === 1, "room");
      await client.visit(server.port);
      sockets[1]!.end();
      await within(recordings[1]!.closed, "a connection to close");
    }),
  );

  it(
    "count connections for each address",
    leavingNothingLater(async () => {
      await using server = await Server.start(echo, {}, { maxConnectionsPerAddress: 1 });
      await using _first = await TcpClient.connect(server.port);
      await until(() => server.listener.connections === 1, "the first connection");
      await using second = await TcpClient.connect(server.port);
      await within(second.ended, "the second connection to be closed");
      assertEquals([server.listener.stats().refusedPerAddress, server.listener.stats().accepted], [1, 2]);
    }),
  );

  it(
    "close connections beyond maxHandshakes at once",
    leavingNothingLater(async () => {
      await using server = await Server.start(echo, {}, { maxHandshakes: 1 });
      await using _first = await TcpClient.connect(server.port);
      await until(() => server.listener.stats().handshaking === 1, "the first handshake");
      await using second = await TcpClient.connect(server.port);
      await within(second.ended, "the second connection to be closed");
      assertEquals(server.listener.stats().refusedHandshakes, 1);
    }),
  );

  it(
    "close a connection for which more than maxBufferedBytes wait",
    leavingNothingLater(async () => {
      await using server = await Server.start(
        (socket) => ({
          data: () => {
            // Heeds nothing of what write() answers.
            while (!socket.isClosed) socket.write(new Uint8Array(65_536));
          },
        }),
        {},
        { maxBufferedBytes: 1024 * 1024 },
      );
      using client = new Client();
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      socket.pause();
      socket.write(bytes("go"));
      await until(() => server.listener.stats().bufferOverflows === 1, "the limit");
      await server.empty();
      assertMatch(server.errors[0]!.message, /does not read: \d+ bytes wait for it/);
      socket.destroy();
    }),
  );

  it(
    "end a request's head that comes byte by byte, also the second one's of a connection",
    leavingNothingLater(async () => {
      await using server = await Served.start(() => new Response("ok"), { headerTimeout: 300 });
      using client = new Client({ alpnProtocols: ["http/1.1"] });
      for (const before of ["", "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"]) {
        const count = server.server.stats().requests;
        const recording = new Recording();
        let isOver = false;
        recording.closed.then(() => isOver = true);
        const end = (ended: TlsSocket) => {
          isOver = true;
          ended.end();
        };
        const socket = await client.connect(server.port, { ...recording.handlers, end });
        if (before) {
          socket.write(bytes(before));
          await until(() => recording.text.includes("ok"), "the first answer");
        }
        socket.write(bytes("GET / HTTP/1.1\r\nx: "));
        while (!isOver) {
          socket.write(bytes("x"));
          await setTimeout(10);
        }
        await within(recording.closed, "the server to close the connection");
        assertEquals(server.server.stats().requests - count, before ? 1 : 0);
      }
      assertEquals(server.server.stats().headerTimeouts, 2);
    }),
  );

  it(
    "do not take for a head what comes of an upload whose handler has answered, and says nothing before its end",
    leavingNothingLater(async () => {
      const headerTimeout = 300;
      await using server = await Served.start((request) => {
        const all = request.arrayBuffer();
        const body = new ReadableStream({
          async start(controller) {
            controller.enqueue(bytes(`${(await all).byteLength} bytes`));
            controller.close();
          },
        });
        return new Response(body);
      }, { headerTimeout });
      using client = new Client({ alpnProtocols: ["http/1.1"] });
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      const [parts, part] = [60, new Uint8Array(16 * 1024)];
      socket.write(bytes(`POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${parts * part.length}\r\n\r\n`));
      const began = performance.now();
      for (let i = 0; i < parts && !socket.isClosed; i++) {
        socket.write(part);
        await setTimeout(20);
      }
      assert(performance.now() - began > 3 * headerTimeout, "the upload was too fast to tell");
      await until(() => recording.text.includes(`${parts * part.length} bytes`), "the answer");
      assertEquals(server.server.stats().headerTimeouts, 0);
      socket.end();
      await within(recording.closed, "the connection to close");
    }),
  );

  it(
    "end a client that only trickles after the server's goodbye, and not one that uploads",
    leavingNothingLater(async () => {
      let uploaded = 0;
      await using server = await Server.start((socket) => {
        socket.end();
        return { data: (_socket, bytes) => void (uploaded += bytes.length), end() {} };
      });
      using client = new Client();
      await using trickling = await TcpClient.connect(server.port, client.context);
      await trickling.shakeHands();
      const uploading = await client.connect(server.port, { end() {} });
      // A record's head, and then one byte of it after the other.
      await trickling.send(new Uint8Array([23, 3, 3, 64, 0]));
      const end = performance.now() + 8_000;
      let isClosed = false;
      trickling.closed.then(() => isClosed = true);
      while (!isClosed && performance.now() < end) {
        await Promise.race([trickling.send(new Uint8Array(1)), trickling.closed]);
        uploading.write(new Uint8Array(8_192));
        await setTimeout(50);
      }
      assertEquals([isClosed, uploading.isClosed, server.listener.connections], [true, false, 1]);
      assertMatch(server.errors.join(), /^$/);
      assertGreater(uploaded, 400_000);
      uploading.end();
    }),
  );

  for (const wrong of ["handshakeTimeout", "idleTimeout", "maxConnections", "maxHandshakes", "maxBufferedBytes"]) {
    it(`refuse a ${wrong} that is none`, async () => {
      let error: unknown;
      try {
        await using _server = await Server.start(echo, {}, { [wrong]: -1 });
      } catch (thrown) {
        error = thrown;
      }
      assert(error instanceof RangeError, String(error));
      assertMatch(error.message, /-1/);
    });
  }
});

for (const version of versions) {
  describe(`${version}: a client that goes in the middle of its handshake`, () => {
    const stages = [
      "before it has said anything",
      "in its ClientHello",
      "after its ClientHello",
      "before its Finished",
    ];
    for (const [stage, name] of stages.entries()) {
      for (const how of ["ends", "resets"] as const) {
        it(
          `and ${how}, ${name}, leaves nothing behind`,
          leavingNothingLater(async () => {
            await using server = await Server.start(echo);
            using client = new Client({ version });
            {
              await using tcp = await TcpClient.connect(server.port, client.context);
              await until(() => server.listener.connections === 1, "the connection");
              if (stage === 1) await tcp.send(tcp.pull().slice(0, 50));
              if (stage >= 2) {
                await tcp.send(tcp.pull());
                if (stage === 3) {
                  tcp.connection!.pushCiphertext(await tcp.receive());
                  const rest = tcp.pull();
                  await tcp.send(rest.slice(0, Math.max(1, rest.length - 10)));
                }
              }
              if (how === "ends") tcp.socket.end();
              else tcp.socket.resetAndDestroy();
              await server.empty();
            }
            assertEquals([server.listener.stats().handshakes, server.listener.stats().failedHandshakes], [0, 1]);
            await client.visit(server.port);
          }),
        );
      }
    }
  });
}
