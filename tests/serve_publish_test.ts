import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { type WebSocket as NodeWebSocket, WebSocketServer } from "ws";
import type { FetchHandler, ServeInfo, ServeOptions } from "../mod.ts";
import { Served } from "./serve_support.ts";
import { Program, runtimeNamed, thisRuntime, until } from "./server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";

const plain = (): Response => new Response("not a WebSocket");

/** What the sockets of Deno and of the package ws have in common. */
type Sender = Pick<WebSocket & NodeWebSocket, "send">;

/** Has what one client says told to the others, or to all, as it asks. */
async function serveRoom(): Promise<{ served: Served; size: () => number; servers: Set<ServeInfo["server"]> }> {
  const servers = new Set<ServeInfo["server"]>();
  const noting = (handler: FetchHandler): FetchHandler => (request, info) => {
    servers.add(info.server);
    return handler(request, info);
  };
  if (thisRuntime === "bun") return await serveBunRoom(noting, servers);
  // Deno's and Node's sockets have no topics: those that are there are kept by the program.
  const room = new Set<Sender>();
  const enter = (socket: Sender) => {
    room.add(socket);
    socket.send("welcome");
  };
  const hear = (from: Sender, said: string) => {
    for (const socket of room) if (said === "to all" || socket !== from) socket.send(said);
  };
  const served = await Served.start(
    noting((request) => {
      if (thisRuntime === "node") return plain();
      const { socket, response } = (globalThis as unknown as { Deno: DenoNamespace }).Deno.upgradeWebSocket(request);
      socket.onopen = () => enter(socket);
      socket.onmessage = ({ data }) => hear(socket, String(data));
      socket.onclose = () => room.delete(socket);
      return response;
    }),
  );
  if (thisRuntime === "node") {
    new WebSocketServer({ server: served.server.node! }).on("connection", (socket) => {
      enter(socket);
      socket.on("message", (data) => hear(socket, String(data)));
      socket.on("close", () => room.delete(socket));
    });
  }
  return { served, size: () => room.size, servers };
}

async function serveBunRoom(
  noting: (handler: FetchHandler) => FetchHandler,
  servers: Set<ServeInfo["server"]>,
): ReturnType<typeof serveRoom> {
  let size = 0;
  const websocket = {
    open(socket: BunSocket) {
      size++;
      socket.subscribe("room");
      socket.send("welcome");
    },
    message(socket: BunSocket, said: string) {
      if (said === "to all") { for (const server of servers) server!.publish("room", said); }
      else socket.publish("room", said);
    },
    close: () => void size--,
  };
  const options: ServeOptions = { websocket };
  const served = await Served.start(
    noting((request, { server }) => server!.upgrade(request) ? undefined : plain()),
    options,
  );
  return { served, size: () => size, servers };
}

interface BunSocket {
  send(message: string): void;
  subscribe(topic: string): void;
  publish(topic: string, message: string): void;
}

interface DenoNamespace {
  upgradeWebSocket(request: Request): { socket: WebSocket; response: Response };
}

describe("Two WebSockets over serve()", () => {
  it(
    "hear each other: by topics on Bun, by a list of the program's own elsewhere",
    leavingNothingLater(async () => {
      const { served, size, servers } = await serveRoom();
      await using server = served;
      const { command } = await runtimeNamed("node24");
      await using client = new Program(command, ["tests/ws_pair_client.mjs", String(server.port)]);
      await client.end();
      const lines = client.stdout.trim().split("\n");
      assertEquals(lines.slice(0, 3), ["first heard welcome", "second heard welcome", "second heard to the others"]);
      assertEquals(lines.slice(3, 5).sort(), ["first heard to all", "second heard to all"]);
      assertEquals(lines.slice(5), ["first closed 1000", "second closed 1000"], client.stderr);
      await until(() => size() === 0, "both sockets to be closed");
      assertEquals(server.errors, []);
      // Deno and Node hand no server to the handler. On Node it is not asked about upgrades.
      const expected = { bun: [1, "object"], deno: [1, "undefined"], node: [0, "undefined"] }[thisRuntime];
      assertEquals([servers.size, typeof [...servers][0]], expected);
    }),
  );
});
