import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { setTimeout } from "node:timers/promises";
import { preface, settings } from "./http2_frames.ts";
import type { FetchHandler, ServeOptions, TlsSocket } from "../mod.ts";
import { curl } from "./curl_support.ts";
import { Served } from "./serve_support.ts";
import { thisRuntime, until, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording } from "./socket_support.ts";
import { bytes } from "./support.ts";

const late = 300;

/** A client of HTTP/1.1, or of what it was told to negotiate, that does what a test likes. */
async function visit(
  handler: FetchHandler,
  options: ServeOptions,
  act: (socket: TlsSocket, recording: Recording, server: Served) => Promise<void>,
  alpnProtocols: string[] | undefined = ["http/1.1"],
): Promise<void> {
  await using server = await Served.start(handler, options);
  using client = new Client(alpnProtocols ? { alpnProtocols } : {});
  const recording = new Recording();
  const socket = await client.connect(server.port, recording.handlers);
  await act(socket, recording, server);
  socket.destroy();
}

/** Sends a byte now and then until the server ends it. */
async function trickle(socket: TlsSocket, recording: Recording, byte = "x"): Promise<void> {
  let isOver = false;
  Promise.race([recording.ended, recording.closed]).then(() => isOver = true);
  while (!isOver) {
    socket.write(bytes(byte));
    await setTimeout(20);
  }
}

const drains: FetchHandler = async (request) => new Response(String((await request.text()).length));

describe("requestTimeout", () => {
  const head = "POST / HTTP/1.1\r\nhost: localhost\r\n";
  for (
    const [what, begin, part] of [
      ["trickles", head + "content-length: 100000\r\n\r\n", "x"],
      ["trickles in chunks", head + "transfer-encoding: chunked\r\n\r\n", "1\r\nx\r\n"],
      ["trickles in the head of a chunk", head + "transfer-encoding: chunked\r\n\r\n", "0"],
      ["trickles after a chunk", head + "transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", "x: y\r\n"],
    ] as const
  ) {
    it(
      `ends a connection whose request's body ${what}`,
      leavingNothingLater(() =>
        visit(drains, { requestTimeout: late }, async (socket, recording, { server }) => {
          socket.write(bytes(begin));
          const began = performance.now();
          await within(trickle(socket, recording, part), "the server's end");
          assertLess(performance.now() - began, 5000);
          await until(() => server.connections === 0, "the connection to close");
          const { requestTimeouts, headerTimeouts } = server.stats();
          // Some servers refuse it before.
          assert(requestTimeouts === 1 || /HTTP\/1\.1 4/.test(recording.text), recording.text);
          assertEquals(headerTimeouts, 0);
        })
      ),
    );
  }

  it(
    "ends a connection whose request's body does not come, also over HTTP/2",
    leavingNothingLater(async () => {
      await using server = await Served.start(drains, { requestTimeout: late });
      const { FrameClient, request } = await import("./http2_frames.ts");
      for (const protocol of ["h2", "http/1.1"]) {
        using client = new Client({ alpnProtocols: [protocol] });
        const frames = await FrameClient.connect(client, server.port);
        if (protocol === "h2") {
          await frames.start();
          frames.send(request(1, "POST", "/", 4));
        } else frames.send(bytes(head + "content-length: 5\r\n\r\nhell"));
        await within(frames.recording.closed, "the server's end");
      }
      assertEquals(server.server.stats().requestTimeouts, 2);
    }),
  );

  it(
    "lets an upload take as long as it gets on, and another one that the handler holds up",
    leavingNothingLater(() => {
      const slowly: FetchHandler = async (request) => {
        let length = 0;
        await setTimeout(3 * late);
        for await (const part of request.body!) length += part.length;
        return new Response(`${length} bytes`);
      };
      return visit(slowly, { requestTimeout: late }, async (socket, recording, { server }) => {
        const [parts, part] = [40, new Uint8Array(16 * 1024)];
        socket.write(bytes(`${head}content-length: ${parts * part.length}\r\n\r\n`));
        for (let n = 0; n < parts && !socket.isClosed; n++) {
          socket.write(part);
          await setTimeout(30);
        }
        await until(() => recording.text.includes(`${parts * part.length} bytes`), "the answer");
        assertEquals(server.stats().requestTimeouts, 0);
      });
    }),
  );

  it(
    "does not mean a client that waits to be told to go on, and headerTimeout no body",
    leavingNothingLater(() =>
      visit(
        async (request) => {
          await setTimeout(2 * late);
          return new Response(await request.text());
        },
        { requestTimeout: late, headerTimeout: late },
        async (socket, recording, { server }) => {
          socket.write(bytes(head + "content-length: 5\r\nexpect: 100-continue\r\n\r\n"));
          await setTimeout(1.5 * late);
          socket.write(bytes("hello"));
          await until(() => recording.text.endsWith("hello"), "the answer");
          const { requestTimeouts, headerTimeouts } = server.stats();
          assertEquals([requestTimeouts, headerTimeouts], [0, 0]);
        },
      )
    ),
  );

  it(
    "is kept apart from headerTimeout, however slow an upload is whose handler has answered",
    leavingNothingLater(() =>
      visit(
        () => new Response("answered"),
        { headerTimeout: late, requestTimeout: 20 * late },
        async (socket, recording, { server }) => {
          const length = 60;
          socket.write(bytes(`${head}content-length: ${length}\r\n\r\n`));
          for (let n = 0; n < length && !socket.isClosed; n++) {
            socket.write(bytes("x"));
            await setTimeout(20);
          }
          await until(() => recording.text.includes("answered"), "the answer");
          assertEquals(server.stats().headerTimeouts, 0);
        },
      )
    ),
  );

  it("refuses a time that is none, and 0 is for ever", async () => {
    for (const requestTimeout of [-1, NaN, 2 ** 40]) {
      let error: unknown;
      await Served.start(drains, { requestTimeout }).catch((thrown) => error = thrown);
      assert(error instanceof RangeError, String(error));
    }
    await using _server = await Served.start(drains, { requestTimeout: 0, headerTimeout: 0 });
  });
});

describe("headerTimeout", () => {
  it(
    "ends a connection that sends empty lines for a request's head",
    leavingNothingLater(() =>
      visit(drains, { headerTimeout: late }, async (socket, recording, { server }) => {
        await within(trickle(socket, recording, "\r\n"), "the server's end");
        await until(() => server.connections === 0, "the connection to close");
        assert(server.stats().headerTimeouts === 1 || /HTTP\/1\.1 4/.test(recording.text), recording.text);
      })
    ),
  );

  it(
    "ends a connection whose request of HTTP/2 goes on in CONTINUATIONs now and then",
    leavingNothingLater(async () => {
      const { FrameClient, frame, request } = await import("./http2_frames.ts");
      await using server = await Served.start(drains, { headerTimeout: late });
      using client = new Client({ alpnProtocols: ["h2"] });
      const frames = await FrameClient.connect(client, server.port);
      await frames.start();
      frames.send(request(1));
      await until(() => server.server.stats().requests === 1, "a first request");
      frames.send(request(3, "GET", "/", 1));
      while (!frames.isEnded) {
        frames.send(frame(9, 0, 3, bytes("\x00\x01a\x01b")));
        await setTimeout(80);
      }
      await within(frames.recording.closed, "the connection to close");
      assertEquals([server.server.stats().headerTimeouts, server.server.stats().requests], [1, 1]);
    }),
  );
});

describe("Requests of HTTP/1.1 one behind the other", () => {
  const get = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

  it(
    "begin with no more handlers than there may be requests open, however many come in one piece",
    leavingNothingLater(async () => {
      const { promise: never, resolve } = Promise.withResolvers<void>();
      const handler: FetchHandler = () => never.then(() => new Response("late"));
      await visit(handler, { maxConcurrentStreams: 20 }, async (socket, recording, { server, errors }) => {
        for (let n = 0; n < 10; n++) socket.write(bytes(get.repeat(1000)));
        await until(() => server.stats().activeRequests > 0, "a request");
        // Node begins with each that comes. Deno and Bun begin with the next when one is answered.
        if (thisRuntime === "node") await within(recording.closed, "the client to be thrown out");
        else await setTimeout(200);
        assert(server.stats().activeRequests <= 20, `${server.stats().activeRequests} requests`);
        const overflows = thisRuntime === "node" ? 1 : 0;
        assertEquals([server.stats().streamOverflows, errors.length], [overflows, overflows], String(errors));
        resolve();
      });
    }),
  );

  it(
    "are all answered where they are not too many",
    leavingNothingLater(() =>
      visit(() => new Response("ok"), {}, async (socket, recording, { server }) => {
        for (let round = 1; round <= 5; round++) {
          socket.write(bytes(get.repeat(100)));
          await until(() => recording.text.match(/ 200 OK/g)?.length === round * 100, "the answers");
        }
        assertEquals(server.stats().streamOverflows, 0);
      })
    ),
  );
});

describe("A client that does not speak what was negotiated", () => {
  const get = bytes("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
  for (
    const [what, alpn, offered, says] of [
      ["HTTP/2 where HTTP/1.1 was", ["http/1.1"], ["http/1.1"], [preface, settings()]],
      ["HTTP/2 where nothing was", undefined, undefined, [preface, settings()]],
      [
        "HTTP/2, byte by byte, where HTTP/1.1 was",
        undefined,
        ["http/1.1"],
        [...preface].map((n) => new Uint8Array([n])),
      ],
      ["HTTP/1.1 where HTTP/2 was", undefined, ["h2"], [get]],
      ["HTTP/1.1 where HTTP/2 alone is offered", ["h2"], ["h2"], [get]],
      ["a POST whose beginning is that of HTTP/2", undefined, ["h2"], [bytes("P"), bytes("OST / HTTP/1.1\r\n\r\n")]],
    ] as const
  ) {
    it(
      `but ${what}, gets a 400 and the end`,
      leavingNothingLater(async () => {
        await visit(
          () => new Response("never"),
          { headerTimeout: 2000, ...(alpn && { alpnProtocols: [...alpn] }) },
          async (socket, recording, { server, errors }) => {
            let isEnded = false;
            recording.ended.then(() => isEnded = true);
            for (const part of says) {
              if (isEnded) break;
              socket.write(part);
              await setTimeout(1);
            }
            await within(recording.closed, "the server to close the connection", 6000);
            assertMatch(recording.text, /^HTTP\/1\.1 400 Bad Request\r\n/);
            assertEquals(recording.text.match(/HTTP\/1\.1/g)!.length, 1);
            const { protocolMismatches, requests } = server.stats();
            assertEquals([protocolMismatches, requests], [1, 0]);
            assertMatch(errors[0]!.message, /HTTP\/2/);
          },
          offered ? [...offered] : undefined,
        );
      }),
    );
  }
});

describe("maxBufferedBytes", () => {
  for (const option of ["--http1.1", "--http2"]) {
    it(
      `lets an answer be larger, by curl ${option}, that reads slowly`,
      leavingNothingLater(async () => {
        const length = 20 * 1024 * 1024;
        await using server = await Served.start(() => new Response(new Uint8Array(length)), {
          maxBufferedBytes: 1024 * 1024,
        });
        const slowly = ["--limit-rate", "40M", "-w", "%{http_code} %{size_download}", "-o", "/dev/null"];
        assertEquals(await curl("-k", option, ...slowly, server.url("/")), `200 ${length}`);
        assertEquals([server.server.stats().bufferOverflows, server.errors.length], [0, 0]);
      }),
    );
  }
});
