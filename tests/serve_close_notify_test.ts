import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { listen, type Server } from "../mod.ts";
import { example, Served } from "./serve_support.ts";
import { Program, within } from "./server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { bytes, credentials, versions } from "./support.ts";

/** Has `openssl s_client` ask and be answered, and then ends the server. What it saw of the end. */
async function endSeen(
  server: Pick<Server, "port">,
  version: string,
  end: () => Promise<void> | void,
): Promise<{ code: number | null; isClosed: boolean; isUnexpected: boolean }> {
  const only = version === "TLSv1.2" ? "-tls1_2" : "-tls1_3";
  await using client = new Program("openssl", ["s_client", "-connect", `127.0.0.1:${server.port}`, only]);
  client.child.stdin!.write("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
  await client.writes(/"remoteAddr"/);
  await end();
  const { code } = await client.end();
  // OpenSSL from 3.0 on complains of an end without close_notify.
  const isUnexpected = client.stderr.includes("unexpected eof");
  return { code, isClosed: client.stdout.endsWith("closed\n"), isUnexpected };
}

for (const version of versions) {
  describe(`${version}: openssl s_client sees`, () => {
    for (const grace of [0, 5_000]) {
      it(
        `close_notify where a server of serve() closes, with ${grace} ms of grace`,
        leavingNothingLater(async () => {
          const { server } = await Served.start(example);
          const seen = await endSeen(server, version, () => within(server.close({ grace }), "the server to close"));
          assertEquals(seen, { code: 0, isClosed: true, isUnexpected: false });
        }),
      );
    }

    it(
      "none where a socket is destroyed",
      leavingNothingLater(async () => {
        let destroy: () => void;
        await using server = await listen({ ...credentials, hostname: "127.0.0.1" }, {
          data(socket) {
            destroy = () => socket.destroy();
            socket.write(bytes('"remoteAddr"\n'));
          },
        });
        const seen = await endSeen(server, version, () => destroy());
        assertEquals(seen, { code: 1, isClosed: false, isUnexpected: true });
      }),
    );
  });
}
