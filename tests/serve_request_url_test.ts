import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { FetchHandler } from "../mod.ts";
import { frame, FrameClient } from "./http2_frames.ts";
import { Served } from "./serve_support.ts";
import { thisRuntime, until, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording } from "./socket_support.ts";
import { bytes } from "./support.ts";

/** Answers with the URL of the request, and those of what is made of it. */
const urls: FetchHandler = (request) => {
  const clone = request.clone();
  const all = [request.url, clone.url, clone.clone().url, new Request(request.clone() as Request).url];
  return new Response(`${all.join("\n")}\n.`);
};

/** What a client of HTTP/1.1 gets for a request. */
async function ask(request: string): Promise<{ status: string | undefined; urls: string[]; port: number }> {
  await using server = await Served.start(urls);
  using client = new Client({ alpnProtocols: ["http/1.1"] });
  const recording = new Recording();
  const socket = await client.connect(server.port, recording.handlers);
  let isClosed = false;
  recording.closed.then(() => isClosed = true);
  socket.write(bytes(request));
  await until(() => isClosed || /\.$|^HTTP\/1\.1 4[^]*\r\n\r\n/.test(recording.text), "an answer");
  const [head, body = ""] = recording.text.split("\r\n\r\n");
  const [, status] = /^HTTP\/1\.[01] (\d+)/.exec(head!) ?? [];
  socket.destroy();
  const found = body.match(/^\S*:\/\/\S+$/gm) ?? [];
  return { status, urls: [...new Set(found)], port: server.port };
}

describe("HTTP/1.1: request.url", () => {
  for (
    const [what, request, expected] of [
      ["a path", "GET /a?b HTTP/1.1\r\nhost: localhost", "https://localhost/a?b"],
      ["a host in capitals", "GET /a HTTP/1.1\r\nhost: LOCALHOST", "https://localhost/a"],
      ["a host with a port", "GET /a HTTP/1.1\r\nhost: localhost:8443", "https://localhost:8443/a"],
      ["the port of http", "GET /a HTTP/1.1\r\nhost: localhost:80", "https://localhost:80/a"],
      ["the port of https", "GET /a HTTP/1.1\r\nhost: localhost:443", "https://localhost/a"],
      ["an IPv6 address", "GET /a HTTP/1.1\r\nhost: [::1]:8443", "https://[::1]:8443/a"],
      ["a URL of http", "GET http://localhost/a HTTP/1.1\r\nhost: localhost", "https://localhost/a"],
      ["somebody else's URL", "GET http://evil.example:81/a HTTP/1.1\r\nhost: localhost", "https://localhost/a"],
      ["somebody else's URL of https", "GET https://evil.example/a HTTP/1.1\r\nhost: localhost", "https://localhost/a"],
      ["a URL without a path", "GET http://evil.example?b HTTP/1.1\r\nhost: localhost", "https://localhost/?b"],
      [
        "a path that looks like a host",
        "GET //evil.example/a HTTP/1.1\r\nhost: localhost",
        "https://localhost//evil.example/a",
      ],
      ["no host, with HTTP/1.0", "GET /a HTTP/1.0", "https://localhost:PORT/a"],
      ["an empty host", "GET /a HTTP/1.1\r\nhost: ", "https://localhost:PORT/a"],
    ] as const
  ) {
    it(
      `is of https and the client's own host, for ${what}`,
      leavingNothingLater(async () => {
        const { status, urls, port } = await ask(`${request}\r\n\r\n`);
        if (status === "400" && what === "a URL without a path") return;
        assertEquals([status, urls], ["200", [expected.replace("PORT", String(port))]]);
      }),
    );
  }

  for (
    const [what, hosts] of [
      ["a path in it", ["evil.example/a?b"]],
      ["a user in it", ["user@evil.example"]],
      ["a space in it", ["a b"]],
      ["a fragment in it", ["evil.example#"]],
      ["a backslash in it", ["evil.example\\a"]],
      ["half an address in it", ["[::1"]],
      ["another one beside it", ["localhost", "evil.example"]],
      ["itself beside it", ["localhost", "localhost"]],
      ["a port that is none", ["localhost:65536"]],
      ["a larger one", ["localhost:99999"]],
    ] as const
  ) {
    it(
      `is nobody's to see for a host with ${what}: the client gets 400`,
      leavingNothingLater(async () => {
        const { status, urls } = await ask(
          `GET /a HTTP/1.1\r\n${hosts.map((host) => `host: ${host}\r\n`).join("")}\r\n`,
        );
        assertEquals([status, urls], ["400", []]);
      }),
    );
  }

  it(
    "can be read as a URL for each name that is let pass, in punycode too",
    leavingNothingLater(async () => {
      for (const host of ["xn--a", "xn--", "a.xn--b.c", "xn--bcher-kva.example", "a_b", "-", "a.:80"]) {
        const { status, urls } = await ask(`GET /a HTTP/1.1\r\nhost: ${host}\r\n\r\n`);
        const given = `https://${host}/a`;
        if (URL.canParse(given)) assertEquals([status, urls], ["200", [new URL(given).href]]);
        else assertEquals([status, urls], ["400", []], host);
      }
    }),
  );

  it(
    "is of https also for CONNECT, where that comes to the handler",
    leavingNothingLater(async () => {
      await using server = await Served.start((request) => new Response(`${request.method} ${request.url} .`));
      using client = new Client({ alpnProtocols: ["http/1.1"] });
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      socket.write(bytes("CONNECT evil.example:443 HTTP/1.1\r\nhost: localhost\r\n\r\n"));
      // Node closes the connection.
      if (thisRuntime === "node") return void await within(recording.closed, "the end");
      await until(() => recording.text.endsWith("."), "an answer");
      assertMatch(recording.text, /CONNECT https:\/\/localhost\/ \.$/);
      socket.destroy();
    }),
  );
});

describe("HTTP/2: request.url", () => {
  const text = (value: string) => [value.length, ...bytes(value)];
  const named = (name: string, value: string) => [0, ...text(name), ...text(value)];
  // Of another scheme than http and https a path may begin with anything, as far as some servers care.
  for (
    const [path, authority] of [
      ["@evil.example/a", "LOCALHOST:80"],
      ["@evil.host/a", "GOOD.host"],
      [".example/a", "LOCALHOST"],
      [":80/a", "LOCALHOST"],
      ["https://evil.example/a", "LOCALHOST"],
    ] as const
  ) {
    it(
      `is of the host that is named, with a path ${path}`,
      leavingNothingLater(async () => {
        const seen: string[] = [];
        await using server = await Served.start((request) => {
          seen.push(new URL(request.url).host);
          return new Response("ok");
        });
        using client = new Client({ alpnProtocols: ["h2"] });
        const frames = await FrameClient.connect(client, server.port);
        await frames.start();
        const block = [0x82, ...named(":scheme", "x"), 0x04, ...text(path), 0x01, ...text(authority)];
        frames.send(frame(1, 5, 1, new Uint8Array(block)));
        await until(() => frames.isClosed || frames.frames.some(({ stream }) => stream === 1), "an answer");
        for (const host of seen) assertEquals(host, authority.toLowerCase());
        frames.socket.destroy();
      }),
    );
  }

  for (
    const [what, block, expected] of [
      ["a path", [0x82, 0x87, 0x04, ...text("/a"), 0x01, ...text("localhost")], "https://localhost/a"],
      ["http for a scheme", [0x82, 0x86, 0x04, ...text("/a"), 0x01, ...text("localhost")], "https://localhost/a"],
      ["a Host alone", [0x82, 0x87, 0x04, ...text("/a"), ...named("host", "localhost")], "https://localhost/a"],
      ["no host", [0x82, 0x87, 0x04, ...text("/a")], "https://localhost:PORT/a"],
      ["a user in the host", [0x82, 0x87, 0x04, ...text("/a"), 0x01, ...text("a@evil.example")], undefined],
      ["a path in the host", [0x82, 0x87, 0x04, ...text("/a"), 0x01, ...text("evil.example/b")], undefined],
      ["a port that is none", [0x82, 0x87, 0x04, ...text("/a"), 0x01, ...text("localhost:65536")], undefined],
      [
        "all of the server",
        [...named(":method", "OPTIONS"), 0x87, 0x04, ...text("*"), 0x01, ...text("localhost")],
        "https://localhost/*",
      ],
      [
        "the same Host in other words",
        [0x82, 0x87, 0x04, ...text("/a"), 0x01, ...text("localhost"), ...named("host", "LOCALHOST:443")],
        "https://localhost/a",
      ],
      [
        "another Host",
        [0x82, 0x87, 0x04, ...text("/a"), 0x01, ...text("localhost"), ...named("host", "evil.example")],
        undefined,
      ],
    ] as const
  ) {
    it(
      `is of https, for ${what}${expected ? "" : ": no handler sees it"}`,
      leavingNothingLater(async () => {
        let handled = 0;
        await using server = await Served.start((...all) => {
          handled++;
          return urls(...all);
        });
        using client = new Client({ alpnProtocols: ["h2"] });
        const frames = await FrameClient.connect(client, server.port);
        await frames.start();
        frames.send(frame(1, 5, 1, new Uint8Array(block)));
        const isAnswered = () =>
          frames.frames.some(({ type, flags }) => type === 3 || type === 7 || (type < 2 && flags & 1));
        await until(() => isAnswered() || frames.isClosed, "an answer");
        const body = new TextDecoder().decode(
          new Uint8Array(frames.frames.filter(({ type }) => type === 0).flatMap(({ payload }) => [...payload])),
        );
        const found = [...new Set(body.match(/^\S*:\/\/\S+$/gm) ?? [])];
        // Some servers refuse a request that names no host.
        if (expected && (what !== "no host" || handled > 0)) {
          assertEquals(found, [expected.replace("PORT", String(server.port))]);
        } else assert(handled === 0 && found.length === 0, body);
        frames.socket.destroy();
      }),
    );
  }
});
