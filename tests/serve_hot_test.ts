import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { connect, type TlsDuplex } from "../mod.ts";
import { Program, root, runtimeNamed, TemporaryFolder, within } from "./server_support.ts";
import "./support.ts";

/** A program for bun --hot. Of its two servers, one has WebSockets. */
const program = (version: string) => `
import { selfSigned, serve } from ${JSON.stringify(pathToFileURL(join(root, "mod.ts")).href)};

const onError = (error) => console.log("${version} is told:", error.message);
const options = { ...selfSigned(), hostname: "127.0.0.1", port: 0, onError };
const server = await serve(options, () => new Response("${version}"));
const websocket = {
  open: (socket) => socket.send("hello from ${version}"),
  message: (socket, text) => socket.send(text + " in ${version}"),
};
const other = await serve({ ...options, websocket }, (request, { server, tls }) => {
  if (server?.upgrade(request)) return;
  if (request.url.endsWith("/fail")) throw new Error("failed in ${version}");
  return new Response("${version}, the other, " + (tls.isResumed ? "resumed" : "full"));
});
console.log("${version} listens on", server.port, other.port);
globalThis.servers ??= [server, other];
console.log("the same servers:", globalThis.servers[0] === server && globalThis.servers[1] === other);
`;

/** Puts a file in the place of another at once, as editors do. */
function replace(file: string, text: string): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

/** One request on a connection that stays open. */
async function get(stream: TlsDuplex, path = "/"): Promise<string> {
  let text = "";
  const answer = new Promise<string>((resolve, reject) => {
    const look = (bytes: unknown) => {
      text += bytes;
      const [, length, body] = /content-length: (\d+)\r\n(?:[^\r].*\r\n)*\r\n([^]*)$/i.exec(text) ?? [];
      if (!length || body!.length < Number(length)) return;
      stream.off("data", look);
      resolve(body!);
    };
    stream.on("data", look).once("close", () => reject(new Error(`The server ended the connection: ${text}`)));
  });
  stream.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
  return await within(answer, "an answer");
}

/** One that is used once. */
async function visit(port: number, path?: string): Promise<string> {
  const stream = await connect({ hostname: "127.0.0.1", port, rejectUnauthorized: false });
  try {
    return await get(stream, path);
  } finally {
    stream.destroy();
  }
}

describe("serve() under bun --hot", () => {
  it("gives the servers that listen already their new handlers, and keeps connections and sessions", async () => {
    using folder = new TemporaryFolder();
    const file = folder.file("server.mjs");
    writeFileSync(file, program("one"));
    const { command } = await runtimeNamed("bun");
    await using bun = new Program(command, ["--hot", file], { cwd: folder.path });
    const [, first, second] = await bun.writes(/^one listens on (\d+) (\d+)\nthe same servers: true$/m);
    const [port, other] = [Number(first), Number(second)];
    assert(port !== other);
    const open = await connect({ hostname: "127.0.0.1", port, rejectUnauthorized: false });
    try {
      assertEquals(await get(open), "one");
      assertEquals(await visit(other), "one, the other, full");

      for (const version of ["two", "three"]) {
        replace(file, program(version));
        await bun.writes(new RegExp(`^${version} listens on ${port} ${other}\nthe same servers: true$`, "m"));
        assertEquals(await get(open), version);
        assertEquals(await visit(port), version);
        assertEquals(await visit(other), `${version}, the other, resumed`);
        await visit(other, "/fail");
        await bun.writes(new RegExp(`^${version} is told: failed in ${version}$`, "m"));
      }
    } finally {
      open.destroy();
    }
  });

  it("gives WebSockets that are open the new handlers", async () => {
    using folder = new TemporaryFolder();
    const file = folder.file("server.mjs");
    writeFileSync(file, program("one"));
    const client = folder.file("client.mjs");
    writeFileSync(
      client,
      `
      import WebSocket from ${JSON.stringify(pathToFileURL(join(root, "node_modules/ws/wrapper.mjs")).href)};
      const socket = new WebSocket(process.argv[2], { rejectUnauthorized: false });
      socket.on("message", (text) => console.log(String(text)));
      process.stdin.on("data", (text) => socket.send(String(text)));
      `,
    );
    const { command } = await runtimeNamed("bun");
    await using bun = new Program(command, ["--hot", file], { cwd: folder.path });
    const [, port] = await bun.writes(/^one listens on \d+ (\d+)$/m);
    const node = await runtimeNamed("node24");
    await using browser = new Program(node.command, [client, `wss://127.0.0.1:${port}/`]);
    await browser.writes(/^hello from one$/m);
    browser.child.stdin!.write("a");
    await browser.writes(/^a in one$/m);
    replace(file, program("two"));
    await bun.writes(/^two listens on .*\nthe same servers: true$/m);
    browser.child.stdin!.write("b");
    await browser.writes(/^b in two$/m);
  });

  it("starts a server anew that the program has closed, and reloads that one from then on", async () => {
    using folder = new TemporaryFolder();
    const file = folder.file("server.mjs");
    const closing = (version: string, closes: boolean) => `
      import { selfSigned, serve } from ${JSON.stringify(pathToFileURL(join(root, "mod.ts")).href)};
      const port = globalThis.server?.port ?? 0;
      if (${closes}) await globalThis.server.close({ grace: 0 });
      const server = await serve({ ...selfSigned(), hostname: "127.0.0.1", port }, () => new Response("${version}"));
      console.log("${version} listens on", server.port, server === globalThis.server);
      globalThis.server = server;
    `;
    writeFileSync(file, closing("one", false));
    const { command } = await runtimeNamed("bun");
    await using bun = new Program(command, ["--hot", file], { cwd: folder.path });
    const [, port] = await bun.writes(/^one listens on (\d+) false$/m);
    replace(file, closing("two", true));
    await bun.writes(new RegExp(`^two listens on ${port} false$`, "m"));
    assertEquals(await visit(Number(port)), "two");
    replace(file, closing("three", false));
    await bun.writes(new RegExp(`^three listens on ${port} true$`, "m"));
    assertEquals(await visit(Number(port)), "three");
  });
});
