import { assert, assertEquals, assertGreaterOrEqual, assertInstanceOf, assertLess, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import type { TlsDuplex, TlsSocket } from "../mod.ts";
import { until, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording, Server, TcpClient } from "./socket_support.ts";
import { bytes } from "./support.ts";

const mebibyte = 1024 * 1024;

/** A server, its streams one after the other as they come. */
class StreamServer {
  readonly server: Server;
  readonly #streams: TlsDuplex[];

  private constructor(server: Server, streams: TlsDuplex[]) {
    this.server = server;
    this.#streams = streams;
  }

  static async start(onStream: (stream: TlsDuplex) => void = () => {}): Promise<StreamServer> {
    const streams: TlsDuplex[] = [];
    const server = await Server.startStreams((stream) => {
      streams.push(stream);
      onStream(stream);
    });
    return new StreamServer(server, streams);
  }

  async next(): Promise<TlsDuplex> {
    await until(() => this.#streams.length > 0, "a connection");
    return this.#streams.shift()!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.empty();
    await this.server[Symbol.asyncDispose]();
  }
}

/** The two ends of a connection: the server's stream, and the client's socket with what it hears. */
interface Connection {
  readonly stream: TlsDuplex;
  readonly socket: TlsSocket;
  readonly recording: Recording;
}

/** Runs a test on a connection, and asserts that it left nothing behind. */
function connected(test: (connection: Connection) => Promise<void>): () => Promise<void> {
  return leavingNothingLater(async () => {
    await using server = await StreamServer.start();
    using client = new Client();
    const recording = new Recording();
    const socket = await client.connect(server.server.port, recording.handlers);
    await test({ stream: await server.next(), socket, recording });
  });
}

/** Writes, and answers what the callback was called with. */
function written(stream: TlsDuplex, chunk: Uint8Array): Promise<Error | null | undefined> {
  return new Promise((resolve) => stream.write(chunk, resolve));
}

function pattern(length: number): Uint8Array {
  return new Uint8Array(length).map((_, index) => (index * 2654435761) >>> 13);
}

describe("TlsDuplex as a stream", () => {
  it(
    "holds little of a large write while the other side does not read, and sends all of it",
    connected(async ({ stream, socket, recording }) => {
      socket.pause();
      const all = pattern(48 * mebibyte);
      const done = written(stream, all);
      stream.end();
      // It stands still once the system's buffers are full.
      let before = -1;
      while (stream.bytesWritten !== before) {
        before = stream.bytesWritten;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      assertLess(stream.bytesWritten, 24 * mebibyte);
      socket.resume();
      assertEquals(await within(done, "the write") ?? undefined, undefined);
      const came = await recording.bytes(all.length);
      assertEquals(Buffer.compare(came, all), 0);
      assertEquals(stream.bytesWritten, all.length);
    }),
  );

  it(
    "sends what was written in one go in order, small parts and large ones",
    connected(async ({ stream, recording }) => {
      const parts = [1, 0, 5, 100_000, 14_688, 1, 114_688, 114_689, 3, 300_000, 0, 2].map(pattern);
      stream.cork();
      for (const part of parts) stream.write(part);
      stream.uncork();
      stream.end("the end");
      const expected = Buffer.concat([...parts, Buffer.from("the end")]);
      assertEquals(Buffer.compare(await recording.bytes(expected.length), expected), 0);
      await within(recording.closed, "the connection to close");
      assertEquals(recording.length, expected.length);
    }),
  );

  it(
    "can still write when the other side has ended",
    connected(async ({ stream, socket, recording }) => {
      const ended = once(stream.resume(), "end");
      socket.end(bytes("last words"));
      await within(ended, "the end");
      assertEquals([stream.bytesRead, stream.readyState], [10, "writeOnly"]);
      const closed = once(stream, "close");
      stream.write("heard ");
      stream.end("you");
      await within(recording.closed, "the connection to close");
      assertEquals(recording.text, "heard you");
      await within(closed, "the stream to close");
      assertEquals([stream.readyState, stream.errored, stream.destroyed], ["closed", null, true]);
    }),
  );

  it(
    "ends at once by destroySoon() for what reads no more, with all that was written",
    connected(async ({ stream, recording }) => {
      const all = pattern(4 * mebibyte);
      stream.write(all);
      stream.destroySoon();
      stream.resume();
      assertEquals(await within(recording.closed, "the connection to close"), undefined);
      assertEquals(Buffer.compare(await recording.bytes(all.length), all), 0);
    }),
  );

  it(
    "tells a write that waits that the stream was destroyed, and one that comes after it",
    connected(async ({ stream, socket, recording }) => {
      socket.pause();
      const waiting = written(stream, new Uint8Array(48 * mebibyte));
      const behind = written(stream, new Uint8Array(1));
      await until(() => stream.bytesWritten > 0, "some of it to be sent");
      stream.destroy();
      assertInstanceOf(await within(waiting, "the write's callback"), Error);
      assertInstanceOf(await within(behind, "the next write's callback"), Error);
      assertInstanceOf(await within(written(stream, new Uint8Array(1)), "the last write's callback"), Error);
      socket.resume();
      await within(recording.closed, "the connection to close");
    }),
  );

  it(
    "does not end the process by an error that nobody listens for",
    leavingNothingLater(async () => {
      const closes: unknown[] = [];
      await using server = await StreamServer.start((stream) => {
        stream.pipe(stream);
        stream.on("close", () => closes.push(stream.errored));
      });
      using client = new Client();
      for (const how of ["reset", "garbage"] as const) {
        await using tcp = await TcpClient.connect(server.server.port, client.context);
        await tcp.shakeHands();
        await tcp.write("hello");
        await tcp.read();
        if (how === "garbage") {
          await tcp.send(bytes("this is no record of TLS"));
          await within(tcp.ended, "the server's end");
        }
        await tcp.vanish("reset");
        await until(() => closes.length > 0, `the stream to close after a ${how}`);
        const error = closes.shift();
        if (how === "garbage") assertInstanceOf(error, Error);
      }
    }),
  );

  it(
    "gives its error to those who listen",
    leavingNothingLater(async () => {
      await using server = await StreamServer.start();
      using client = new Client();
      await using tcp = await TcpClient.connect(server.server.port, client.context);
      await tcp.shakeHands();
      const stream = await server.next();
      const failed = new Promise<Error>((resolve) => stream.on("error", resolve));
      await tcp.send(bytes("this is no record of TLS"));
      await within(tcp.ended, "the server's end");
      await tcp.vanish("close");
      assertInstanceOf(await within(failed, "the error"), Error);
    }),
  );

  it(
    "emits timeout when idle, and again after it was used, and no more once it is off",
    connected(async ({ stream, socket, recording }) => {
      let times = 0;
      let once = 0;
      stream.on("timeout", () => times++);
      const began = performance.now();
      stream.resume().setTimeout(60, () => once++);
      assertEquals(stream.timeout, 60);
      await until(() => times === 1, "the first timeout");
      assertGreaterOrEqual(performance.now() - began, 50);
      socket.write(bytes("used by the other side"));
      await until(() => times === 2, "the timeout after a read");
      stream.write("used by this side");
      await until(() => times === 3, "the timeout after a write");
      assertEquals(once, 1);
      stream.setTimeout(0);
      assertEquals(stream.timeout, 0);
      stream.write("and no more");
      await new Promise((resolve) => setTimeout(resolve, 150));
      assertEquals(times, 3);
      assertThrows(() => stream.setTimeout(-1), RangeError, "Cannot wait -1 ms");
      assertThrows(() => stream.setTimeout(NaN), RangeError, "Cannot wait NaN ms");
      stream.destroy();
      stream.setTimeout(20);
      await new Promise((resolve) => setTimeout(resolve, 60));
      assertEquals(times, 3);
      await within(recording.closed, "the connection to close");
    }),
  );

  it(
    "has a listener of timeout taken away with the timeout",
    connected(async ({ stream, recording }) => {
      const listener = () => {};
      stream.setTimeout(10_000, listener);
      assertEquals(stream.listenerCount("timeout"), 1);
      stream.setTimeout(0, listener);
      assertEquals(stream.listenerCount("timeout"), 0);
      assert(!stream.destroyed);
      stream.destroy();
      // The client's session may still be on its way.
      await within(recording.closed, "the connection to close");
    }),
  );
});
