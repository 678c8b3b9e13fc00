/**
 * The same calls on createServer() and on node:tls's, and what comes of them: on Node both are asked, on Deno and Bun ours
 * alone, for what Node answers.
 */

import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { createServer } from "../mod.ts";
import { both, type LikeNode, listening, outcome, type Scenario } from "./like_node_support.ts";
import { within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording, TcpClient } from "./socket_support.ts";
import { credentials } from "./support.ts";

const pem = { key: credentials.privateKey, cert: credentials.certificate };

/** A server that waits for its error. */
async function errorOf(
  tls: LikeNode,
  act: (port: number, told: Promise<unknown>) => Promise<unknown>,
  options: object = {},
) {
  await using own = await listening(tls, { ...pem, ...options });
  const told = once(own.server, "tlsClientError");
  const acting = act(own.port, told);
  const [error] = await within(told, "tlsClientError");
  await acting;
  return (error as { code?: string }).code;
}

const scenarios: Record<string, [expected: unknown, run: Scenario]> = {
  "a new server": [
    [false, null, undefined],
    ({ createServer }) => {
      const server = createServer(pem);
      return [server.listening, server.address(), server.maxConnections];
    },
  ],
  "the address right after listen(0)": [
    [true, true, "IPv6", true, false, null],
    async ({ createServer }) => {
      const server = createServer(pem);
      const isSame = server.listen(0) === server;
      const { port, family } = server.address()!;
      const { listening } = server;
      await once(server, "listening");
      const isKept = server.address()!.port === port && port > 0;
      server.close();
      const after = [server.listening, server.address()];
      await once(server, "close");
      return [isSame, listening, family, isKept, ...after];
    },
  ],
  "the forms of listen()": [
    ["none", "null", "port", "text", "host", "backlog", "all", "object", "null port"],
    async ({ createServer }) => {
      const forms: [string, (server: ReturnType<LikeNode["createServer"]>, listener: () => void) => void][] = [
        ["none", (server, listener) => server.listen(listener)],
        ["null", (server, listener) => server.listen(null, listener)],
        ["port", (server, listener) => server.listen(0, listener)],
        ["text", (server, listener) => server.listen("0", listener)],
        ["host", (server, listener) => server.listen(0, "127.0.0.1", listener)],
        ["backlog", (server, listener) => server.listen(0, 16, listener)],
        ["all", (server, listener) => server.listen(0, "127.0.0.1", 16, listener)],
        ["object", (server, listener) => server.listen({ port: 0, host: "127.0.0.1", backlog: 16 }, listener)],
        ["null port", (server, listener) => server.listen({ port: null }, listener)],
      ];
      const heard: string[] = [];
      for (const [name, listen] of forms) {
        const server = createServer(pem);
        await within(new Promise<void>((resolve) => listen(server, resolve)), name);
        heard.push(name);
        server.close();
        await once(server, "close");
      }
      return heard;
    },
  ],
  "what cannot be listened on": [
    [
      "RangeError ERR_SOCKET_BAD_PORT",
      "RangeError ERR_SOCKET_BAD_PORT",
      "TypeError ERR_INVALID_ARG_VALUE",
      "TypeError ERR_INVALID_ARG_VALUE",
      "Error ERR_SERVER_ALREADY_LISTEN",
    ],
    async ({ createServer }) => {
      const server = createServer(pem);
      const thrown = [-1, 65_536, {}, true].map((port) => outcome(() => server.listen(port)));
      server.listen(0);
      thrown.push(outcome(() => server.listen(0)));
      server.close();
      await once(server, "close");
      return thrown;
    },
  ],
  "a port that is taken": [
    "EADDRINUSE",
    async (tls) => {
      await using own = await listening(tls, pem);
      const second = tls.createServer(pem);
      second.listen(own.port, "127.0.0.1");
      const [error] = await within(once(second, "error"), "an error");
      return (error as { code?: string }).code;
    },
  ],
  "close() of a server that does not listen": [
    ["ERR_SERVER_NOT_RUNNING"],
    async ({ createServer }) => {
      const server = createServer(pem);
      const codes: unknown[] = [];
      const closed = once(server, "close");
      server.close((error) => codes.push((error as { code?: string } | undefined)?.code));
      await within(closed, "close");
      return codes;
    },
  ],
  "a signal that is aborted": [
    [true, false],
    async ({ createServer }) => {
      const server = createServer(pem);
      const aborting = new AbortController();
      server.listen({ port: 0, signal: aborting.signal });
      await once(server, "listening");
      const before = server.listening;
      aborting.abort();
      await within(once(server, "close"), "close");
      return [before, server.listening];
    },
  ],
  "maxConnections and drop": [
    [1, "127.0.0.1", "127.0.0.1", "IPv4", "IPv4", true],
    async (tls) => {
      await using own = await listening(tls, pem);
      own.server.maxConnections = 1;
      using client = new Client();
      const recording = new Recording();
      const first = await client.connect(own.port, recording.handlers);
      const dropping = once(own.server, "drop");
      const socket = connectTcp({ port: own.port, host: "127.0.0.1" }).on("error", () => {}).resume();
      const closed = once(socket, "close");
      const [dropped] = await within(dropping, "drop");
      await within(closed, "the dropped connection to close");
      const count = await new Promise((resolve) =>
        own.server.getConnections((_error: unknown, count: number) => resolve(count))
      );
      first.end();
      await within(recording.closed, "the connection to close");
      const { localAddress, remoteAddress, localFamily, remoteFamily, localPort } = dropped;
      return [count, localAddress, remoteAddress, localFamily, remoteFamily, localPort === own.port];
    },
  ],
  "tlsClientError: plain HTTP": [
    "ERR_SSL_HTTP_REQUEST",
    (tls) =>
      errorOf(tls, async (port) => {
        await using tcp = await TcpClient.connect(port);
        await tcp.send("GET / HTTP/1.1\r\n\r\n");
        await within(tcp.ended, "the server's end");
      }),
  ],
  "tlsClientError: no TLS at all": [
    "ERR_SSL_WRONG_VERSION_NUMBER",
    (tls) =>
      errorOf(tls, async (port) => {
        await using tcp = await TcpClient.connect(port);
        await tcp.send("SSH-2.0-OpenSSH_9.2\r\n");
        await within(tcp.ended, "the server's end");
      }),
  ],
  "tlsClientError: a protocol that is not spoken": [
    "ERR_SSL_UNSUPPORTED_PROTOCOL",
    (tls) =>
      errorOf(tls, async (port) => {
        using client = new Client({ version: "TLSv1.2" });
        await client.connect(port).catch(() => {});
      }, { minVersion: "TLSv1.3" }),
  ],
  "tlsClientError: no certificate of the client": [
    "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE",
    (tls) =>
      errorOf(tls, async (port) => {
        using client = new Client({ version: "TLSv1.2" });
        await client.connect(port).catch(() => {});
      }, { requestCert: true, ca: pem.cert }),
  ],
  "tlsClientError: the client goes": [
    "ECONNRESET",
    (tls) =>
      errorOf(tls, async (port) => {
        await using tcp = await TcpClient.connect(port);
        await tcp.vanish("close");
      }),
  ],
  "tlsClientError: the client resets": [
    "ECONNRESET",
    (tls) =>
      errorOf(tls, async (port) => {
        await using tcp = await TcpClient.connect(port, tcpClients.context);
        await tcp.send(tcp.pull().subarray(0, 50));
        await tcp.vanish("reset");
      }),
  ],
  "tlsClientError: the client is silent": [
    "ERR_TLS_HANDSHAKE_TIMEOUT",
    (tls) =>
      errorOf(tls, async (port, told) => {
        await using _tcp = await TcpClient.connect(port);
        await told;
      }, { handshakeTimeout: 50 }),
  ],
};

const tcpClients = { context: undefined as never as Client["context"] };

describe("createServer() and node:tls's", () => {
  for (const [name, [expected, run]] of Object.entries(scenarios)) {
    it(
      name,
      leavingNothingLater(async () => {
        using client = new Client();
        tcpClients.context = client.context;
        for (const tls of both) assertEquals([tls.name, await run(tls)], [tls.name, expected]);
      }),
    );
  }
});

describe("createServer() refuses what is not here, by name", () => {
  it("events", () => {
    const server = createServer(pem);
    for (const event of ["connection", "OCSPRequest"]) {
      const thrown = outcome(() =>
        (server as unknown as { on(event: string, listener: () => void): void }).on(event, () => {})
      );
      assert(thrown.startsWith("TypeError"), thrown);
    }
    assertEquals(server.listenerCount("connection" as "close"), 0);
  });
});
