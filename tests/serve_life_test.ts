import { assertEquals, assertGreater, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { createServer } from "node:net";
import { ClientSessions, connect, type FetchHandler, serve } from "../mod.ts";
import { example, Served } from "./serve_support.ts";
import { until, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording } from "./socket_support.ts";
import { bytes, credentials } from "./support.ts";

const http1 = { alpnProtocols: ["http/1.1"] };
const hello: FetchHandler = () => new Response("hello");

/** Whether a port can be listened on: nobody else does. */
async function isFree(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const server = createServer().once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

describe("The life of serve()", () => {
  it(
    "ends with its block, and the port is free",
    leavingNothingLater(async () => {
      let port: number;
      {
        await using server = await serve({ ...credentials, hostname: "127.0.0.1" }, hello);
        port = server.port;
        assertEquals(await isFree(port), false);
      }
      assertEquals(await isFree(port), true);
    }),
  );

  it(
    "ends once, however often that is asked for",
    leavingNothingLater(async () => {
      await using server = await Served.start(hello);
      const first = server.server.close();
      assertEquals(server.server.close({ grace: 0 }) === first, true);
      await within(first, "the server to close");
    }),
  );

  it(
    "ends with its signal, and does not begin where that is aborted already",
    leavingNothingLater(async () => {
      const controller = new AbortController();
      await using server = await Served.start(hello, { signal: controller.signal });
      using client = new Client(http1);
      const recording = new Recording();
      await client.connect(server.port, recording.handlers);
      controller.abort(new Error("enough"));
      assertEquals(await within(recording.closed, "the connection to close", 20_000), undefined);
      await within(server.server.close(), "the server to close");
      await assertRejects(() => Served.start(hello, { signal: controller.signal }), Error, "enough");
    }),
  );

  it(
    "says goodbye with close_notify",
    leavingNothingLater(async () => {
      const server = await Served.start(hello);
      using client = new Client(http1);
      let saidGoodbye = false;
      const recording = new Recording({ end: (socket) => (saidGoodbye = true, socket.end()) });
      await client.connect(server.port, recording.handlers);
      await until(() => server.server.stats().handshakes === 1, "the handshake");
      await server[Symbol.asyncDispose]();
      // Without close_notify, OpenSSL from 3.0 on counts the end as an error.
      assertEquals([await within(recording.closed, "the connection to close"), saidGoodbye], [undefined, true]);
    }),
  );

  it(
    "gives up on what takes longer than the grace",
    leavingNothingLater(async () => {
      const { promise: came, resolve: come } = Promise.withResolvers<void>();
      const { promise: over, resolve: end } = Promise.withResolvers<Response>();
      await using server = await Served.start(() => {
        come();
        return over;
      });
      using client = new Client(http1);
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      socket.write(bytes("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"));
      await within(came, "the request");
      const closing = server.server.close({ grace: 100 });
      await within(recording.closed, "the connection to close");
      assertEquals(recording.text, "");
      end(new Response("too late"));
      await within(closing, "the server to close");
    }),
  );

  it(
    "loses no response when it closes under load",
    leavingNothingLater(async () => {
      let handled = 0;
      const server = await Served.start(async () => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        handled++;
        return new Response("x".repeat(10_000));
      });
      using client = new Client(http1);
      let answers = 0;
      const clients = Array.from({ length: 8 }, async () => {
        while (true) {
          const recording = new Recording();
          let socket;
          try {
            socket = await client.connect(server.port, recording.handlers);
          } catch {
            return; // It listens no more.
          }
          let isOver = false;
          recording.ended.then(() => isOver = true);
          recording.closed.then(() => isOver = true);
          while (!isOver) {
            const before = recording.length;
            socket.write(bytes("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"));
            const isWhole = () => recording.length - before > 10_000;
            await until(() => isWhole() || isOver, "an answer, or the end");
            // Ended between two requests: nothing of an answer has come.
            if (!isWhole()) {
              assertEquals(recording.length - before, 0);
              break;
            }
            answers++;
          }
        }
      });
      await until(() => answers > 50, "answers");
      await within(server.server.close(), "the server to close");
      await within(Promise.all(clients), "the clients to notice", 20_000);
      assertGreater(handled, 50);
      assertEquals(answers, handled);
    }),
  );

  it(
    "serves clients of connect(), over HTTP/1.1 and a stream",
    leavingNothingLater(async () => {
      await using server = await Served.start(example);
      using sessions = new ClientSessions();
      const socket = await connect({
        hostname: "127.0.0.1",
        port: server.port,
        serverName: "localhost",
        certificateAuthorities: credentials.certificate,
        alpnProtocols: ["http/1.1"],
        sessions,
      });
      socket.write("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
      let text = "";
      for await (const part of socket) text += String(part);
      socket.end();
      assertEquals(JSON.parse(text.split("\r\n\r\n")[1]!.match(/\{.*\}/)![0]).method, "GET");
    }),
  );
});
