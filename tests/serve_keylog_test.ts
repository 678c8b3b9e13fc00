import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { existsSync, readFileSync, statSync } from "node:fs";
import { root, runSelf } from "./process.ts";
import { TemporaryFolder } from "./server_support.ts";
import { versions } from "./support.ts";

/** Serves with `keylogFile: true`, and has curl ask once, which keeps a log of its own. */
const program = (version: string, clientLog: string) => `
  import { spawn } from "node:child_process";
  import process from "node:process";
  import { selfSigned, serve } from "${root}mod.ts";

  const errors: string[] = [];
  const server = await serve({
    ...selfSigned(),
    hostname: "127.0.0.1",
    minVersion: "${version}",
    maxVersion: "${version}",
    keylogFile: true,
    onError: (error) => void errors.push(error.message),
  }, () => new Response("hello"));
  const url = \`https://127.0.0.1:\${server.port}/\`;
  const env = { ...process.env, SSLKEYLOGFILE: ${JSON.stringify(clientLog)} };
  const curl = spawn("curl", ["-sk", url], { env, stdio: ["ignore", "inherit", "inherit"] });
  await new Promise((resolve) => curl.once("close", resolve));
  await server.close({ grace: 0 });
  console.log(errors.join("\\n"));
`;

const labels = {
  "TLSv1.2": ["CLIENT_RANDOM"],
  "TLSv1.3": [
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "EXPORTER_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_TRAFFIC_SECRET_0",
  ],
};

const linesOf = (file: string) => readFileSync(file, "utf8").split("\n").filter((line) => line !== "").sort();

for (const version of versions) {
  describe(`${version}: a server with \`keylogFile: true\``, () => {
    it("logs the keys that its client logs, where SSLKEYLOGFILE says", async () => {
      using folder = new TemporaryFolder();
      const [ours, theirs] = [folder.file("server.log"), folder.file("client.log")];
      const { stdout, stderr } = await runSelf(program(version, theirs), { SSLKEYLOGFILE: ours });
      assertEquals(stdout, "hello\n", stderr);
      const lines = linesOf(ours);
      assertEquals(lines.map((line) => line.split(" ")[0]), labels[version]);
      for (const line of lines) assertMatch(line, /^\w+ [0-9a-f]{64} [0-9a-f]{96}$/);
      assertEquals(lines, linesOf(theirs));
      assertEquals(statSync(ours).mode & 0o777, 0o600);
    });

    it("logs none without SSLKEYLOGFILE, and serves", async () => {
      using folder = new TemporaryFolder();
      const theirs = folder.file("client.log");
      const { stdout, stderr } = await runSelf(program(version, theirs), { SSLKEYLOGFILE: undefined });
      assertEquals(stdout, "hello\n", stderr);
      assert(existsSync(theirs));
    });

    it("serves where the log cannot be written, and tells the operator", async () => {
      using folder = new TemporaryFolder();
      const nowhere = folder.file("no/such/folder.log");
      const { stdout } = await runSelf(program(version, folder.file("client.log")), { SSLKEYLOGFILE: nowhere });
      assertMatch(stdout, /^helloCannot write to the key log \S+folder\.log: /);
    });
  });
}
