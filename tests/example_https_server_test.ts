import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { openLibrary, selfSigned } from "../mod.ts";
import { curl, run } from "./curl_support.ts";
import { ExampleServer } from "./example_support.ts";
import { ownRuntime, Program, root, TemporaryFolder, thisRuntime, until, within } from "./server_support.ts";
import { Client, Recording } from "./socket_support.ts";

const openssl = openLibrary().version.split(" ", 2).join(" ");

/** What curl gets: status, type and body. */
async function get(server: ExampleServer, path: string, ...args: string[]) {
  const format = "\n%{http_code} %{content_type}";
  const text = await curl("-k", "--write-out", format, ...args, `https://127.0.0.1:${server.port}${path}`);
  const end = text.lastIndexOf("\n");
  const [status, ...type] = text.slice(end + 1).split(" ");
  return { status: Number(status), type: type.join(" "), body: text.slice(0, end) };
}

describe("examples/https_server.ts", () => {
  it("writes one line when it is ready", async () => {
    await using server = await ExampleServer.start();
    assertEquals(server.line, `https://127.0.0.1:${server.port} ${thisRuntime} ${openssl} memory:`);
    assertEquals(server.program.stdout, `${server.line}\n`);
    assertEquals(server.program.stderr, "");
  });

  it("names its store, and makes the file", async () => {
    using folder = new TemporaryFolder();
    const sessions = `sqlite:${folder.file("sessions.db")}`;
    await using server = await ExampleServer.start(["--sessions", sessions, "--host", "localhost"]);
    assertEquals(server.line, `https://localhost:${server.port} ${thisRuntime} ${openssl} ${sessions}`);
    assert(existsSync(folder.file("sessions.db")));
  });

  it("answers GET /, /stats, /bytes/N and what is not there", async () => {
    await using server = await ExampleServer.start();
    const home = await get(server, "/");
    assertEquals([home.status, home.type], [200, "application/json"]);
    const { cipher, ...facts } = JSON.parse(home.body);
    assertEquals(facts, {
      runtime: thisRuntime,
      openssl,
      protocol: "TLSv1.3",
      alpn: "h2",
      resumed: false,
      pid: server.program.child.pid,
    });
    assertMatch(cipher, /^TLS_/);

    const page = await get(server, "/", "-H", "accept: text/html");
    assertEquals([page.status, page.type], [200, "text/html; charset=utf-8"]);
    assertStringIncludes(page.body, "<h1>This visit made a full handshake.</h1>");

    const stats = JSON.parse((await get(server, "/stats")).body);
    const { lookups, hits, misses, stored, errors } = stats.cache;
    assertEquals([lookups, hits, misses, stored, errors], [0, 0, 0, 3, 0]);
    const { accepted, handshakes, resumed, requests, activeRequests } = stats.server;
    assertEquals([accepted, handshakes, resumed, requests, activeRequests], [3, 3, 0, 3, 1]);

    for (const length of [0, 1, 65536, 65537, 1_000_000]) {
      assertEquals((await get(server, `/bytes/${length}`)).body.length, length);
    }
    for (const path of ["/nothing", "/bytes/", "/bytes/-1", "/bytes/12345678901", "/bytes/x", "//"]) {
      const { status, type, body } = await get(server, path, "--path-as-is");
      assertEquals([path, status, type], [path, 404, "application/json"]);
      assertMatch(JSON.parse(body).error, /^There is no /);
    }
    for (const method of ["POST", "PUT", "DELETE"]) {
      assertEquals((await get(server, "/", "-X", method)).status, 405);
    }
    assertEquals((await get(server, "/", "--head")).status, 200);
    assertEquals(server.program.stderr, "");
  });

  it("speaks HTTP/2 and HTTP/1.1, and tells which", async () => {
    await using server = await ExampleServer.start();
    for (const [option, alpn, version] of [["--http2", "h2", "2"], ["--http1.1", "http/1.1", "1.1"]] as const) {
      const answer = await curl("-k", option, "-w", "%{http_version}", `https://127.0.0.1:${server.port}/`);
      const [facts, spoken] = answer.split("\n");
      assertEquals([JSON.parse(facts!).alpn, spoken], [alpn, version]);
      assertEquals((await get(server, "/bytes/3000000", option)).body.length, 3_000_000);
    }
  });

  it("says on its page that a visit resumed", async () => {
    await using server = await ExampleServer.start();
    const url = `https://127.0.0.1:${server.port}/`;
    const headers = ["-H", "accept: text/html", "-H", "connection: close"];
    const pages = await curl("-k", "--http1.1", ...headers, url, url);
    assertEquals(pages.match(/<h1>.*<\/h1>/g), [
      "<h1>This visit made a full handshake.</h1>",
      "<h1>This visit resumed a session.</h1>",
    ]);
  });

  it("lives on when a client leaves in the middle of an answer", async () => {
    await using server = await ExampleServer.start();
    using client = new Client({ verify: "none" });
    const recording = new Recording();
    const socket = await client.connect(server.port, recording.handlers);
    socket.write(new TextEncoder().encode("GET /bytes/9999999999 HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    await recording.bytes(1024 * 1024);
    socket.destroy();
    await within(recording.closed, "the connection to close");
    assertEquals((await get(server, "/")).status, 200);
  });

  it("takes a certificate and a key", async () => {
    using folder = new TemporaryFolder();
    const { certificate, privateKey } = selfSigned(["localhost", "127.0.0.1"]);
    writeFileSync(folder.file("cert.pem"), certificate);
    writeFileSync(folder.file("key.pem"), privateKey);
    const files = ["--cert", folder.file("cert.pem"), "--key", folder.file("key.pem")];
    await using server = await ExampleServer.start(files);
    const trusted = await curl("--cacert", folder.file("cert.pem"), `https://127.0.0.1:${server.port}/`);
    assertEquals(JSON.parse(trusted).runtime, thisRuntime);
  });

  it("speaks the versions that it is told to", async () => {
    const versions = [["--max-version", "1.2", "TLSv1.2", "--tlsv1.3"], ["--min-version", "1.3", "TLSv1.3", "1.2"]];
    for (const [option, version, protocol, refused] of versions) {
      await using server = await ExampleServer.start([option!, version!]);
      assertEquals(JSON.parse((await get(server, "/")).body).protocol, protocol);
      const args = refused === "1.2" ? ["--tls-max", "1.2"] : [refused!];
      const { code } = await run("curl", ["-sk", ...args, `https://127.0.0.1:${server.port}/`]);
      assertEquals(code, 35);
    }
  });
});

describe("examples/https_server.ts is stopped", () => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    it(`by ${signal} when it is idle`, async () => {
      await using server = await ExampleServer.start();
      assertEquals(await server.stop(signal), { code: 0, signal: null });
      assertEquals(server.program.stderr, "");
    });

    it(`by ${signal} when a connection is open, and says goodbye to it`, async () => {
      await using server = await ExampleServer.start();
      using client = new Client({ verify: "none" });
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      socket.write(new TextEncoder().encode("GET /bytes/5 HTTP/1.1\r\nhost: localhost\r\n\r\n"));
      await recording.bytes(5);
      assertEquals(await server.stop(signal), { code: 0, signal: null });
      assertEquals(await within(recording.closed, "the connection to close"), undefined);
      assertEquals(server.program.stderr, "");
    });
  }
});

describe("examples/https_server.ts is stopped while it answers", () => {
  for (const option of ["--http1.1", "--http2"]) {
    it(`and ends the answer first: ${option}`, async () => {
      await using server = await ExampleServer.start();
      const url = `https://127.0.0.1:${server.port}/bytes/2000000`;
      const slowly = ["--limit-rate", "1M", "--silent", "--show-error", "-k", "-w", "%{size_download}"];
      using folder = new TemporaryFolder();
      await using client = new Program("curl", [option, ...slowly, "-o", folder.file("bytes"), url]);
      await until(() => existsSync(folder.file("bytes")), "the answer to begin");
      assertEquals(await server.stop("SIGTERM"), { code: 0, signal: null });
      assertEquals((await client.end()).code, 0, client.stderr);
      assertEquals(client.stdout, "2000000");
    });
  }
});

describe("examples/https_server.ts does not start", () => {
  const wrong: [string[], RegExp][] = [
    [["--port", "65536"], /^--port takes 0 to 65535, not 65536 /],
    [["--port", "http"], /^--port takes 0 to 65535, not http /],
    [["--sessions", "redis:"], /^--sessions takes memory:, sqlite:PATH or redis:\/\/HOST:PORT, not redis: /],
    [["--cert", "cert.pem"], /^--cert and --key go together /],
    [["--min-version", "1.1"], /^--min-version takes 1\.2 or 1\.3, not 1\.1 /],
    [["--min-version", "1.3", "--max-version", "1.2"], /^--min-version is above --max-version /],
    [["--sessions", "redis://localhost"], /^--sessions redis: needs --secret /],
    [["--nonsense"], /--nonsense/],
    [["argument"], /argument/],
  ];
  it("with --help, and says what it takes", async () => {
    const { code, stdout, stderr } = await ExampleServer.fails(["--help"]);
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout, /^usage: https_server\.ts \[options\]\n/);
    for (
      const option of ["port", "host", "sessions", "secret", "no-seal", "cert", "key", "min-version", "max-version"]
    ) {
      assertMatch(stdout, new RegExp(`^  --${option} `, "m"));
    }
  });

  for (const [args, message] of wrong) {
    it(`with ${args.join(" ")}`, async () => {
      const { code, stdout, stderr } = await ExampleServer.fails(args);
      assertEquals([code, stdout], [2, ""]);
      assertMatch(stderr, message);
      assertMatch(stderr, /^.* \(see --help\)\n$/);
    });
  }

  /** Its one line says this. */
  async function assertFails(args: string[], message: string): Promise<void> {
    const { code, stdout, stderr } = await ExampleServer.fails(args);
    assertEquals([code, stdout], [1, ""]);
    assertStringIncludes(stderr, message);
    assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
  }

  it("on a port that is in use", async () => {
    const other = createServer();
    await within(new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve)), "a port");
    const { port } = other.address() as { port: number };
    try {
      await assertFails(["--host", "127.0.0.1", "--port", `${port}`], `127.0.0.1:${port}: the port is in use`);
    } finally {
      await within(new Promise((resolve) => other.close(resolve)), "the port to close");
    }
  });

  it("on a session file that cannot be written", async () => {
    const path = "/nonexistent/sessions.db";
    await assertFails(["--port", "0", "--sessions", `sqlite:${path}`], `Cannot open the session store ${path}: `);
  });

  // Deno needs none.
  const unlessOnDeno = thisRuntime === "deno" ? it.skip : it;
  unlessOnDeno("without the npm package that it needs, and names it", async () => {
    using folder = new TemporaryFolder();
    for (const name of ["examples", "mod.ts", "ffi", "ssl", "cache", "server", "package.json"]) {
      cpSync(join(root, name), folder.file(name), { recursive: true });
    }
    mkdirSync(folder.file("node_modules"));
    symlinkSync(join(root, "node_modules/koffi"), folder.file("node_modules/koffi"));
    const args = [folder.file("examples/https_server.ts"), "--port", "0"];
    // Bun would fetch it.
    const { command } = ownRuntime();
    const options = thisRuntime === "bun" ? ["--no-install"] : [];
    await using program = new Program(command, [...options, ...args], { cwd: folder.path });
    assertEquals((await program.end()).code, 1);
    assertMatch(
      program.stderr,
      /^Cannot load the npm package @hono\/node-server\. .*(npm install|bun add) @hono\/node-server hono; .*\n$/,
    );
  });

  it("with certificates that are not there or are none", async () => {
    using folder = new TemporaryFolder();
    const file = folder.file("missing.pem");
    await assertFails(["--port", "0", "--cert", file, "--key", file], file);
    writeFileSync(folder.file("empty.pem"), "no certificate");
    await assertFails(
      ["--port", "0", "--cert", folder.file("empty.pem"), "--key", folder.file("empty.pem")],
      "certificate",
    );
  });
});
