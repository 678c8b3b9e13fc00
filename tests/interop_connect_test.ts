import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { Session } from "../mod.ts";
import { ExampleServer } from "./example_support.ts";
import { runtimeNamed, TemporaryFolder, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording } from "./socket_support.ts";
import { bytes, versions } from "./support.ts";

/** Visits an example server, and answers what both sides say of it. */
async function visit(client: Client, port: number, session?: Session): Promise<[boolean, boolean, string]> {
  const recording = new Recording();
  const socket = await client.connect(port, recording.handlers, session ? { session } : {});
  const resumedHere = socket.isResumed;
  socket.write(bytes("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"));
  await within(recording.closed, "the connection to close");
  const { resumed, runtime } = JSON.parse(/\{.*\}/.exec(recording.text)![0]);
  return [resumedHere, resumed, runtime];
}

for (const version of versions) {
  describe(`${version}: connect()`, () => {
    it(
      "resumes on servers in Deno, Bun and Node that share a file",
      leavingNothingLater(async () => {
        using folder = new TemporaryFolder();
        const sessions = ["--sessions", `sqlite:${folder.file("sessions.db")}`];
        const names = ["deno", "bun", "node24", "node26"];
        const servers: ExampleServer[] = [];
        using client = new Client({ version, verify: "none" });
        try {
          for (const name of names) servers.push(await ExampleServer.start(sessions, await runtimeNamed(name)));
          const visits = [];
          for (const server of [...servers, ...servers]) {
            visits.push(await visit(client, server.port, client.sessions.at(-1)));
          }
          const runtimes = ["deno", "bun", "node", "node", "deno", "bun", "node", "node"];
          assertEquals(visits, runtimes.map((runtime, index) => [index > 0, index > 0, runtime]));
        } finally {
          for (const server of servers) await server[Symbol.asyncDispose]();
        }
      }),
    );
  });
}
