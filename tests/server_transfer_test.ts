import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { createHash } from "node:crypto";
import process from "node:process";
import type { TlsSocket } from "../mod.ts";
import { within } from "./server_support.ts";
import { Client, echo, leavingNothingLater, Recording, Server, TcpClient } from "./socket_support.ts";
import { bytes, versions } from "./support.ts";

const mebibyte = 1024 * 1024;

/** Bytes of which no two places look alike. */
function pattern(length: number): Uint8Array {
  const words = new Uint32Array(length / 4);
  let state = 0x9e3779b9;
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return new Uint8Array(words.buffer);
}

function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Writes all of it, in parts, as fast as the socket wants it. Calls `written` with each part's length. */
function sender(all: Uint8Array, part: number, written: (length: number) => void = () => {}) {
  let offset = 0;
  return (socket: TlsSocket) => {
    while (offset < all.length) {
      const bytes = all.subarray(offset, offset + part);
      offset += bytes.length;
      const more = socket.write(bytes);
      written(bytes.length);
      if (!more) return;
    }
  };
}

for (const version of versions) {
  describe(`${version}: a transfer`, () => {
    it(
      "of 16 MiB there and back is the same, byte for byte, with a client that reads slowly",
      leavingNothingLater(async () => {
        const all = pattern(16 * mebibyte);
        await using server = await Server.start(echo);
        using client = new Client({ version });
        let drains = 0;
        const send = sender(all, 100_000);
        const recording = new Recording({
          data: (socket) => {
            // It takes a breath after each part.
            socket.pause();
            setImmediate(() => socket.resume());
          },
          drain: (socket) => {
            drains++;
            send(socket);
          },
        });
        const socket = await client.connect(server.port, recording.handlers);
        send(socket);
        const received = await recording.bytes(all.length);
        assertEquals(received.length, all.length);
        assertEquals(digest(received), digest(all));
        assertGreater(drains, 0);
        socket.end();
        assertEquals(await within(recording.closed, "the connection to close"), undefined);
      }),
    );

    it(
      "of 64 MiB to a client that does not read stops, and goes on when it reads",
      leavingNothingLater(async () => {
        const part = pattern(64 * 1024);
        let written = 0;
        let refused = 0;
        await using server = await Server.start((socket) => {
          const pump = () => {
            while (written < 64 * mebibyte) {
              const more = socket.write(part);
              written += part.length;
              if (more) continue;
              refused++;
              return;
            }
            socket.end();
          };
          return { data: pump, drain: pump };
        });
        using client = new Client({ version });
        const hash = createHash("sha256");
        let received = 0;
        const recording = new Recording({});
        recording.handlers.data = (_socket, bytes) => {
          hash.update(bytes);
          received += bytes.length;
        };
        const before = process.memoryUsage().rss;
        const socket = await client.connect(server.port, recording.handlers);
        socket.write(bytes("go"));
        socket.pause();
        // Others are served meanwhile.
        for (let visit = 0; visit < 20; visit++) {
          const other = await TcpClient.connect(server.port, client.context);
          await other.shakeHands();
          await other[Symbol.asyncDispose]();
        }
        assertGreater(refused, 0);
        assertLess(written, 32 * mebibyte);
        socket.resume();
        assertEquals(await within(recording.closed, "the transfer's end", 60_000), undefined);
        assertEquals(received, 64 * mebibyte);
        const expected = createHash("sha256");
        for (let sent = 0; sent < 64 * mebibyte; sent += part.length) expected.update(part);
        assertEquals(hash.digest("hex"), expected.digest("hex"));
        // Much less than passed through, whatever the collector has left.
        assertLess(process.memoryUsage().rss - before, 400 * mebibyte);
      }),
    );

    it(
      "that is paused on the server holds the client back",
      leavingNothingLater(async () => {
        const all = pattern(32 * mebibyte);
        let serverSocket: TlsSocket | undefined;
        const arrived = new Recording();
        await using server = await Server.start((socket) => {
          serverSocket = socket;
          socket.pause();
          return arrived.handlers;
        });
        using client = new Client({ version });
        let written = 0;
        const send = sender(all, 65536, (length) => written += length);
        const recording = new Recording({ drain: send });
        const socket = await client.connect(server.port, recording.handlers);
        send(socket);
        for (let visit = 0; visit < 20; visit++) {
          const other = await TcpClient.connect(server.port);
          await other[Symbol.asyncDispose]();
        }
        assertLess(written, all.length);
        assertEquals(arrived.length, 0);
        assert(serverSocket);
        serverSocket.resume();
        assertEquals(digest(await arrived.bytes(all.length)), digest(all));
        socket.end();
        assertEquals(await within(recording.closed, "the connection to close"), undefined);
      }),
    );

    it(
      "in one write of 8 MiB arrives whole, and drain follows once",
      leavingNothingLater(async () => {
        const all = pattern(8 * mebibyte);
        const arrived = new Recording();
        await using server = await Server.start(() => arrived.handlers);
        using client = new Client({ version });
        const drained = Promise.withResolvers<void>();
        let drains = 0;
        const recording = new Recording({
          drain: () => {
            drains++;
            drained.resolve();
          },
        });
        const socket = await client.connect(server.port, recording.handlers);
        assertEquals(socket.write(all), false);
        assertEquals(digest(await arrived.bytes(all.length)), digest(all));
        await within(drained.promise, "drain");
        assertEquals(drains, 1);
        socket.end();
        assertEquals(await within(recording.closed, "the connection to close"), undefined);
      }),
    );

    it(
      "that ends at once after much was written arrives whole",
      leavingNothingLater(async () => {
        const all = pattern(4 * mebibyte);
        await using server = await Server.start((socket) => {
          socket.write(all.subarray(0, mebibyte));
          socket.end(all.subarray(mebibyte));
          return {};
        });
        using client = new Client({ version });
        const recording = new Recording();
        await client.connect(server.port, recording.handlers);
        assertEquals(await within(recording.closed, "the connection to close"), undefined);
        assertEquals(digest(await recording.bytes(all.length)), digest(all));
      }),
    );

    it(
      "of single bytes arrives in order",
      leavingNothingLater(async () => {
        await using server = await Server.start(echo);
        using client = new Client({ version });
        const recording = new Recording();
        const socket = await client.connect(server.port, recording.handlers);
        for (let byte = 0; byte < 256; byte++) socket.write(new Uint8Array([byte]));
        assertEquals([...await recording.bytes(256)], Array.from({ length: 256 }, (_, byte) => byte));
        socket.end();
        assertEquals(await within(recording.closed, "the connection to close"), undefined);
      }),
    );
  });

  describe(`${version}: a connection that one side has ended`, () => {
    it(
      "still carries what the server says after the client's end",
      leavingNothingLater(async () => {
        const heard = new Recording({
          end: (socket) => {
            socket.write(bytes(`you said ${heard.text}, `));
            setImmediate(() => socket.end(bytes("goodbye")));
          },
        });
        await using server = await Server.start(() => heard.handlers);
        using client = new Client({ version });
        const recording = new Recording();
        const socket = await client.connect(server.port, recording.handlers);
        socket.end(bytes("hello"));
        assertEquals(await within(recording.closed, "the connection to close"), undefined);
        assertEquals(recording.text, "you said hello, goodbye");
        assertEquals(await within(heard.closed, "the server's side to close"), undefined);
        assertEquals(server.errors, []);
      }),
    );

    it(
      "still carries what the client says after the server's end",
      leavingNothingLater(async () => {
        const heard = new Recording();
        await using server = await Server.start((socket) => {
          socket.end(bytes("that is all from me"));
          return heard.handlers;
        });
        using client = new Client({ version });
        const recording = new Recording({
          end: (socket) => {
            socket.write(bytes("but "));
            setImmediate(() => socket.end(bytes("not from me")));
          },
        });
        await client.connect(server.port, recording.handlers);
        assertEquals(await within(recording.closed, "the connection to close"), undefined);
        assertEquals(await within(heard.closed, "the server's side to close"), undefined);
        assertEquals([recording.text, heard.text], ["that is all from me", "but not from me"]);
        assertEquals(server.errors, []);
      }),
    );

    it(
      "carries a large answer to a request that ended with the client's side",
      leavingNothingLater(async () => {
        const all = pattern(8 * mebibyte);
        await using server = await Server.start(() => ({
          end: (socket) => {
            for (let offset = 0; offset < all.length; offset += mebibyte) {
              socket.write(all.subarray(offset, offset + mebibyte));
            }
            socket.end();
          },
        }));
        using client = new Client({ version });
        const recording = new Recording();
        const socket = await client.connect(server.port, recording.handlers);
        socket.end(bytes("all of it, please"));
        assertEquals(await within(recording.closed, "the connection to close"), undefined);
        assertEquals(digest(await recording.bytes(all.length)), digest(all));
      }),
    );

    it(
      "is ended by the other side as well where nobody handles the end",
      leavingNothingLater(async () => {
        await using server = await Server.start(() => ({}));
        using client = new Client({ version });
        const recording = new Recording();
        const socket = await client.connect(server.port, recording.handlers);
        socket.end();
        await within(recording.ended, "the server's end");
        assertEquals(await within(recording.closed, "the connection to close"), undefined);
      }),
    );
  });
}
