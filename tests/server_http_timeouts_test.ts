import { assertEquals, assertLess, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { createServer, type Server as HttpServer } from "node:http";
import { httpConnections, type TlsSocket } from "../mod.ts";
import { within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording, Server } from "./socket_support.ts";
import { bytes } from "./support.ts";

/** One connection to a server with these limits. */
async function visit(
  limits: Partial<Pick<HttpServer, "headersTimeout" | "requestTimeout" | "keepAliveTimeout">>,
  test: (socket: TlsSocket, recording: Recording) => Promise<void>,
): Promise<void> {
  const http = createServer((request, response) => {
    if (request.url === "/slow") setTimeout(() => response.end("answered"), 600);
    else request.on("end", () => response.end("answered")).on("error", () => {}).resume();
  });
  http.on("upgrade", (_request, stream) => {
    stream.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n");
    stream.pipe(stream);
  });
  const handler = httpConnections(http);
  // Also what is set later counts.
  Object.assign(http, { headersTimeout: 0, requestTimeout: 0, keepAliveTimeout: 0, ...limits });
  await using server = await Server.startStreams(handler);
  using client = new Client();
  const recording = new Recording();
  await test(await client.connect(server.port, recording.handlers), recording);
  await server.empty();
}

/** Sends a byte now and then until the connection is ended. */
async function trickle(socket: TlsSocket, recording: Recording, byte: string): Promise<void> {
  let isOver = false;
  const ended = recording.ended.then(() => isOver = true);
  while (!isOver) {
    socket.write(bytes(byte));
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 50))]);
  }
}

describe("httpConnections() and the time limits of node:http", () => {
  it(
    "ends a connection on which no request comes",
    leavingNothingLater(() =>
      visit({ headersTimeout: 200 }, async (_socket, recording) => {
        await within(recording.closed, "the connection to close");
        assertMatch(recording.text, /^HTTP\/1\.1 408 /);
      })
    ),
  );

  it(
    "ends a connection whose request's head trickles in, also a second one's",
    leavingNothingLater(async () => {
      for (const before of ["", "GET /one HTTP/1.1\r\nhost: localhost\r\n\r\n"]) {
        await visit({ headersTimeout: 300 }, async (socket, recording) => {
          if (before) {
            socket.write(bytes(before));
            await recording.bytes(1);
          }
          socket.write(bytes("GET /two HTTP/1.1\r\nhost: localhost\r\nx-slow: "));
          const began = performance.now();
          await within(trickle(socket, recording, "x"), "the server's end");
          assertLess(performance.now() - began, 5000);
          assertMatch(recording.text, /HTTP\/1\.1 408 [^]*$/);
          await within(recording.closed, "the connection to close");
        });
      }
    }),
  );

  it(
    "ends a connection whose request's body trickles in",
    leavingNothingLater(() =>
      visit({ headersTimeout: 10_000, requestTimeout: 300 }, async (socket, recording) => {
        socket.write(bytes("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n"));
        await within(trickle(socket, recording, "x"), "the server's end");
        assertMatch(recording.text, /^HTTP\/1\.1 408 /);
        await within(recording.closed, "the connection to close");
      })
    ),
  );

  it(
    "ends a connection that is idle between requests",
    leavingNothingLater(() =>
      visit({ headersTimeout: 10_000, keepAliveTimeout: 50 }, async (socket, recording) => {
        socket.write(bytes("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"));
        await within(recording.ended, "the server's end");
        assertMatch(recording.text, /^HTTP\/1\.1 200 [^]*answered/);
        assertEquals(recording.text.includes("408"), false);
        await within(recording.closed, "the connection to close");
      })
    ),
  );

  it(
    "lets an answer take its time, and an idle connection that of keepAliveTimeout",
    leavingNothingLater(() =>
      visit({ headersTimeout: 150, requestTimeout: 150, keepAliveTimeout: 60_000 }, async (socket, recording) => {
        for (let count = 1; count <= 2; count++) {
          const before = recording.length;
          socket.write(bytes("GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n"));
          await recording.bytes(before + 1);
          await new Promise((resolve) => setTimeout(resolve, 500));
          assertEquals(recording.text.match(/HTTP\/1\.1 \d+/g), Array(count).fill("HTTP/1.1 200"));
        }
        socket.end();
        await within(recording.closed, "the connection to close");
      })
    ),
  );

  it(
    "lets a connection that was upgraded alone",
    leavingNothingLater(() =>
      visit({ headersTimeout: 150, requestTimeout: 150, keepAliveTimeout: 50 }, async (socket, recording) => {
        socket.write(bytes("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n"));
        await recording.bytes(1);
        await new Promise((resolve) => setTimeout(resolve, 500));
        const before = recording.length;
        socket.write(bytes("still there"));
        await recording.bytes(before + 11);
        socket.end();
        await within(recording.closed, "the connection to close");
      })
    ),
  );
});
