import { assert, assertEquals, assertInstanceOf, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { Buffer } from "node:buffer";
import { createServer, listen, type TlsDuplex, type TlsSocket } from "../mod.ts";
import { until, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording, Server, TcpClient } from "./socket_support.ts";
import { content } from "./stream_plans.ts";
import { bytes, credentials } from "./support.ts";

const mebibyte = 1024 * 1024;
const text = (parts: readonly Uint8Array[]) => Buffer.concat(parts).toString();

function digest(of: Uint8Array): string {
  return createHash("sha256").update(of).digest("hex");
}

/** What comes of a stream until its end. */
async function all(stream: TlsDuplex): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  stream.on("data", (part: Uint8Array) => parts.push(part));
  await within(once(stream, "end"), "the end", 60_000);
  return Buffer.concat(parts);
}

/** The next stream of a server. */
function streams(): { take(stream: TlsDuplex): void; first: Promise<TlsDuplex> } {
  const { promise, resolve } = Promise.withResolvers<TlsDuplex>();
  return { take: resolve, first: promise };
}

function closed(stream: TlsDuplex): Promise<unknown> {
  const over = new Promise<void>((resolve) => stream.closed ? resolve() : stream.once("close", resolve));
  return within(over, "the stream to close");
}

describe("What a stream took arrives whole", () => {
  for (const length of [50_000, 300_000, 20 * mebibyte]) {
    it(
      `where a client sends ${length} bytes, ends, and then reads what is piped back`,
      leavingNothingLater(async () => {
        await using server = await Server.startStreams((stream) => void stream.pipe(stream));
        using client = new Client();
        const stream = await client.stream(server.port);
        stream.end(content(length));
        assertEquals(digest(await all(stream)), digest(content(length)));
        await closed(stream);
        await server.empty();
      }),
    );
  }

  it(
    "where it is the answer to the other side's end, and the other side reads slowly",
    leavingNothingLater(async () => {
      const answer = content(10 * mebibyte);
      await using server = await Server.startStreams((stream) => {
        stream.resume().on("end", () => stream.end(answer));
      });
      using client = new Client();
      const recording = new Recording({
        data: (socket) => {
          socket.pause();
          setImmediate(() => socket.resume());
        },
      });
      const socket = await client.connect(server.port, recording.handlers);
      socket.end(bytes("?"));
      assertEquals(digest(await recording.bytes(answer.length)), digest(answer));
      assertEquals(await within(recording.closed, "the connection to close"), undefined);
      await server.empty();
    }),
  );

  it(
    "where the stream is destroyed by the callback of its last write",
    leavingNothingLater(async () => {
      for (const length of [5, 16_384, 3 * mebibyte]) {
        await using server = await Server.startStreams((stream) => {
          stream.resume().write(content(length), (error) => stream.destroy(error ?? undefined));
        });
        using client = new Client();
        const recording = new Recording({ end: (socket) => socket.end() });
        await client.connect(server.port, recording.handlers);
        assertEquals(digest(await recording.bytes(length)), digest(content(length)));
        await within(recording.closed, "the connection to close");
        await server.empty();
      }
    }),
  );

  it(
    "where the server is closed at once, also what waits above the connection",
    leavingNothingLater(async () => {
      const answer = content(14 * mebibyte);
      const { take, first } = streams();
      await using server = await Server.startStreams(take);
      using client = new Client();
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      socket.pause();
      const stream = await within(first, "the server's stream");
      const errors: unknown[] = [];
      stream.on("error", (error) => errors.push(error)).resume();
      for (let at = 0; at < answer.length; at += 65_536) stream.write(answer.subarray(at, at + 65_536));
      assert(stream.writableLength > 0);
      const closing = server.listener.close();
      socket.resume();
      await within(closing, "the server to close");
      assertEquals(digest(await recording.bytes(answer.length)), digest(answer));
      assertEquals(await within(recording.closed, "the client's socket to close"), undefined);
      assertEquals(errors, []);
    }),
  );
});

describe("What could not be sent is told of", () => {
  it(
    "where a server that closes has no more time for a client that does not read",
    leavingNothingLater(async () => {
      const { take, first } = streams();
      await using server = await Server.startStreams(take, {}, { maxBufferedBytes: 256 * mebibyte });
      using client = new Client();
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      socket.pause();
      const stream = await within(first, "the server's stream");
      const failed = new Promise<Error>((resolve) => stream.on("error", resolve));
      const written = new Promise<unknown>((resolve) => stream.write(new Uint8Array(48 * mebibyte), resolve));
      await within(server.listener.close(), "the server to close");
      assertInstanceOf(await within(written, "the write's callback"), Error);
      assertMatch((await within(failed, "the error")).message, /closed before all that was written could be sent/);
      socket.destroy();
      await within(recording.closed, "the client's socket to close");
    }),
  );

  it(
    "where the other side is gone before it has read it, by events too",
    leavingNothingLater(async () => {
      const failed = Promise.withResolvers<Error | undefined>();
      let socket: TlsSocket | undefined;
      await using server = await Server.start((opened) => {
        socket = opened;
        return { data() {}, end() {}, close: (_socket, error) => failed.resolve(error) };
      });
      using client = new Client();
      await using tcp = await TcpClient.connect(server.port, client.context);
      await tcp.shakeHands();
      await until(() => socket !== undefined, "the server's socket");
      tcp.socket.pause();
      socket!.end(new Uint8Array(14 * mebibyte));
      await tcp.vanish("reset");
      assertInstanceOf(await within(failed.promise, "the socket to close"), Error);
      await server.empty();
    }),
  );

  it(
    "where it came after the server's own end",
    leavingNothingLater(async () => {
      const failed = Promise.withResolvers<Error | undefined>();
      let socket: TlsSocket | undefined;
      await using server = await Server.start((opened) => {
        socket = opened;
        return { close: (_socket, error) => failed.resolve(error) };
      });
      using client = new Client();
      const recording = new Recording();
      await client.connect(server.port, recording.handlers);
      await until(() => socket !== undefined, "the server's socket");
      const closing = server.listener.close();
      assertEquals(socket!.write(bytes("too late")), false);
      await within(closing, "the server to close");
      assertMatch(String(await failed.promise), /closed before all that was written could be sent/);
      await within(recording.closed, "the client's socket to close");
    }),
  );
});

describe("A stream whose other side has ended", () => {
  const { certificate: cert, privateKey: key } = credentials as { certificate: string; privateKey: string };
  const use: Record<string, (stream: TlsDuplex) => unknown> = {
    "a listener of data alone": (stream) => stream.on("data", () => {}),
    "no listener": () => {},
    "a listener of readable alone": (stream) => stream.on("readable", () => stream.read()),
  };
  for (const [what, listenTo] of Object.entries(use)) {
    for (const how of ["ends", "ends without a goodbye", "is gone", "resets"] as const) {
      it(
        `ends itself with ${what}, where it ${how}`,
        leavingNothingLater(async () => {
          const { take, first } = streams();
          const server = createServer({ cert, key }, (stream) => {
            listenTo(stream);
            take(stream);
          });
          await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
          const listening = await listen({ ...credentials, hostname: "127.0.0.1" }, (stream) => void listenTo(stream));
          using client = new Client();
          for (const port of [server.address()!.port, listening.port]) {
            await using tcp = await TcpClient.connect(port, client.context);
            await tcp.shakeHands();
            if (what !== "no listener") await tcp.write("hello");
            if (port !== listening.port) await within(first, "the stream");
            if (how === "ends") {
              tcp.connection!.shutdown();
              await tcp.send(tcp.rest());
            }
            if (how.startsWith("ends")) {
              tcp.socket.end();
              await within(tcp.ended, "the server's end");
            } else await tcp.vanish(how === "resets" ? "reset" : "close");
            if (port === listening.port) await until(() => listening.connections === 0, "no connection to be left");
          }
          // It waits for the last connection.
          await within(server[Symbol.asyncDispose](), "the server to close");
          await listening.close();
          assertEquals((await first).wasClosedCleanly, how === "ends");
        }),
      );
    }
  }

  it(
    "ends itself too where what came was never read",
    leavingNothingLater(async () => {
      const { take, first } = streams();
      const server = createServer({ cert, key }, take);
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      using client = new Client();
      const recording = new Recording();
      const socket = await client.connect(server.address()!.port, recording.handlers);
      socket.end(bytes("nobody reads this"));
      const stream = await within(first, "the stream");
      const [error] = await within(once(stream, "error"), "the stream to give up");
      assertMatch(error.message, /Nobody read what the other side had sent/);
      await within(server[Symbol.asyncDispose](), "the server to close");
      await within(recording.closed, "the client's socket to close");
    }),
  );

  it(
    "ends itself as the client's too, and stays with allowHalfOpen until this side has ended",
    leavingNothingLater(async () => {
      const server = createServer({ cert, key }, (stream) => void stream.resume().end("hello"));
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const { port } = server.address()!;
      using client = new Client();
      const ended = await client.stream(port);
      ended.on("data", () => {});
      await closed(ended);
      assertEquals([ended.errored, ended.writableFinished, ended.wasClosedCleanly], [null, true, true]);
      const open = await client.stream(port, { allowHalfOpen: true });
      await within(once(open.resume(), "end"), "the server's end");
      assertEquals(open.readyState, "writeOnly");
      open.write("still here");
      open.end();
      await closed(open);
      assertEquals(open.errored, null);
      await within(server[Symbol.asyncDispose](), "the server to close");
    }),
  );

  it(
    "stays on a server with allowHalfOpen until this side has ended, and with listen() where somebody listens for its end",
    leavingNothingLater(async () => {
      const answerLater = (stream: TlsDuplex) =>
        void stream.resume().on("end", () => setImmediate(() => setImmediate(() => stream.end("and an answer"))));
      const server = createServer({ cert, key, allowHalfOpen: true }, answerLater);
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const listening = await listen({ ...credentials, hostname: "127.0.0.1" }, answerLater);
      const strict = await listen({ ...credentials, hostname: "127.0.0.1", allowHalfOpen: false }, answerLater);
      using client = new Client();
      const answers: string[] = [];
      for (const port of [server.address()!.port, listening.port, strict.port]) {
        const stream = await client.stream(port);
        stream.end("a question");
        answers.push(text([await all(stream)]));
        await closed(stream);
      }
      assertEquals(answers, ["and an answer", "and an answer", ""]);
      await within(server[Symbol.asyncDispose](), "the server to close");
      await listening.close();
      await strict.close();
    }),
  );
});

describe("wasClosedCleanly", () => {
  it(
    "tells a goodbye from an end that somebody in between may have made",
    leavingNothingLater(async () => {
      for (const saysGoodbye of [true, false]) {
        const seen: boolean[] = [];
        const over = Promise.withResolvers<void>();
        await using server = await Server.start((socket) => {
          seen.push(socket.wasClosedCleanly);
          return {
            end: (socket) => {
              seen.push(socket.wasClosedCleanly);
              socket.end();
            },
            close: (socket) => {
              seen.push(socket.wasClosedCleanly);
              over.resolve();
            },
          };
        });
        using client = new Client();
        await using tcp = await TcpClient.connect(server.port, client.context);
        await tcp.shakeHands();
        // In the middle of a record.
        if (!saysGoodbye) await tcp.send(new Uint8Array([23, 3, 3, 0, 50, 1]));
        else {
          tcp.connection!.shutdown();
          await tcp.send(tcp.rest());
        }
        tcp.socket.end();
        await within(over.promise, "the socket to close");
        assertEquals(seen, [false, saysGoodbye, saysGoodbye]);
        await server.empty();
      }
    }),
  );

  it(
    "is known of a stream, and of a connection that is reset",
    leavingNothingLater(async () => {
      const { take, first } = streams();
      await using server = await Server.startStreams(take);
      using client = new Client();
      await using tcp = await TcpClient.connect(server.port, client.context);
      await tcp.shakeHands();
      const stream = await within(first, "the stream");
      const over = closed(stream.resume());
      await tcp.vanish("reset");
      await over;
      assertEquals([stream.wasClosedCleanly, stream.tls.wasClosedCleanly], [false, false]);
    }),
  );
});

describe("A server that is closed while it is asked who may come in", () => {
  for (const admits of [true, false]) {
    it(
      `turns the client away, whatever the answer is: ${admits}`,
      leavingNothingLater(async () => {
        const asked = Promise.withResolvers<void>();
        const answer = Promise.withResolvers<boolean>();
        let served = 0;
        const authorize = () => {
          asked.resolve();
          return answer.promise;
        };
        await using server = await Server.startStreams(() => void served++, {}, { authorize });
        using client = new Client();
        const recording = new Recording();
        const socket = await client.connect(server.port, recording.handlers);
        socket.write(bytes("is anybody there?"));
        await within(asked.promise, "the question");
        await within(server.listener.close(), "the server to close");
        answer.resolve(admits);
        assertEquals(await within(recording.closed, "the client's socket to close"), undefined);
        assertEquals([served, recording.text, socket.wasClosedCleanly], [0, "", true]);
      }),
    );
  }

  it(
    "serves it to the end within its grace",
    leavingNothingLater(async () => {
      const asked = Promise.withResolvers<void>();
      const answer = Promise.withResolvers<boolean>();
      const authorize = () => {
        asked.resolve();
        return answer.promise;
      };
      await using server = await Server.startStreams((stream) => stream.end("welcome"), {}, { authorize });
      using client = new Client();
      const recording = new Recording();
      await client.connect(server.port, recording.handlers);
      await within(asked.promise, "the question");
      const closing = server.listener.close({ grace: 10_000 });
      answer.resolve(true);
      await within(closing, "the server to close");
      assertEquals(await within(recording.closed, "the client's socket to close"), undefined);
      assertEquals(recording.text, "welcome");
    }),
  );
});

describe("maxBufferedBytes of a stream that nobody reads", () => {
  const limit = 4 * mebibyte;
  const kinds: Record<string, (stream: TlsDuplex) => void> = {
    "in many writes": (stream) => {
      for (let turn = 0; turn < 150 && !stream.destroyed; turn++) stream.write(new Uint8Array(mebibyte));
    },
    "in pieces of many writes each": (stream) => {
      for (let piece = 0; piece < 20 && !stream.destroyed; piece++) {
        stream.cork();
        for (let turn = 0; turn < 8; turn++) stream.write(new Uint8Array(mebibyte / 8));
        stream.uncork();
      }
    },
    "in small writes, turn by turn": (stream) => {
      const part = new Uint8Array(16_384);
      const more = () => {
        for (let turn = 0; turn < 20 && !stream.destroyed; turn++) stream.write(part);
        if (!stream.destroyed) setImmediate(more);
      };
      more();
    },
  };
  for (const [how, write] of Object.entries(kinds)) {
    it(
      `holds ${how}`,
      leavingNothingLater(async () => {
        let waiting = 0;
        await using server = await Server.startStreams(
          (stream) => {
            stream.once("error", () => waiting = stream.writableLength);
            write(stream);
          },
          {},
          { maxBufferedBytes: limit },
        );
        using client = new Client();
        const recording = new Recording();
        const socket = await client.connect(server.port, recording.handlers);
        socket.pause();
        await until(() => server.listener.stats().bufferOverflows === 1, "the limit");
        await server.empty();
        assertMatch(server.errors[0]!.message, /does not read: \d+ bytes wait for it/);
        assert(waiting < limit + 4 * mebibyte, `${waiting} bytes waited`);
        socket.destroy();
        await within(recording.closed, "the client's socket to close");
      }),
    );
  }

  it(
    "lets a larger write through that comes alone, with a little before and after it",
    leavingNothingLater(async () => {
      const large = content(3 * limit);
      await using server = await Server.startStreams(
        (stream) => {
          stream.write("<");
          stream.write(large);
          stream.end(">");
        },
        {},
        { maxBufferedBytes: limit },
      );
      using client = new Client();
      const recording = new Recording();
      await client.connect(server.port, recording.handlers);
      const came = await recording.bytes(large.length + 2);
      assertEquals(digest(came.subarray(1, -1)), digest(large));
      await within(recording.closed, "the connection to close");
      assertEquals(server.errors, []);
    }),
  );
});
