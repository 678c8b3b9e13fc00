import { assert, assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import {
  createServer,
  httpConnections,
  type NodeTlsServer,
  type NodeTlsServerOptions,
  selfSigned,
  type TlsDuplex,
} from "../mod.ts";
import { sClient } from "./curl_support.ts";
import { Program, runtimeNamed, TemporaryFolder, until, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording, TcpClient } from "./socket_support.ts";
import { credentials, versions } from "./support.ts";

const pem = { key: credentials.privateKey, cert: credentials.certificate };

const echo = (socket: TlsDuplex) => void socket.pipe(socket);

/** A server that listens, and what it reports. */
async function listening(
  options: NodeTlsServerOptions = {},
  prepare: (server: NodeTlsServer) => void = () => {},
  onConnection: (socket: TlsDuplex) => void = echo,
) {
  const server = createServer({ ...pem, ...options }, onConnection);
  const errors: Error[] = [];
  server.on("tlsClientError", (error) => errors.push(error));
  prepare(server);
  server.listen(0, "127.0.0.1");
  await within(once(server, "listening"), "the server to listen");
  return {
    server,
    errors,
    port: server.address()!.port,
    async [Symbol.asyncDispose]() {
      await within(server[Symbol.asyncDispose](), "the server to close");
    },
  };
}

/** What node:tls's documentation shows, word for word but for the Map. */
function asDocumented(server: NodeTlsServer, tlsSessionStore: Map<string, Buffer>): void {
  server.on("newSession", (id, data, cb) => {
    tlsSessionStore.set(id.toString("hex"), data);
    cb();
  });
  server.on("resumeSession", (id, cb) => {
    cb(null, tlsSessionStore.get(id.toString("hex")) || null);
  });
}

for (const version of versions) {
  describe(`${version}: createServer()`, () => {
    it(
      "emits newSession and resumeSession, and another server resumes by what was stored",
      leavingNothingLater(async () => {
        const stored = new Map<string, Buffer>();
        using client = new Client({ version });
        {
          await using first = await listening({}, (server) => asDocumented(server, stored));
          assertEquals(await client.visit(first.port), { resumed: false, protocol: version });
          assertEquals(first.errors, []);
        }
        assertEquals(stored.size, 1);
        const [[id, data]] = [...stored] as [[string, Buffer]];
        assertEquals([id.length, Buffer.isBuffer(data)], [64, true]);
        // As from another process: bytes that are no Buffer.
        stored.set(id, new Uint8Array(data) as Buffer);
        await using second = await listening({}, (server) => asDocumented(server, stored));
        assertEquals(await client.visit(second.port, client.sessions[0]), { resumed: true, protocol: version });
        assertEquals(second.errors, []);
      }),
    );

    it(
      "gives the client its ticket when newSession's callback was called",
      leavingNothingLater(async () => {
        let tell: (() => void) | undefined;
        await using own = await listening(
          { lookupTimeout: 60_000 },
          (server) => server.on("newSession", (_id, _data, callback) => tell = callback),
          (socket) => {
            socket.write("hello");
            echo(socket);
          },
        );
        using client = new Client({ version });
        const recording = new Recording();
        const connecting = client.connect(own.port, recording.handlers);
        await until(() => tell !== undefined, "newSession");
        assertEquals([recording.length, client.sessions.length], [0, 0]);
        tell!();
        const socket = await connecting;
        await recording.bytes(5);
        assertEquals(client.sessions.length, 1);
        socket.end();
        await within(recording.closed, "the connection to close");
      }),
    );

    it(
      "resumes without listeners, and with those that came after listen()",
      leavingNothingLater(async () => {
        await using own = await listening();
        using client = new Client({ version });
        await client.visit(own.port);
        assert((await client.visit(own.port, client.sessions.at(-1))).resumed);
        const stored = new Map<string, Buffer>();
        asDocumented(own.server, stored);
        using other = new Client({ version });
        await other.visit(own.port);
        assertEquals(stored.size, 1);
        assert((await other.visit(own.port, other.sessions.at(-1))).resumed);
      }),
    );

    const bad: Record<string, (server: NodeTlsServer) => void> = {
      "throw": (server) => {
        server.on("newSession", () => {
          throw new Error("no");
        });
        server.on("resumeSession", () => {
          throw new Error("no");
        });
      },
      "reject": (server) => {
        server.on("newSession", () => Promise.reject(new Error("no")) as unknown as void);
        server.on("resumeSession", () => Promise.reject(new Error("no")) as unknown as void);
      },
      "never call back": (server) => {
        server.on("newSession", () => {});
        server.on("resumeSession", () => {});
      },
      "answer with an error": (server) => {
        server.on("newSession", (_id, _data, callback) => callback());
        server.on("resumeSession", (_id, callback) => callback(new Error("no")));
      },
      "answer with garbage": (server) => {
        server.on("newSession", (_id, _data, callback) => callback());
        server.on("resumeSession", (_id, callback) => callback(null, Buffer.from("garbage")));
      },
      "answer with what is no bytes": (server) => {
        server.on("newSession", (_id, _data, callback) => callback());
        server.on("resumeSession", (_id, callback) => callback(null, "garbage" as unknown as Buffer));
      },
    };
    for (const [how, prepare] of Object.entries(bad)) {
      it(
        `goes on without resumption, and tells of it, where listeners ${how}`,
        leavingNothingLater(async () => {
          await using own = await listening({ lookupTimeout: 40 }, prepare);
          using client = new Client({ version });
          assertEquals((await client.visit(own.port)).resumed, false);
          const before = own.errors.length;
          assertEquals((await client.visit(own.port, client.sessions[0])).resumed, false);
          await until(() => own.errors.length > before, "a report");
          assert(own.errors.every((error) => error instanceof Error));
        }),
      );
    }

    it(
      "takes the first answer of listeners that call back twice",
      leavingNothingLater(async () => {
        const stored = new Map<string, Buffer>();
        await using own = await listening({}, (server) => {
          asDocumented(server, stored);
          server.on("newSession", (_id, _data, callback) => callback());
          server.on("resumeSession", (_id, callback) => callback(new Error("too late"), null));
        });
        using client = new Client({ version });
        await client.visit(own.port);
        assert((await client.visit(own.port, client.sessions[0])).resumed);
        assertEquals(own.errors, []);
      }),
    );

    it(
      "may be changed, and closed, by its own listeners",
      leavingNothingLater(async () => {
        let closed: Promise<void> | undefined;
        let reports = 0;
        const { server, port } = await listening({}, (server) => {
          const change = () => {
            server.setSecureContext(pem);
            server.addContext("other.example", pem);
            server.on("keylog", () => {});
          };
          server.on("newSession", (_id, _data, callback) => {
            change();
            callback();
          });
          server.on("resumeSession", (_id, callback) => {
            change();
            callback(null, Buffer.from("garbage"));
          });
          server.on("tlsClientError", () => {
            reports++;
            change();
            closed ??= new Promise((resolve) => server.close(() => resolve()));
          });
        });
        using client = new Client({ version });
        await client.visit(port);
        assertEquals((await client.visit(port, client.sessions[0])).resumed, false);
        await within(closed!, "the server to close");
        assertEquals([reports, server.listening], [1, false]);
      }),
    );

    it(
      "tells of the connection's secrets",
      leavingNothingLater(async () => {
        const lines: string[] = [];
        const sockets = new Set<unknown>();
        await using own = await listening({}, (server) => {
          server.on("keylog", (line, socket) => {
            lines.push(line.toString());
            sockets.add(socket.remoteAddress);
          });
        });
        using client = new Client({ version });
        await client.visit(own.port);
        const pattern = version === "TLSv1.3" ? /^SERVER_HANDSHAKE_TRAFFIC_SECRET \w+ \w+\n/m : /^CLIENT_RANDOM/m;
        assertMatch(lines.join(""), pattern);
        assertEquals([...sockets], ["127.0.0.1"]);
      }),
    );
  });
}

for (const [version, option] of [["TLSv1.2", "-tls1_2"], ["TLSv1.3", "-tls1_3"]] as const) {
  describe(`${version}: openssl s_client and processes of createServer()`, () => {
    it("resume on Deno, Bun and Node what another of them has made", async () => {
      using folder = new TemporaryFolder();
      let file: string | undefined;
      for (const [index, name] of ["deno", "bun", "node24", "node26", "deno"].entries()) {
        await using program = Program.run(await runtimeNamed(name), "tests/facade_server.ts", [folder.path]);
        const port = Number((await program.writes(/port (\d+)/))[1]);
        const next = folder.file(`client${index}.pem`);
        const report = await sClient(port, [option, "-sess_out", next, ...(file ? ["-sess_in", file] : [])]);
        assertEquals([name, report.session, report.protocol], [name, file ? "Reused" : "New", version]);
        assertMatch(report.output, new RegExp(`reused ${file !== undefined}`));
        // A resumed handshake makes a new session with TLS 1.3 only.
        if (version === "TLSv1.3" || !file) file = next;
        program.child.stdin!.end();
        assertEquals(await program.end(), { code: 0, signal: null });
        assertEquals(program.stderr, "");
      }
    });
  });
}

describe("createServer()", () => {
  it(
    "serves node:http, by node:tls's names and those of this library",
    leavingNothingLater(async () => {
      for (const certificate of [{ key: Buffer.from(pem.key), cert: [Buffer.from(pem.cert)] }, credentials]) {
        const http = createHttpServer((_request, response) => response.end("over TLS"));
        const connections = httpConnections(http);
        await using own = await listening({ ...certificate }, () => {}, connections);
        const { output } = await sClient(own.port, []);
        assertMatch(output, /over TLS/);
      }
    }),
  );

  it(
    "agrees on a protocol, and knows what ciphers belong where",
    leavingNothingLater(async () => {
      const seen: unknown[] = [];
      await using own = await listening(
        { ALPNProtocols: ["h2", "http/1.1"], ciphers: "TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256" },
        () => {},
        (socket) => {
          seen.push([socket.alpnProtocol, socket.getCipher().standardName]);
          echo(socket);
        },
      );
      for (const version of versions) {
        using client = new Client({ version, alpnProtocols: ["http/1.1"] });
        await client.visit(own.port);
      }
      assertEquals(seen, [
        ["http/1.1", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"],
        ["http/1.1", "TLS_AES_128_GCM_SHA256"],
      ]);
    }),
  );

  it(
    "has other certificates for names that were added, also while it listens, and replaces its own",
    leavingNothingLater(async () => {
      const [one, other, renewed] = [selfSigned(["one.example"]), selfSigned(["sub.other.example"]), selfSigned()];
      const own = await listening({}, (server) => {
        server.addContext("one.example", { key: one.privateKey, cert: one.certificate });
      });
      await using _closing = own;
      const trusted = async (serverName: string, certificate: string) => {
        using client = new Client({ certificateAuthorities: certificate });
        const recording = new Recording();
        const socket = await client.connect(own.port, recording.handlers, { serverName });
        socket.end();
        await within(recording.closed, "the connection to close");
      };
      await trusted("one.example", one.certificate);
      await trusted("localhost", credentials.certificate);
      own.server.addContext("*.Other.example", { key: other.privateKey, cert: other.certificate });
      own.server.setSecureContext({ key: renewed.privateKey, cert: renewed.certificate });
      await trusted("sub.other.example", other.certificate);
      await trusted("one.example", one.certificate);
      await trusted("localhost", renewed.certificate);
      assertThrows(() => own.server.setSecureContext({ key: one.privateKey, cert: renewed.certificate }), Error);
      assertThrows(() => own.server.addContext("bad.example", { cert: "nonsense" }), Error);
      await trusted("localhost", renewed.certificate);
    }),
  );

  it(
    "wants certificates of clients as it is told",
    leavingNothingLater(async () => {
      const seen: unknown[] = [];
      const mine = selfSigned(["client"]);
      for (const rejectUnauthorized of [true, false]) {
        await using own = await listening(
          { requestCert: true, rejectUnauthorized, ca: [mine.certificate, Buffer.from(pem.cert)] },
          () => {},
          (socket) => {
            seen.push([socket.authorized, socket.authorizationError]);
            echo(socket);
          },
        );
        using known = new Client(mine);
        await known.visit(own.port);
        using unknown = new Client({ version: "TLSv1.2" });
        if (rejectUnauthorized) {
          const failure = await unknown.connect(own.port).catch((error: Error) => error);
          assert(failure instanceof Error);
          await until(() => own.errors.length === 1, "tlsClientError");
        } else await unknown.visit(own.port);
      }
      assertEquals(seen, [[true, null], [true, null], [false, "UNABLE_TO_GET_ISSUER_CERT"]]);
    }),
  );

  it(
    "closes when the connections have ended, and can listen again",
    leavingNothingLater(async () => {
      const { server, port } = await listening();
      using client = new Client();
      const recording = new Recording();
      const socket = await client.connect(port, recording.handlers);
      socket.write(Buffer.from("a"));
      await recording.bytes(1);
      const calls: string[] = [];
      server.on("close", () => calls.push("event"));
      assertStrictEquals(
        server.close((error) => calls.push(`callback ${error}`)),
        server,
      );
      const count = await new Promise((resolve) => server.getConnections((_error, count) => resolve(count)));
      assertEquals([server.listening, server.address(), count], [false, null, 1]);
      socket.write(Buffer.from("b"));
      await recording.bytes(2);
      assertEquals(calls, []);
      await TcpClient.connect(port).then(async (late) => await late[Symbol.asyncDispose](), () => {});
      socket.end();
      await within(once(server, "close"), "the server to close");
      assertEquals(calls, ["event", "callback undefined"]);
      const notRunning = await new Promise<Error | undefined>((resolve) => server.close(resolve));
      assertEquals((notRunning as { code?: string }).code, "ERR_SERVER_NOT_RUNNING");
      await new Promise<void>((resolve) => server.listen({ port: 0, host: "127.0.0.1" }, resolve));
      await client.visit(server.address()!.port);
      // While it is starting as well.
      await within(new Promise<unknown>((resolve) => server.close(resolve)), "the second close");
      server.listen();
      await within(new Promise<unknown>((resolve) => server.close(resolve)), "the third close");
      assertEquals(server.listening, false);
      assertStrictEquals(server.ref().unref(), server);
    }),
  );

  it(
    "says why it cannot listen, and what it cannot do",
    leavingNothingLater(async () => {
      await using own = await listening();
      const second = createServer(pem);
      second.listen(own.port, "127.0.0.1");
      const [error] = await within(once(second, "error"), "an error");
      assertEquals((error as { code?: string }).code, "EADDRINUSE");
      await within(new Promise<void>((resolve) => second.listen(0, "127.0.0.1", resolve)), "another port");
      await second[Symbol.asyncDispose]();
      assertThrows(() => own.server.listen(0), Error, "listens already");
      assertThrows(() => second.listen(70_000), RangeError, "0 to 65535");
      assertThrows(() => second.listen("/tmp/socket" as unknown as number), TypeError, "path");
      assertThrows(() => createServer({ cert: "nonsense", key: pem.key }), Error);
      assertThrows(() => createServer({ key: pem.key }), TypeError, "cert");
      assertThrows(
        () => createServer({ ...pem, pskCallback: () => {} } as NodeTlsServerOptions),
        TypeError,
        "pskCallback",
      );
    }),
  );

  it(
    "tells of clients that speak no TLS, and of listeners that throw or reject, and goes on",
    leavingNothingLater(async () => {
      let connections = 0;
      const sockets: unknown[] = [];
      await using own = await listening(
        {},
        (server) =>
          server.on("tlsClientError", (_error, socket) => {
            sockets.push(socket?.remoteAddress);
            throw new Error("ignored");
          }),
        (socket) => {
          connections++;
          if (connections === 1) throw new Error("the first");
          if (connections === 2) return Promise.reject(new Error("the second")) as unknown as void;
          echo(socket);
        },
      );
      await using tcp = await TcpClient.connect(own.port);
      await tcp.send("GET / HTTP/1.1\r\n\r\n");
      await until(() => own.errors.length === 1, "the first error");
      using client = new Client();
      for (const message of ["the first", "the second"]) {
        const recording = new Recording();
        await client.connect(own.port, recording.handlers);
        await within(recording.closed, "the connection to close");
        assertEquals(own.errors.at(-1)!.message, message);
      }
      await client.visit(own.port);
      assertEquals(new Set(sockets), new Set(["127.0.0.1"]));
    }),
  );
});

describe("createServer() refuses options that it would have to ignore", () => {
  for (const name of ["SNICallback", "pfx", "authorize", "sessions", "context"]) {
    it(name, () => {
      const options = { ...pem, [name]: {} } as NodeTlsServerOptions;
      assertThrows(() => createServer(options), TypeError, `Cannot use the option ${name} with createServer()`);
    });
  }
});
