import { assertEquals, assertLess, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Buffer } from "node:buffer";
import type { TlsDuplex, WebStreams } from "../mod.ts";
import { until, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording, Server } from "./socket_support.ts";
import { bytes } from "./support.ts";

const mebibyte = 1024 * 1024;

function pattern(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(length).map((_, index) => (index * 2654435761) >>> 13);
}

/** A server, one client of it, and the server's end of their connection. */
async function withConnection(
  test: (
    ends: WebStreams & { stream: TlsDuplex; client: Recording; socket: Awaited<ReturnType<Client["connect"]>> },
  ) => Promise<void>,
): Promise<void> {
  const streams: TlsDuplex[] = [];
  await using server = await Server.startStreams((stream) => void streams.push(stream));
  using client = new Client();
  const recording = new Recording();
  const socket = await client.connect(server.port, recording.handlers);
  await until(() => streams.length === 1, "the server's end");
  await test({ ...streams[0]!.webStreams(), stream: streams[0]!, client: recording, socket });
  await server.empty();
}

/** Waits until a count stands still: what it counts is held back. */
async function standstill(count: () => number): Promise<number> {
  let before = -1;
  while (count() !== before) {
    before = count();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return before;
}

describe("TlsDuplex.webStreams()", () => {
  it(
    "echoes by pipeTo(), and ends when the other side does",
    leavingNothingLater(() =>
      withConnection(async ({ readable, writable, client, socket }) => {
        const piped = readable.pipeTo(writable);
        const all = pattern(4 * mebibyte);
        socket.end(all);
        assertEquals(Buffer.compare(await client.bytes(all.length), all), 0);
        await within(piped, "the pipe to end");
        assertEquals(await within(client.closed, "the connection to close"), undefined);
      })
    ),
  );

  it(
    "gives plain arrays of bytes",
    leavingNothingLater(() =>
      withConnection(async ({ readable, writable, socket }) => {
        socket.end(bytes("hello"));
        const reader = readable.getReader();
        const { value } = await within(reader.read(), "the bytes");
        assertEquals(value, bytes("hello"));
        assertEquals(Object.getPrototypeOf(value), Uint8Array.prototype);
        assertEquals((await within(reader.read(), "the end")).done, true);
        await writable.close();
      })
    ),
  );

  it(
    "holds the other side back while nobody reads",
    leavingNothingLater(() =>
      withConnection(async ({ readable, writable, stream, socket }) => {
        const all = pattern(48 * mebibyte);
        // In parts, as the client holds what it cannot send.
        for (let at = 0; at < all.length; at += mebibyte) socket.write(all.subarray(at, at + mebibyte));
        socket.end();
        assertLess(await standstill(() => stream.bytesRead), mebibyte);
        let length = 0;
        for await (const part of readable) length += part.length;
        assertEquals(length, all.length);
        await writable.close();
      })
    ),
  );

  it(
    "holds the writer back while the other side does not read",
    leavingNothingLater(() =>
      withConnection(async ({ writable, client, socket }) => {
        socket.pause();
        const writer = writable.getWriter();
        let taken = 0;
        const part = new Uint8Array(mebibyte);
        const all = (async () => {
          for (; taken < 48; taken++) {
            await writer.ready;
            writer.write(part).catch(() => {});
          }
          await writer.close();
        })();
        assertLess(await standstill(() => taken), 24);
        socket.resume();
        await within(all, "all to be written", 60_000);
        await client.bytes(48 * mebibyte);
        await within(client.closed, "the connection to close");
      })
    ),
  );

  it(
    "lets go what comes after the reader was cancelled, and goes on writing",
    leavingNothingLater(() =>
      withConnection(async ({ readable, writable, client, socket }) => {
        await readable.cancel("enough");
        socket.end(pattern(4 * mebibyte));
        const writer = writable.getWriter();
        await writer.write(bytes("still here"));
        await client.bytes(10);
        assertEquals(client.text, "still here");
        await writer.close();
        assertEquals(await within(client.closed, "the connection to close"), undefined);
      })
    ),
  );

  it(
    "closes the connection when it is aborted, and the reader fails",
    leavingNothingLater(() =>
      withConnection(async ({ readable, writable, client }) => {
        const reading = assertRejects(() => readable.getReader().read(), Error, "changed my mind");
        await writable.abort(new Error("changed my mind"));
        await within(client.closed, "the connection to close");
        await within(reading, "the reader to fail");
      })
    ),
  );

  it(
    "fails both ways when the connection is lost",
    leavingNothingLater(() =>
      withConnection(async ({ readable, writable, stream, client }) => {
        const reading = assertRejects(() => readable.getReader().read(), Error, "lost");
        const writer = writable.getWriter();
        const closed = assertRejects(() => writer.closed, Error, "lost");
        stream.destroy(new Error("lost"));
        await within(Promise.all([reading, closed, client.closed]), "both to fail");
        await assertRejects(() => writer.write(bytes("too late")), Error, "lost");
      })
    ),
  );
});
