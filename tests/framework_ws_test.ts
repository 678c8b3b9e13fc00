import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { createServer, type Server as HttpServer } from "node:http";
import { type WebSocket, WebSocketServer } from "ws";
import { httpConnections } from "../mod.ts";
import { Program, runtimeNamed } from "./server_support.ts";
import { leavingNothingLater, Server } from "./socket_support.ts";

const largeLength = 1024 * 1024;

interface Ending {
  code: number;
  reason: string;
}

function echo(socket: WebSocket, endings: Ending[]): void {
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  socket.on("close", (code, reason) => endings.push({ code, reason: String(reason) }));
}

/** Two of the ways to set up a server of ws. */
const setups: Record<string, (http: HttpServer, endings: Ending[]) => void> = {
  "with a server": (http, endings) => {
    new WebSocketServer({ server: http, path: "/echo" }).on("connection", (socket) => echo(socket, endings));
  },
  "with noServer, by handleUpgrade()": (http, endings) => {
    const webSockets = new WebSocketServer({ noServer: true });
    http.on("upgrade", (request, stream, head) => {
      if (request.url !== "/echo") return void stream.end("HTTP/1.1 400 Bad Request\r\n\r\n");
      webSockets.handleUpgrade(request, stream, head, (socket) => echo(socket, endings));
    });
  },
};

/** What a client of ws writes. */
async function visit(port: number, path: string): Promise<string[]> {
  await using program = Program.run(await runtimeNamed("node24"), "tests/ws_client.mjs", [
    String(port),
    path,
    String(largeLength),
  ]);
  const { code } = await program.end();
  assertEquals([code, program.stderr], [0, ""]);
  return program.stdout.trim().split("\n");
}

for (const [name, setUp] of Object.entries(setups)) {
  describe(`ws over TlsDuplex, ${name}`, () => {
    it(
      "echoes text and bytes, answers a ping, and closes with the client's code",
      leavingNothingLater(async () => {
        const endings: Ending[] = [];
        const http = createServer((_request, response) => response.end("no"));
        setUp(http, endings);
        await using server = await Server.startStreams(httpConnections(http));
        assertEquals(await visit(server.port, "/echo"), [
          "text hello",
          "binary true",
          "pong are you there",
          "closed 4001 enough",
        ]);
        await server.empty();
        assertEquals(endings, [{ code: 4001, reason: "enough" }]);
        assertEquals(server.errors, []);
      }),
    );

    it(
      "refuses another path",
      leavingNothingLater(async () => {
        const http = createServer((_request, response) => response.end("no"));
        setUp(http, []);
        await using server = await Server.startStreams(httpConnections(http));
        assertEquals(await visit(server.port, "/other"), ["refused 400"]);
        await server.empty();
        assertEquals(server.errors, []);
      }),
    );
  });
}
