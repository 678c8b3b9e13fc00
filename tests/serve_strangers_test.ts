import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { dirname } from "node:path";
import process from "node:process";
import { curl } from "./curl_support.ts";
import { Served } from "./serve_support.ts";
import { thisRuntime, until, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording } from "./socket_support.ts";
import { bytes } from "./support.ts";

const http1 = { alpnProtocols: ["http/1.1"] };

// Bun's WebSockets want one server for all, and so a port.
const websocket = thisRuntime === "bun" ? { websocket: { message() {} } } : {};

const isLinux = process.platform === "linux";

describe("A stranger to serve()'s HTTP server inside the process", () => {
  if (thisRuntime !== "deno" && isLinux) {
    it("finds no port, and no name of a Unix socket", async () => {
      const before = listening();
      await using server = await Served.start(() => new Response("served"));
      using client = new Client(http1);
      const recording = new Recording();
      // One that is in use, beside what waits for the next connection.
      const socket = await client.connect(server.port, recording.handlers);
      socket.write(bytes("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"));
      await until(() => recording.text.endsWith("served"), "the answer");
      assertEquals(listening().filter((port) => !before.includes(port)), [server.port]);
      const names = unixNames().filter((name) => name.includes("openssl-sessions-"));
      assertEquals(names.length > 0, thisRuntime === "bun");
      for (const name of names) {
        assert(!existsSync(name) && !existsSync(dirname(name)), `${name} can be connected to`);
      }
      socket.end();
      await within(recording.closed, "the connection to close");
    });
  }
  if (thisRuntime === "node" || !isLinux) return;

  it(
    "gets 403, whatever address it comes from, and the handler hears nothing",
    leavingNothingLater(async () => {
      let requests = 0;
      const before = listening();
      await using server = await Served.start(() => new Response(`${++requests}`), websocket);
      const [inner] = listening().filter((port) => !before.includes(port) && port !== server.port);
      assert(inner, "there is no port inside the process");
      // A connection of the server's own is there, whose port the stranger takes on another address.
      using client = new Client(http1);
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      socket.write(bytes("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"));
      await until(() => recording.text.endsWith("1"), "the answer");
      const ours = peersOf(inner);
      assertEquals(ours.length, 1);
      for (const from of [{}, { localAddress: "127.0.0.2" }, { localAddress: "127.0.0.2", localPort: ours[0]! }]) {
        const status = await new Promise((resolve, reject) => {
          const request = httpRequest({ host: "127.0.0.1", port: inner, agent: false, ...from }, (response) => {
            response.resume().once("end", () => resolve(response.statusCode));
          });
          request.once("error", reject).end();
        });
        assertEquals([from, status], [from, 403]);
      }
      assertEquals([requests, server.server.stats().requests], [1, 1]);
      socket.end();
      await within(recording.closed, "the connection to close");
    }),
  );
});

describe("A request to serve()", () => {
  it(
    "is answered also where there is no folder for a Unix socket",
    leavingNothingLater(async () => {
      const { TMPDIR } = process.env;
      process.env.TMPDIR = "/proc/nowhere";
      try {
        await using server = await Served.start(() => new Response("served"));
        assertEquals(await curl("-k", "--http1.1", server.url("/")), "served");
        assertEquals(server.errors, []);
      } finally {
        if (TMPDIR === undefined) delete process.env.TMPDIR;
        else process.env.TMPDIR = TMPDIR;
      }
    }),
  );

  it(
    "is known as its own connection's, however fast others come and go",
    leavingNothingLater(async () => {
      const mistaken: string[] = [];
      let answered = 0;
      await using server = await Served.start((request, { tls }) => {
        answered++;
        const { hostname } = new URL(request.url);
        if (hostname !== tls.serverName) mistaken.push(`${hostname} as ${tls.serverName}`);
        return new Response("ok");
      });
      using client = new Client({ ...http1, verify: "none" });
      let count = 0;
      async function visitor(): Promise<void> {
        while (count < 400) {
          const serverName = `host-${count}.example`;
          const leavesEarly = count++ % 3 === 0;
          const recording = new Recording();
          const socket = await client.connect(server.port, recording.handlers, { serverName });
          const request = `GET / HTTP/1.1\r\nhost: ${serverName}\r\n\r\n`;
          socket.write(bytes(request.repeat(3)));
          // Its requests may still be on their way through the server when the next connection comes.
          if (leavesEarly) socket.destroy();
          else {
            await until(() => recording.text.split("HTTP/1.1 200").length === 4, "three answers");
            socket.end();
          }
          await within(recording.closed, "the connection to close");
        }
      }
      await Promise.all([visitor(), visitor(), visitor(), visitor()]);
      assertEquals(mistaken, []);
      assert(answered >= 3 * 266, `only ${answered} requests came`);
    }),
  );
});

/** The ports that this process listens on. */
function listening(): number[] {
  return sockets().filter(({ state }) => state === "0A").map(({ local }) => local);
}

/** The ports that are connected to this one of this process. */
function peersOf(port: number): number[] {
  return sockets().filter(({ state, local }) => state === "01" && local === port).map(({ remote }) => remote);
}

/** The names of the Unix sockets that this process has. */
function unixNames(): string[] {
  const own = inodes();
  const lines = readFileSync("/proc/net/unix", "utf8").trim().split("\n").slice(1);
  return lines.map((line) => line.trim().split(/\s+/)).filter((fields) => own.has(`socket:[${fields[6]}]`) && fields[7])
    .map((fields) => fields[7]!);
}

/** What this process's descriptors are: the system's lists have other processes' sockets as well. */
function inodes(): Set<string | undefined> {
  return new Set(
    readdirSync("/proc/self/fd").map((descriptor) => {
      try {
        return readlinkSync(`/proc/self/fd/${descriptor}`);
      } catch {
        // Closed meanwhile, as the folder's own is.
        return undefined;
      }
    }),
  );
}

function sockets(): { local: number; remote: number; state: string }[] {
  const own = inodes();
  const lines = readFileSync("/proc/net/tcp", "utf8").trim().split("\n").slice(1);
  return lines.map((line) => line.trim().split(/\s+/)).filter((fields) => own.has(`socket:[${fields[9]}]`)).map(
    (fields) => {
      const [, local, remote, state] = fields as [string, string, string, string];
      const port = (address: string) => parseInt(address.split(":")[1]!, 16);
      return { local: port(local), remote: port(remote), state };
    },
  );
}
