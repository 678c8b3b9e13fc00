import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { readFileSync, statSync } from "node:fs";
import { Session } from "../mod.ts";
import { ownRuntime, Program, runtimeNamed, TemporaryFolder } from "./server_support.ts";
import { hex } from "./support.ts";

/** Runs an example in a folder, by this runtime. */
async function run(name: string, args: readonly string[], cwd: string) {
  await using program = Program.run(ownRuntime(), `examples/${name}`, args, { cwd });
  const { code } = await program.end();
  return { code, stdout: program.stdout, stderr: program.stderr };
}

describe("examples/demo.ts", () => {
  it("sees what it expects", async () => {
    const variables: Record<string, string> = {};
    for (const name of ["deno", "bun"]) {
      variables[`OPENSSL_SESSIONS_${name.toUpperCase()}`] = (await runtimeNamed(name)).command;
    }
    const { command, args } = ownRuntime();
    await using program = new Program(command, [...args, "examples/demo.ts"], { env: variables });
    const { code } = await program.end(100_000);
    assertEquals(program.stderr, "");
    assertMatch(program.stdout, /\n10 of 10 as expected\n$/);
    assertEquals(program.stdout.match(/ (full|resumed) /g)!.length, 10);
    assertEquals(code, 0);
  });

  it("says which runtime is missing", async () => {
    const { command, args } = ownRuntime();
    await using program = new Program(command, [...args, "examples/demo.ts"], {
      env: { OPENSSL_SESSIONS_DENO: "/nonexistent/deno", OPENSSL_SESSIONS_BUN: "/nonexistent/bun" },
    });
    assertEquals((await program.end()).code, 1);
    assertMatch(program.stderr, /^Cannot start (Deno|Bun): /);
  });
});

describe("examples/three_callbacks.ts", () => {
  it("shows a full handshake, and one that resumes", async () => {
    using folder = new TemporaryFolder();
    const { code, stdout, stderr } = await run("three_callbacks.ts", [], folder.path);
    assertEquals([code, stderr], [0, ""]);
    const [, first, second, end] = /^first visit\n([^]*)second visit\n([^]*)the end\n([^]*)$/.exec(stdout)!;
    assertMatch(first!, /^ {2}new .*\n/);
    assertMatch(first!, / {2}TLSv1\.3, a full handshake\n$/);
    assertMatch(second!, /^ {2}get .*\n/);
    assertMatch(second!, / {2}TLSv1\.3, resumed\n$/);
    assertMatch(end!, /^( {2}remove .* \(application\)\n)+$/);
  });
});

describe("examples/session_file_client.ts and examples/inspect_session.ts", () => {
  it("resume at the second run, and show the session without its secret", async () => {
    using folder = new TemporaryFolder();
    const first = await run("session_file_client.ts", [], folder.path);
    assertEquals([first.code, first.stderr], [0, ""]);
    assertMatch(first.stdout, /^No session in session\.pem yet\nTLSv1\.3 TLS_\w+: a full handshake\n$/);
    assertEquals(statSync(folder.file("session.pem")).mode & 0o777, 0o600);
    for (let visit = 2; visit <= 3; visit++) {
      const next = await run("session_file_client.ts", [], folder.path);
      assertEquals([next.code, next.stderr], [0, ""]);
      assertMatch(next.stdout, /^TLSv1\.3 TLS_\w+: resumed\n$/);
    }

    const inspected = await run("inspect_session.ts", ["session.pem"], folder.path);
    assertEquals([inspected.code, inspected.stderr], [0, ""]);
    assertMatch(inspected.stdout, /^protocol +TLSv1\.3\n/);
    assertMatch(inspected.stdout, /^server name +localhost$/m);
    const pem = readFileSync(folder.file("session.pem"), "utf8");
    using session = Session.fromPem(pem);
    assertStringIncludes(inspected.stdout, hex(session.id));
    // What openssl itself calls the secret.
    await using openssl = new Program("openssl", ["sess_id", "-in", folder.file("session.pem"), "-noout", "-text"]);
    await openssl.end();
    const secret = /(?:Resumption PSK|Master-Key): ([0-9A-F]{64,})/.exec(openssl.stdout)![1]!;
    assert(!inspected.stdout.toUpperCase().includes(secret));
    assert(!inspected.stdout.toUpperCase().includes(secret.slice(0, 16)));
  });

  it("say what is wrong in one line", async () => {
    using folder = new TemporaryFolder();
    const { code, stdout, stderr } = await run("inspect_session.ts", ["missing.pem"], folder.path);
    assertEquals([code, stdout], [1, ""]);
    assertMatch(stderr, /^Cannot inspect missing\.pem: .*\n$/);
  });
});
