/** Where an error comes from, as operators are told, and what is printed where nobody listens. */

import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { ClientSessions, connect, type ErrorReport, type FetchHandler, listen, serve, SslContext } from "../mod.ts";
import { curl } from "./curl_support.ts";
import { TemporaryFolder, until, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording, TcpClient } from "./socket_support.ts";
import { credentials } from "./support.ts";

const here = { ...credentials, hostname: "127.0.0.1" };

/** What a server's onError was told. */
class Told {
  readonly all: [message: string, report: ErrorReport][] = [];
  readonly onError = (error: Error, report: ErrorReport): void => void this.all.push([error.message, report]);

  async next(count = 1): Promise<[message: string, report: ErrorReport]> {
    await until(() => this.all.length >= count, "an error");
    return this.all[count - 1]!;
  }
}

/** What is printed to console.error meanwhile. */
async function printedDuring(act: () => Promise<void>): Promise<unknown[]> {
  const printed: unknown[] = [];
  const methods = ["error", "warn", "log"] as const;
  const originals = methods.map((method) => [method, console[method]] as const);
  for (const method of methods) console[method] = (...what: unknown[]) => void printed.push(method, ...what);
  try {
    await act();
  } finally {
    for (const [method, original] of originals) console[method] = original;
  }
  return printed;
}

describe("the kind of an error that onError is told", () => {
  it(
    "is handshake where a client does not speak TLS, goes away, takes too long, or authorize throws",
    leavingNothingLater(async () => {
      const told = new Told();
      await using server = await listen({
        ...here,
        handshakeTimeout: 300,
        authorize() {
          throw new Error("authorize threw");
        },
        onError: told.onError,
      }, {});
      {
        await using scanner = await TcpClient.connect(server.port);
        await scanner.send("GET / HTTP/1.1\r\n\r\n");
        await scanner.ended;
      }
      const [message, { kind, socket }] = await told.next();
      assertEquals(kind, "handshake");
      assertMatch(message, /plain HTTP/);
      assertEquals(socket?.remoteAddress, "127.0.0.1");
      {
        await using gone = await TcpClient.connect(server.port);
        await gone.vanish("close");
      }
      assertEquals((await told.next(2))[1].kind, "handshake");
      {
        await using silent = await TcpClient.connect(server.port);
        await silent.ended;
      }
      const late = await told.next(3);
      assertEquals([late[0], late[1].kind], ["The client did not finish its handshake in 300 ms", "handshake"]);
      using client = new Client();
      const recording = new Recording();
      await client.connect(server.port, recording.handlers).catch(() => {});
      const refused = await told.next(4);
      assertEquals([refused[0], refused[1].kind], ["authorize threw", "handshake"]);
    }),
  );

  it(
    "is connection for what goes wrong after the handshake: handlers that throw or reject, protocol errors",
    leavingNothingLater(async () => {
      const told = new Told();
      let fault: "throw" | "reject" | "none" = "throw";
      await using server = await listen({ ...here, onError: told.onError }, {
        data() {
          if (fault === "throw") throw new Error("data threw");
          if (fault === "reject") return Promise.reject(new Error("data rejected")) as never;
        },
      });
      using client = new Client();
      for (fault of ["throw", "reject"] as const) {
        const recording = new Recording();
        const socket = await client.connect(server.port, recording.handlers);
        socket.write(new Uint8Array(1));
        await within(recording.closed, "the connection to close");
      }
      await until(() => told.all.length === 2, "both errors");
      assertEquals(told.all.map(([message, { kind, socket }]) => [message, kind, socket?.isClosed]), [
        ["data threw", "connection", true],
        ["data rejected", "connection", true],
      ]);
      fault = "none";
      await using liar = await TcpClient.connect(server.port, client.context);
      await liar.shakeHands();
      await liar.send("no record of TLS");
      await liar.ended;
      assertEquals((await told.next(3))[1].kind, "connection");
    }),
  );

  it(
    "is connection where the function that takes streams throws",
    leavingNothingLater(async () => {
      const told = new Told();
      await using server = await listen({ ...here, onError: told.onError }, () => {
        throw new Error("onConnection threw");
      });
      using client = new Client();
      const recording = new Recording();
      await client.connect(server.port, recording.handlers);
      await within(recording.closed, "the connection to close");
      const [message, { kind }] = await told.next();
      assertEquals([message, kind], ["onConnection threw", "connection"]);
    }),
  );

  it(
    "is accept where a connection cannot be begun, with no socket",
    leavingNothingLater(async () => {
      const told = new Told();
      const context = SslContext.server(credentials);
      await using server = await listen({ context, hostname: "127.0.0.1", onError: told.onError }, {});
      context.dispose();
      await using client = await TcpClient.connect(server.port);
      await client.ended;
      const [message, report] = await told.next();
      assertMatch(message, /^Cannot use this context/);
      assertEquals(report, { kind: "accept", socket: undefined });
    }),
  );

  it(
    "is reload where files that are watched cannot be loaded, or keys not logged; and names the file",
    leavingNothingLater(async () => {
      using folder = new TemporaryFolder();
      const [certificateFile, privateKeyFile] = [folder.file("cert.pem"), folder.file("key.pem")];
      writeFileSync(certificateFile, credentials.certificate);
      writeFileSync(privateKeyFile, credentials.privateKey);
      mkdirSync(folder.file("keys.log"));
      const told = new Told();
      await using server = await listen({
        ...{ certificateFile, privateKeyFile, watch: 20, hostname: "127.0.0.1" },
        ...{ keylogFile: folder.file("keys.log"), onError: told.onError },
      }, {});
      using client = new Client({ maxVersion: "TLSv1.2" });
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      socket.end();
      await within(recording.closed, "the connection to close");
      const [logged, report] = await told.next();
      assert(logged.includes(folder.file("keys.log")), logged);
      assertEquals(report, { kind: "reload", socket: undefined });
      const before = told.all.length;
      writeFileSync(certificateFile, "no PEM");
      const [message, { kind }] = await told.next(before + 1);
      assertEquals(kind, "reload");
      assert(message.includes(certificateFile), message);
      writeFileSync(certificateFile, credentials.certificate);
      appendFileSync(privateKeyFile, "\n");
    }),
  );

  it(
    "is request for what handlers of serve() throw, and for answers that are none",
    leavingNothingLater(async () => {
      const told = new Told();
      await using server = await serve({ ...here, onError: told.onError }, (request) => {
        if (request.url.endsWith("/none")) return undefined as unknown as Response;
        throw new Error("the handler threw");
      });
      for (const option of ["--http1.1", "--http2"]) {
        for (const [path, message] of [["/", "the handler threw"], ["/none", "did not return a Response"]]) {
          const before = told.all.length;
          const status = await curl(
            "-k",
            option,
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            `https://127.0.0.1:${server.port}${path}`,
          );
          assertEquals(status, "500");
          const [text, { kind, socket }] = await told.next(before + 1);
          assert(text.includes(message!), text);
          assertEquals(kind, "request");
          assertEquals(socket?.remoteAddress, "127.0.0.1");
          assertEquals(told.all.length, before + 1);
        }
      }
    }),
  );

  it(
    "is handshake for connect() until the connection is there, and connection then",
    leavingNothingLater(async () => {
      await using server = await listen(here, {});
      using sessions = new ClientSessions();
      const told = new Told();
      const to = { hostname: "127.0.0.1", port: server.port, sessions, onError: told.onError };
      const error = await assertRejects(() => connect(to));
      const [message, { kind }] = await told.next();
      assertInstanceOf(error, Error);
      assertEquals([message, kind], [error.message, "handshake"]);
      const socket = await connect({ ...to, certificateAuthorities: credentials.certificate }, {
        close() {
          throw new Error("close threw");
        },
      });
      socket.destroy();
      const later = await told.next(2);
      assertEquals([later[0], later[1].kind, later[1].socket], ["close threw", "connection", socket]);
    }),
  );
});

describe("where there is no onError", () => {
  const thrown = new Error("the handler threw");
  const failing: Record<string, FetchHandler> = {
    "throws": () => {
      throw thrown;
    },
    "rejects": () => Promise.reject(thrown),
  };
  const ask = async (port: number, option: string) =>
    await curl("-k", option, "-w", "%{http_code}", `https://127.0.0.1:${port}/`);

  for (const [how, handler] of Object.entries(failing)) {
    for (const option of ["--http1.1", "--http2"]) {
      it(
        `what a handler of serve() ${how} goes to console.error, by curl ${option}`,
        leavingNothingLater(async () => {
          const printed = await printedDuring(async () => {
            await using server = await serve(here, handler);
            assertEquals(await ask(server.port, option), "Internal Server Error\n500");
          });
          assertEquals(printed, ["error", thrown]);
        }),
      );
    }
  }

  it(
    "nothing else is printed, and with onError nothing at all",
    leavingNothingLater(async () => {
      const printed = await printedDuring(async () => {
        const told = new Told();
        await using heard = await serve({ ...here, onError: told.onError }, failing.throws!);
        await ask(heard.port, "--http1.1");
        assertEquals(told.all.map(([, { kind }]) => kind), ["request"]);
        await using silent = await serve(here, () => new Response("fine"));
        await using listening = await listen(here, () => {
          throw new Error("onConnection threw");
        });
        for (const { port } of [silent, listening]) {
          await using scanner = await TcpClient.connect(port);
          await scanner.send("GET / HTTP/1.1\r\n\r\n");
          await scanner.ended;
        }
        using client = new Client();
        const recording = new Recording();
        await client.connect(listening.port, recording.handlers);
        await within(recording.closed, "the connection to close");
        assertEquals(await ask(silent.port, "--http2"), "fine200");
        await until(() => silent.stats().failedHandshakes === 1, "the scanner's end");
      });
      assertEquals(printed, []);
    }),
  );
});
