import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { listen, type Server } from "../mod.ts";
import { example, Served } from "./serve_support.ts";
import { until, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording, TcpClient } from "./socket_support.ts";
import { bytes, credentials, versions } from "./support.ts";

for (const version of versions) {
  for (const how of ["close", "reset"] as const) {
    describe(`${version}: twenty clients that go by a ${how} with their Finished`, () => {
      /** Each sends its Finished, and is gone before it can have heard of the server's. */
      async function leave(server: Server, alpnProtocol: string): Promise<void> {
        using client = new Client({ version, alpnProtocols: [alpnProtocol] });
        const visits = Array.from({ length: 20 }, async () => {
          await using tcp = await TcpClient.connect(server.port, client.context);
          await tcp.send(tcp.pull());
          let finished: Uint8Array = new Uint8Array();
          while (finished.length === 0) {
            tcp.connection!.pushCiphertext(await tcp.receive());
            finished = tcp.pull();
          }
          await tcp.send(finished);
          await tcp.vanish(how);
        });
        await Promise.all(visits);
        await until(() => server.stats().accepted === 20 && server.connections === 0, "the last connection to end");
        const { handshakes, failedHandshakes, handshaking } = server.stats();
        assertEquals([handshakes + failedHandshakes, handshaking], [20, 0]);
        // A reset may throw away the Finished that comes before it.
        if (how === "close") assertEquals(handshakes, 20);
        await client.connect(server.port).then((socket) => socket.destroy());
      }

      for (const alpnProtocol of ["http/1.1", "h2"]) {
        it(
          `leave nothing behind in serve(), ${alpnProtocol}`,
          leavingNothingLater(async () => {
            await using server = await Served.start(example);
            await leave(server.server, alpnProtocol);
            await until(() => server.server.connections === 0, "the last connection to end");
            const { requests, activeRequests } = server.server.stats();
            assertEquals([requests, activeRequests], [0, 0]);
          }),
        );
      }

      it(
        "leave nothing behind in listen()",
        leavingNothingLater(async () => {
          await using server = await listen({ ...credentials, hostname: "127.0.0.1", alpnProtocols: ["x"] }, {
            data: (socket) => void socket.write(bytes("never")),
          });
          await leave(server, "x");
        }),
      );
    });
  }
}

describe("A client that goes on sending after the last answer", () => {
  it(
    "is let go, and leaves nothing behind",
    leavingNothingLater(async () => {
      await using server = await Served.start(() => new Response("last", { headers: { connection: "close" } }));
      using client = new Client({ alpnProtocols: ["http/1.1"] });
      const visits = Array.from({ length: 40 }, async (_, index) => {
        const recording = new Recording();
        // The server's end does not keep it from sending.
        const socket = await client.connect(server.port, { ...recording.handlers, end() {} });
        const request = bytes("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
        // By turns together with the request, while the answer comes, and after it.
        for (let count = 0; count < 1 + index % 4 && !socket.isClosed; count++) {
          socket.write(request);
          if (index % 3 === 0) await until(() => recording.text.endsWith("last"), "the answer");
        }
        if (!socket.isClosed) socket.end();
        await within(recording.closed, "the connection to close");
      });
      await Promise.all(visits);
      const began = performance.now();
      await until(() => server.server.connections === 0, "the last connection to end");
      const taken = performance.now() - began;
      assert(taken < 2000, `connections were there for another ${Math.round(taken)} ms`);
    }),
  );
});
