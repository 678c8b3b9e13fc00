import { assertEquals, assertLess } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { createHash } from "node:crypto";
import process from "node:process";
import type { TlsSocket } from "../mod.ts";
import { Served } from "./serve_support.ts";
import { until, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording } from "./socket_support.ts";
import { bytes } from "./support.ts";

const mebibyte = 1024 * 1024;
const parts = 256;
const http1 = { alpnProtocols: ["http/1.1"] };

/** A mebibyte of what is sent, unlike the others. */
function part(index: number): Uint8Array {
  const words = new Uint32Array(mebibyte / 4);
  let state = 0x9e3779b9 + index;
  for (let word = 0; word < words.length; word++) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + word;
    words[word] = state;
  }
  return new Uint8Array(words.buffer);
}

/** What all parts together hash to. */
function digestOf(count: number): string {
  const hash = createHash("sha256");
  for (let index = 0; index < count; index++) hash.update(part(index));
  return hash.digest("hex");
}

/** Takes the head of an answer away. */
function bodyOnly(consume: (bytes: Uint8Array) => void): (bytes: Uint8Array) => void {
  let head = "";
  let isBody = false;
  return (received) => {
    if (isBody) return consume(received);
    head += String.fromCharCode(...received.subarray(0, 1000));
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) return;
    isBody = true;
    consume(received.subarray(end + 4));
  };
}

describe("256 MiB over serve()", () => {
  it(
    "go down byte for byte to a reader that pauses, made only as it has room for them",
    leavingNothingLater(async () => {
      let made = 0;
      await using server = await Served.start(() => {
        const stream = new ReadableStream<Uint8Array>({
          pull(controller) {
            if (made === parts) controller.close();
            else controller.enqueue(part(made++));
          },
        });
        return new Response(stream, { headers: { "content-type": "application/octet-stream" } });
      });
      using client = new Client(http1);
      const hash = createHash("sha256");
      let received = 0;
      const take = bodyOnly((bytes) => {
        received += bytes.length;
        hash.update(bytes);
      });
      let isResting = false;
      const closed = Promise.withResolvers<Error | undefined>();
      const socket = await client.connect(server.port, {
        data: (socket, bytes) => {
          take(bytes);
          if (received < 8 * mebibyte || isResting) return;
          isResting = true;
          socket.pause();
        },
        end: (socket) => socket.end(),
        close: (_socket, error) => closed.resolve(error),
      });
      const before = process.memoryUsage().rss;
      // HTTP/1.0: the body comes as it is, and ends with the connection.
      socket.write(bytes("GET / HTTP/1.0\r\nhost: localhost\r\n\r\n"));
      await until(() => isResting, "the first bytes");
      // Others are served meanwhile, and what is under way comes to rest.
      using other = new Client(http1);
      for (let visit = 0; visit < 20; visit++) {
        const recording = new Recording();
        const visitor = await other.connect(server.port, recording.handlers);
        visitor.end();
        await within(recording.closed, "a visitor to go");
      }
      assertLess(made, parts / 2);
      assertLess(process.memoryUsage().rss - before, 128 * mebibyte);
      socket.resume();
      assertEquals(await within(closed.promise, "the end", 60_000), undefined);
      assertEquals(received, parts * mebibyte);
      assertEquals(hash.digest("hex"), digestOf(parts));
    }),
  );

  it(
    "go up byte for byte to a handler that reads slowly",
    leavingNothingLater(async () => {
      let read = 0;
      await using server = await Served.start(async (request) => {
        const hash = createHash("sha256");
        let turn = 0;
        for await (const bytes of request.body!) {
          hash.update(bytes);
          read += bytes.length;
          // It takes a breath now and then.
          if (++turn % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
        }
        return new Response(hash.digest("hex"));
      });
      using client = new Client(http1);
      const recording = new Recording();
      let next = 0;
      const send = (socket: TlsSocket) => {
        while (next < parts) if (!socket.write(part(next++))) return;
      };
      recording.handlers.drain = send;
      const socket = await client.connect(server.port, recording.handlers);
      const length = parts * mebibyte;
      socket.write(
        bytes(`POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${length}\r\nconnection: close\r\n\r\n`),
      );
      send(socket);
      await within(recording.closed, "the answer", 60_000);
      assertEquals(read, length);
      assertEquals(recording.text.includes(digestOf(parts)), true, recording.text);
    }),
  );
});

describe("Many clients of serve()", () => {
  it(
    "upload 1 MiB each, a hundred at once",
    leavingNothingLater(async () => {
      await using server = await Served.start(async (request) => {
        const body = new Uint8Array(await request.arrayBuffer());
        return new Response(createHash("sha256").update(body).digest("hex"));
      });
      using client = new Client(http1);
      const expected = createHash("sha256").update(part(7)).digest("hex");
      await Promise.all(Array.from({ length: 100 }, async () => {
        const recording = new Recording();
        const socket = await client.connect(server.port, recording.handlers, { handshakeTimeout: 60_000 });
        const head = `POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${mebibyte}\r\nconnection: close\r\n\r\n`;
        socket.write(bytes(head));
        socket.write(part(7));
        await within(recording.closed, "an answer", 60_000);
        assertEquals(recording.text.includes(expected), true, recording.text);
      }));
      assertEquals([server.server.stats().requests, server.errors], [100, []]);
    }),
  );

  it(
    "may be idle, a thousand of them that resume, while others are served",
    leavingNothingLater(async () => {
      await using server = await Served.start(() => new Response("here"), { handshakeTimeout: 60_000 });
      using client = new Client(http1);
      const sockets: TlsSocket[] = [];
      for (let batch = 0; batch < 20; batch++) {
        // Each with a session of its own, from the batch before.
        const sessions = client.sessions.slice(-50);
        const connecting = Array.from({ length: 50 }, (_, index) => {
          const session = sessions[index];
          return client.connect(server.port, {}, session ? { session } : {});
        });
        sockets.push(...await Promise.all(connecting));
        assertEquals(sockets.slice(-50).map(({ isResumed }) => isResumed), Array(50).fill(batch > 0));
        // With TLS 1.3 they come after the handshake.
        const wanted = 50 * (batch + 1);
        await until(() => client.sessions.length >= wanted, "sessions for the next batch");
      }
      assertEquals([server.server.connections, server.server.stats().resumed], [1000, 950]);
      for (let visit = 0; visit < 20; visit++) {
        const recording = new Recording();
        const socket = await client.connect(server.port, recording.handlers, { session: client.sessions.at(-1)! });
        assertEquals(socket.isResumed, true);
        socket.write(bytes("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"));
        await within(recording.closed, "an answer");
        assertEquals(recording.text.endsWith("here"), true);
      }
      const { handshakes, resumed, requests } = server.server.stats();
      assertEquals([handshakes, resumed, requests, server.errors], [1020, 970, 20, []]);
      for (const socket of sockets) socket.destroy();
      await until(() => server.server.connections === 0, "the connections to go", 30_000);
    }),
  );
});
