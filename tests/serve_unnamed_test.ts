import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { selfSigned, type TlsFacts } from "../mod.ts";
import { example, Served } from "./serve_support.ts";
import { Program, TemporaryFolder } from "./server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { versions } from "./support.ts";

/** One request by `openssl s_client`: the certificate that it got, and what the handler knew of the connection. */
async function ask(server: Served, ...options: string[]): Promise<{ subject: string | undefined; tls: TlsFacts }> {
  const connect = ["s_client", "-connect", `127.0.0.1:${server.port}`, "-ign_eof"];
  await using client = new Program("openssl", [...connect, ...options]);
  client.child.stdin!.write("GET / HTTP/1.1\r\nhost: second.example\r\nconnection: close\r\n\r\n");
  await client.end();
  const subject = /^subject=(.*)$/m.exec(client.stdout)?.[1];
  return { subject, tls: JSON.parse(/^\{"method".*\}/m.exec(client.stdout)![0]).tls };
}

for (const version of versions) {
  const only = version === "TLSv1.2" ? "-tls1_2" : "-tls1_3";

  describe(`${version}: a client of serve() that names no server`, () => {
    it(
      "gets the first certificate, and resumes, but not under a name",
      leavingNothingLater(async () => {
        using folder = new TemporaryFolder();
        const [first, second] = ["first.example", "second.example"];
        await using server = await Served.start(example, {
          ...selfSigned([first!]),
          certificates: [selfSigned([second!])],
        });
        const session = folder.file("session");
        for (
          const [options, name, serverName, isResumed] of [
            [["-noservername", "-sess_out", session], first, undefined, false],
            [["-noservername", "-sess_in", session], first, undefined, true],
            [["-servername", second!, "-sess_in", session], second, second, false],
          ] as const
        ) {
          const { subject, tls } = await ask(server, only, ...options);
          assertEquals([subject, tls.serverName, tls.isResumed], [`CN = ${name}`, serverName, isResumed]);
        }
        assertEquals(server.server.stats().resumed, 1);
      }),
    );
  });
}
