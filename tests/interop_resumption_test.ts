import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { curl, sClient } from "./curl_support.ts";
import { ExampleServer } from "./example_support.ts";
import { runtimeNamed, TemporaryFolder } from "./server_support.ts";

const versions = [["TLSv1.2", "-tls1_2", "1.2"], ["TLSv1.3", "-tls1_3", "1.3"]] as const;

/** The answer's "resumed". */
function resumed(output: string): unknown {
  return JSON.parse(/\{"runtime".*\}/.exec(output)![0]).resumed;
}

for (const [version, option, short] of versions) {
  describe(`${version}: openssl s_client and the example server`, () => {
    it("resume from a file, and TLS 1.3 once", async () => {
      using folder = new TemporaryFolder();
      await using server = await ExampleServer.start();
      const file = folder.file("session.pem");
      const first = await sClient(server.port, [option, "-sess_out", file]);
      assertEquals([first.session, first.protocol, resumed(first.output)], ["New", version, false]);
      const second = await sClient(server.port, [option, "-sess_in", file]);
      assertEquals([second.session, second.protocol, resumed(second.output)], ["Reused", version, true]);
      const third = await sClient(server.port, [option, "-sess_in", file]);
      const again = version === "TLSv1.2";
      assertEquals([third.session, resumed(third.output)], again ? ["Reused", true] : ["New", false]);
    });

    it("resume on Deno, Bun and Node what another of them has made", async () => {
      using folder = new TemporaryFolder();
      const sessions = ["--sessions", `sqlite:${folder.file("sessions.db")}`];
      const names = ["deno", "bun", "node24", "node26", "deno"];
      let file: string | undefined;
      for (const [index, name] of names.entries()) {
        await using server = await ExampleServer.start(sessions, await runtimeNamed(name));
        const next = folder.file(`session${index}.pem`);
        const report = await sClient(server.port, [option, "-sess_out", next, ...(file ? ["-sess_in", file] : [])]);
        const expected = file ? ["Reused", true] : ["New", false];
        assertEquals([name, report.session, resumed(report.output)], [name, ...expected]);
        // A resumed handshake makes a new session with TLS 1.3 only.
        if (version === "TLSv1.3" || !file) file = next;
        assertEquals(await server.stop("SIGTERM"), { code: 0, signal: null });
      }
    });

    it("resume after the server was killed", async () => {
      using folder = new TemporaryFolder();
      const sessions = ["--sessions", `sqlite:${folder.file("sessions.db")}`];
      const file = folder.file("session.pem");
      {
        await using server = await ExampleServer.start(sessions);
        assertEquals((await sClient(server.port, [option, "-sess_out", file])).session, "New");
        server.program.child.kill("SIGKILL");
        assertEquals((await server.program.end()).signal, "SIGKILL");
      }
      await using server = await ExampleServer.start(sessions);
      assertEquals((await sClient(server.port, [option, "-sess_in", file])).session, "Reused");
    });
  });

  describe(`${version}: curl and the example server`, () => {
    it("resume", async () => {
      await using server = await ExampleServer.start();
      const url = `https://127.0.0.1:${server.port}/`;
      const versions = [`--tlsv${short}`, "--tls-max", short];
      const answers = await curl("-k", "--http1.1", ...versions, "-H", "connection: close", url, url, url);
      const facts = answers.trim().split("\n").map((line) => JSON.parse(line));
      assertEquals(facts.map(({ resumed }) => resumed), [false, true, true]);
      assertEquals(facts.map(({ protocol }) => protocol), [version, version, version]);
      const { cache } = JSON.parse(await curl("-k", `https://127.0.0.1:${server.port}/stats`));
      assertEquals([cache.hits, cache.misses, cache.errors], [2, version === "TLSv1.2" ? cache.misses : 0, 0]);
    });

    it("use one connection for two requests", async () => {
      await using server = await ExampleServer.start();
      const url = `https://127.0.0.1:${server.port}/bytes/10`;
      const connects = await curl("-k", ...["-o", "/dev/null", "-o", "/dev/null"], "-w", "%{num_connects}", url, url);
      assertEquals(connects, "10");
    });
  });
}
