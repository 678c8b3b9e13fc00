import { assert, assertEquals, assertInstanceOf, assertLess, assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { createServer, type Server as TcpServer, type Socket } from "node:net";
import { connect, OpenSslError, selfSigned, type TlsSocket } from "../mod.ts";
import { within } from "./server_support.ts";
import { Client, echo, leavingNothingLater, Recording, Server } from "./socket_support.ts";
import { bytes, credentials, versions } from "./support.ts";

/** A TCP server that does not speak TLS. */
class TcpListener {
  readonly #server: TcpServer;
  readonly #sockets = new Set<Socket>();

  private constructor(server: TcpServer, onSocket: (socket: Socket) => void) {
    this.#server = server;
    server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {}).on("close", () => this.#sockets.delete(socket));
      onSocket(socket);
    });
  }

  static async start(onSocket: (socket: Socket) => void): Promise<TcpListener> {
    const server = createServer();
    const listener = new TcpListener(server, onSocket);
    await within(new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)), "a TCP server");
    return listener;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await within(closed, "the TCP server to close");
  }
}

describe("connect()", () => {
  it(
    "rejects where nobody listens",
    leavingNothingLater(async () => {
      const gone = await TcpListener.start(() => {});
      const { port } = gone;
      await gone[Symbol.asyncDispose]();
      using client = new Client();
      const error = await assertRejects(
        () => client.connect(port),
        Error,
        `Cannot connect to 127.0.0.1:${port}: `,
      );
      assertMatch(error.message, /refused|Failed to connect/i);
      assertInstanceOf(error.cause, Error);
    }),
  );

  it(
    "rejects where there is no such name",
    leavingNothingLater(async () => {
      using client = new Client();
      await assertRejects(
        () => client.connect(443, {}, { hostname: "no-such-host.invalid" }),
        Error,
        "Cannot connect to no-such-host.invalid:443: ",
      );
    }),
  );

  for (const version of versions) {
    it(
      `rejects a certificate that is not trusted, with ${version}`,
      leavingNothingLater(async () => {
        await using server = await Server.start(echo);
        using client = new Client({ version, certificateAuthorities: selfSigned().certificate });
        const error = await assertRejects(() => client.connect(server.port), OpenSslError);
        assert(error.errors.some(({ reason }) => reason === "certificate verify failed"), error.message);
        await server.empty();
        assertEquals(server.errors.length, 1);
        assertMatch(server.errors[0]!.message, /unknown ca|certificate unknown|bad certificate/);
      }),
    );

    it(
      `rejects a certificate of another name, with ${version}`,
      leavingNothingLater(async () => {
        await using server = await Server.start(echo);
        using client = new Client({ version });
        for (const serverName of ["example.com", "192.0.2.1"]) {
          const error = await assertRejects(() => client.connect(server.port, {}, { serverName }), OpenSslError);
          assert(error.errors.some(({ reason }) => reason === "certificate verify failed"), error.message);
        }
        await server.empty();
      }),
    );

    it(
      `finds an address in the certificate, with ${version}`,
      leavingNothingLater(async () => {
        await using server = await Server.start(echo);
        using client = new Client({ version });
        const recording = new Recording();
        const socket = await client.connect(server.port, recording.handlers, { serverName: "127.0.0.1" });
        assertEquals(socket.verifyResult, { code: 0, name: "OK", reason: "ok" });
        socket.end();
        await within(recording.closed, "the connection to close");
      }),
    );

    it(
      `rejects when the server has no protocol in common, with ${version}`,
      leavingNothingLater(async () => {
        const other = version === "TLSv1.2" ? "TLSv1.3" : "TLSv1.2";
        await using server = await Server.start(echo, { minVersion: other, maxVersion: other });
        using client = new Client({ version });
        const error = await assertRejects(() => client.connect(server.port), OpenSslError);
        assertMatch(error.message, /^The TLS handshake failed: .*(protocol|version)/);
        await server.empty();
      }),
    );

    it(
      `rejects when the server requires a certificate that it does not trust, or the socket says so, with ${version}`,
      leavingNothingLater(async () => {
        await using server = await Server.start(echo, {
          verify: "require",
          certificateAuthorities: selfSigned(["authority"]).certificate,
        });
        using client = new Client({ version, ...selfSigned(["client"]) });
        const failed = server.failure();
        const recording = new Recording();
        // With TLS 1.3 the client is done before the server has seen its certificate.
        const error = await client.connect(server.port, recording.handlers).then(
          () => within(recording.closed, "the connection to close"),
          (error) => error,
        );
        assertInstanceOf(error, OpenSslError);
        assertMatch(error.message, /alert/);
        assertMatch((await failed).message, /certificate verify failed/);
        await server.empty();
      }),
    );
  }

  it(
    "rejects when the server says nothing for handshakeTimeout",
    leavingNothingLater(async () => {
      await using silent = await TcpListener.start(() => {});
      using client = new Client();
      const began = performance.now();
      const error = await assertRejects(
        () => client.connect(silent.port, {}, { handshakeTimeout: 50 }),
        Error,
        `127.0.0.1:${silent.port}`,
      );
      assertMatch(error.message, /50 ms/);
      assertLess(performance.now() - began, 5000);
    }),
  );

  it(
    "rejects when the server hangs up",
    leavingNothingLater(async () => {
      await using rude = await TcpListener.start((socket) => socket.destroy());
      using client = new Client();
      const error = await assertRejects(() => client.connect(rude.port), Error);
      assertMatch(error.message, /closed the connection during the TLS handshake|reset/i);
    }),
  );

  it(
    "rejects when the server does not speak TLS",
    leavingNothingLater(async () => {
      await using other = await TcpListener.start((socket) => socket.write("220 smtp.example.com ESMTP\r\n"));
      using client = new Client();
      const error = await assertRejects(() => client.connect(other.port), OpenSslError);
      assertMatch(error.message, /^The TLS handshake failed: .*(wrong version number|record|packet)/);
    }),
  );

  it(
    "tells onError as well",
    leavingNothingLater(async () => {
      await using rude = await TcpListener.start((socket) => socket.destroy());
      using client = new Client();
      const errors: Error[] = [];
      const error = await assertRejects(() =>
        client.connect(rude.port, {}, { onError: (error) => void errors.push(error) })
      );
      assertEquals(errors, [error as Error]);
    }),
  );

  it(
    "has its handlers' errors told to onError, and the socket destroyed",
    leavingNothingLater(async () => {
      await using server = await Server.start(echo);
      using client = new Client();
      const oops = new Error("a handler's own fault");
      const errors: Error[] = [];
      const closed = Promise.withResolvers<Error | undefined>();
      const socket = await client.connect(server.port, {
        data: () => {
          throw oops;
        },
        close: (_socket, error) => closed.resolve(error),
      }, { onError: (error) => void errors.push(error) });
      socket.write(bytes("hello"));
      assertEquals(await within(closed.promise, "the connection to close"), oops);
      assertEquals(errors, [oops]);
    }),
  );

  it(
    "leaves the context to its owner, who may dispose it while the connection lives",
    leavingNothingLater(async () => {
      await using server = await Server.start(echo);
      using client = new Client();
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      client.context.dispose();
      socket.write(bytes("hello"));
      await recording.bytes(5);
      socket.end();
      assertEquals(await within(recording.closed, "the connection to close"), undefined);
      await assertRejects(
        // deno-lint-ignore require-await -- it throws or rejects, and either will do
        async () => connect({ context: client.context, hostname: "127.0.0.1", port: server.port }),
        Error,
        "Cannot use this context",
      );
    }),
  );
});

for (const version of versions) {
  describe(`${version}: what a socket knows`, () => {
    it(
      "is the same on both sides",
      leavingNothingLater(async () => {
        let accepted: TlsSocket | undefined;
        await using server = await Server.start((socket) => {
          accepted = socket;
          return echo(socket);
        }, { alpnProtocols: ["h2", "http/1.1"] });
        using client = new Client({ version, alpnProtocols: ["http/1.1", "h2"] });
        const recording = new Recording();
        const socket = await client.connect(server.port, recording.handlers);
        socket.write(bytes("hello"));
        await recording.bytes(5);
        for (const side of [socket, accepted!]) {
          assertEquals(side.protocol, version);
          assertEquals(side.cipher, socket.cipher);
          assertMatch(side.cipher, /AES|CHACHA20/);
          assertEquals(side.alpnProtocol, "h2");
          assertEquals(side.serverName, "localhost");
          assertEquals(side.isResumed, false);
        }
        assertEquals(socket.peerCertificate!.toString(), credentials.certificate);
        assertEquals(socket.verifyResult, { code: 0, name: "OK", reason: "ok" });
        assertEquals(accepted!.peerCertificate, undefined);
        socket.end();
        await within(recording.closed, "the connection to close");
      }),
    );

    it(
      "has no ALPN where none was asked for, and no name where it was an address",
      leavingNothingLater(async () => {
        let accepted: TlsSocket | undefined;
        await using server = await Server.start((socket) => {
          accepted = socket;
          return echo(socket);
        });
        using client = new Client({ version });
        const recording = new Recording();
        const socket = await client.connect(server.port, recording.handlers, { serverName: "127.0.0.1" });
        socket.write(bytes("hello"));
        await recording.bytes(5);
        assertEquals([socket.alpnProtocol, accepted!.alpnProtocol, accepted!.serverName], [
          undefined,
          undefined,
          undefined,
        ]);
        socket.end();
        await within(recording.closed, "the connection to close");
      }),
    );

    it(
      "has its session, which resumes",
      leavingNothingLater(async () => {
        await using server = await Server.start(echo);
        using client = new Client({ version });
        const recording = new Recording();
        const socket = await client.connect(server.port, recording.handlers);
        socket.write(bytes("hello"));
        await recording.bytes(5);
        using session = socket.session()!;
        assertEquals([session.protocol, session.isResumable], [version, true]);
        socket.end();
        await within(recording.closed, "the connection to close");
        assertEquals(await client.visit(server.port, session), { resumed: true, protocol: version });
      }),
    );
  });
}
