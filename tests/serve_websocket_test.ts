import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { WebSocketServer } from "ws";
import { type FetchHandler, serve, type ServeOptions } from "../mod.ts";
import { Served } from "./serve_support.ts";
import { Program, runtimeNamed, thisRuntime, within } from "./server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { credentials } from "./support.ts";

/** Echoes each message of each WebSocket, as users of each runtime write it. */
async function echoing(hasClosed: () => void = () => {}): Promise<Served> {
  const plain: FetchHandler = () => new Response("not a WebSocket");
  const [handler, options]: [FetchHandler, ServeOptions] = {
    deno: (): [FetchHandler, ServeOptions] => [(request, info) => {
      if (request.headers.get("upgrade") !== "websocket") return plain(request, info);
      const { upgradeWebSocket } = (globalThis as unknown as { Deno: DenoNamespace }).Deno;
      const { socket, response } = upgradeWebSocket(request);
      socket.binaryType = "arraybuffer";
      socket.onmessage = ({ data }) => socket.send(data);
      socket.onclose = hasClosed;
      return response;
    }, {}],
    bun: (): [FetchHandler, ServeOptions] => [
      (request, info) => info.server!.upgrade(request) ? undefined : plain(request, info),
      {
        websocket: {
          maxPayloadLength: 64 * 1024 * 1024,
          message: (socket: { send(message: unknown): void }, message: unknown) => socket.send(message),
          close: hasClosed,
        },
      },
    ],
    node: (): [FetchHandler, ServeOptions] => [plain, {}],
  }[thisRuntime]();
  const served = await Served.start(handler, options);
  if (thisRuntime === "node") {
    new WebSocketServer({ server: served.server.node! }).on("connection", (socket) => {
      socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
      socket.on("close", hasClosed);
    });
  }
  return served;
}

interface DenoNamespace {
  upgradeWebSocket(request: Request): { socket: WebSocket; response: Response };
}

describe("A WebSocket over serve()", () => {
  it(
    "carries text and 1 MiB of bytes there and back, answers pings, and closes with a word",
    leavingNothingLater(async () => {
      const { promise: closed, resolve: close } = Promise.withResolvers<void>();
      await using server = await echoing(close);
      const { command } = await runtimeNamed("node24");
      await using client = new Program(command, ["tests/ws_client.mjs", String(server.port), "/", String(1024 * 1024)]);
      await client.end();
      assertEquals(client.stdout.trim().split("\n"), [
        "text hello",
        "binary true",
        "pong are you there",
        "closed 4001 enough",
      ]);
      await within(closed, "the server's side to close");
      assertEquals(server.errors, []);
    }),
  );

  it(
    "whose client vanishes is closed",
    leavingNothingLater(async () => {
      const { promise: closed, resolve: close } = Promise.withResolvers<void>();
      await using server = await echoing(close);
      const { command } = await runtimeNamed("node24");
      await using client = new Program(command, [
        "tests/ws_client.mjs",
        String(server.port),
        "/",
        String(64 * 1024 * 1024),
      ]);
      await client.writes(/text hello/);
      client.child.kill("SIGKILL");
      await within(closed, "the server's side to close");
    }),
  );

  it("is Bun's own way where `websocket` is given, which others refuse by name", async () => {
    if (thisRuntime === "bun") return;
    await assertRejects(
      () => serve({ ...credentials, websocket: {} }, () => new Response("never")),
      TypeError,
      "Cannot use `websocket`: it is Bun's",
    );
  });
});
