import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { listen, type Server } from "../mod.ts";
import { example, Served } from "./serve_support.ts";
import { until } from "./server_support.ts";
import { Client, leavingNothingLater, TcpClient } from "./socket_support.ts";
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
