import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join, normalize } from "node:path";
import process from "node:process";
import { Program, root, runtimeNamed, TemporaryFolder, within } from "./server_support.ts";

/** Serves the library's files, as a registry or a repository's host would. */
async function serveFiles() {
  const served: string[] = [];
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url!, "http://localhost").pathname);
    const file = join(root, path);
    served.push(path);
    if (!/^\/(mod|(ffi|ssl|cache|server)\/\w+)\.ts$/.test(path) || !existsSync(file)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": "application/typescript" });
    response.end(readFileSync(file));
  });
  await within(new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)), "the file server");
  const { port } = server.address() as { port: number };
  return {
    host: `127.0.0.1:${port}`,
    served,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await within(new Promise((resolve) => server.close(resolve)), "the file server to close");
    },
  };
}

const program = `
import { listen, connect, MemoryStore, openLibrary, selfSigned, SessionCache, SslContext } from "http://HOST/mod.ts";

try {
  console.log(openLibrary().version);
} catch (error) {
  console.log(error.name);
  console.log(error.message);
  Deno.exit(3);
}
const serverContext = SslContext.server(selfSigned());
new SessionCache({ store: new MemoryStore() }).attach(serverContext);
const clientContext = SslContext.client({ verify: "none" });
NETWORK
clientContext.dispose();
serverContext.dispose();
console.log("done");
`;

const network = `
const server = await listen({ context: serverContext, hostname: "127.0.0.1" }, {
  data: (socket, bytes) => socket.end(bytes),
});
const { promise, resolve } = Promise.withResolvers();
const socket = await connect(
  { context: clientContext, hostname: "127.0.0.1", port: server.port },
  { data: (_socket, bytes) => console.log(new TextDecoder().decode(bytes)), close: resolve },
);
socket.write(new TextEncoder().encode("there and back"));
await promise;
await server.close();
`;

/** Runs a program in Deno that imports the library by its URL. */
async function run(permissions: readonly string[], usingNetwork: boolean) {
  using folder = new TemporaryFolder();
  await using files = await serveFiles();
  const file = folder.file("program.js");
  writeFileSync(file, program.replace("HOST", files.host).replace("NETWORK", usingNetwork ? network : ""));
  const { command } = await runtimeNamed("deno");
  const options = ["run", "--no-prompt", "--no-config", "--no-lock", `--allow-import=${files.host}`];
  await using deno = new Program(command, [...options, ...permissions, file], {
    cwd: folder.path,
    env: { DENO_DIR: folder.file("deno") },
  });
  deno.child.stdin!.end();
  const { code } = await deno.end(100_000);
  return { code, stdout: deno.stdout, stderr: deno.stderr, served: files.served };
}

// Windows needs to find its libraries by the environment.
describe("the library imported from a URL in Deno", { ignore: process.platform === "win32" }, () => {
  it("works with --allow-ffi alone", async () => {
    const { code, stdout, stderr, served } = await run(["--allow-ffi"], false);
    assertEquals(code, 0, stderr);
    assertMatch(stdout, /^OpenSSL \d.*\ndone\n$/);
    assert(served.includes("/mod.ts") && served.includes("/ffi/deno.ts"));
    assertEquals(served.filter((path) => path.startsWith("/tests") || path.startsWith("/examples")), []);
  });

  it("serves and connects with --allow-net besides", async () => {
    const { code, stdout, stderr } = await run(["--allow-ffi", "--allow-net=127.0.0.1"], true);
    assertEquals(code, 0, stderr);
    assertMatch(stdout, /^OpenSSL \d.*\nthere and back\ndone\n$/);
  });

  it("says that it needs --allow-ffi where that is missing, and does not ask", async () => {
    const { code, stdout, stderr } = await run([], false);
    assertEquals(code, 3, stderr);
    assertMatch(stdout, /^LibraryNotFoundError\n[^]*--allow-ffi/);
    assertEquals(stderr.replace(/^Download .*\n/gm, ""), "");
  });
});
