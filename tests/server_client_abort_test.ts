import { assertEquals, assertInstanceOf, assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { connect as connectTcp, createServer, type Server as TcpServer, type Socket } from "node:net";
import { ClientSessions, connect, type ConnectOptions, OpenSslError } from "../mod.ts";
import { visit } from "./client_support.ts";
import { Program, runtimeNamed, until, within } from "./server_support.ts";
import { echo, leavingNothingLater, Recording, Server } from "./socket_support.ts";
import { bytes, credentials } from "./support.ts";

/** A TCP server that says nothing, and tells of its clients. */
class Silent {
  readonly sockets: Socket[] = [];
  readonly #server: TcpServer = createServer((socket) => {
    socket.on("error", () => {});
    this.sockets.push(socket);
  });

  static async start(port = 0): Promise<Silent> {
    const silent = new Silent();
    await within(new Promise<void>((resolve) => silent.#server.listen(port, "127.0.0.1", resolve)), "a TCP server");
    return silent;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  /** Waits until a client has come and said something. */
  async greeted(): Promise<Socket> {
    await until(() => this.sockets.length > 0, "a client");
    const socket = this.sockets.at(-1)!;
    await within(new Promise<void>((resolve) => socket.once("data", () => resolve())), "a ClientHello");
    return socket;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.sockets) socket.destroy();
    await within(closed, "the TCP server to close");
  }
}

/** A server that accepts nothing, its queue full: who connects to it waits. */
class Full {
  readonly port: number;
  readonly #program: Program;
  readonly #sockets: Socket[] = [];

  private constructor(program: Program, port: number) {
    this.#program = program;
    this.port = port;
  }

  static async start(): Promise<Full> {
    const { command } = await runtimeNamed("node24");
    const program = new Program(command, [
      "-e",
      `const server = require("node:net").createServer();
      server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
        require("node:fs").writeSync(1, "port " + server.address().port + "\\n");
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
      });`,
    ]);
    const [, port] = await program.writes(/port (\d+)/);
    const full = new Full(program, Number(port));
    while (await full.#takesAnother());
    return full;
  }

  /** Whether another connection fits into its queue. Nothing tells that one does not. */
  #takesAnother(): Promise<boolean> {
    const socket = connectTcp(this.port, "127.0.0.1");
    this.#sockets.push(socket.on("error", () => {}));
    return Promise.race([
      new Promise<boolean>((resolve) => socket.once("connect", () => resolve(true))),
      new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 200)),
    ]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await this.#program[Symbol.asyncDispose]();
  }
}

function target(port: number, options: Partial<ConnectOptions>): ConnectOptions {
  const certificateAuthorities = credentials.certificate;
  return { hostname: "127.0.0.1", serverName: "localhost", port, certificateAuthorities, ...options };
}

/** An attempt to connect that can be given up: what comes of it, and what is said meanwhile. */
function attemptTo(port: number, options: Partial<ConnectOptions>) {
  const controller = new AbortController();
  const reason = new Error("changed my mind");
  const errors: Error[] = [];
  const onError = (error: Error) => void errors.push(error);
  const connecting = connect(target(port, { ...options, signal: controller.signal, onError }));
  const outcome: Promise<unknown> = connecting.catch((error) => error);
  return { outcome, errors, reason, abort: () => controller.abort(reason) };
}

/** A port on which nobody listens any more, and from whose server there are sessions. */
async function portLeft(options: Partial<ConnectOptions>): Promise<number> {
  await using server = await Server.start(echo);
  const { port } = server;
  await visit(port, options);
  return port;
}

describe("connect() and its signal", () => {
  it(
    "rejects with the reason where it is aborted already, and does nothing else",
    leavingNothingLater(async () => {
      using sessions = new ClientSessions();
      await using silent = await Silent.start();
      const reason = { not: "even an Error" };
      const attempt = connect(target(silent.port, { sessions, signal: AbortSignal.abort(reason) }));
      assertEquals(await attempt.catch((error) => error), reason);
      const error = await assertRejects(() => connect(target(silent.port, { signal: AbortSignal.abort() })));
      assertEquals((error as Error).name, "AbortError");
      assertEquals(silent.sockets.length, 0);
    }),
  );

  it(
    "rejects with the reason at once while the socket connects, and leaves nothing behind",
    leavingNothingLater(async () => {
      using sessions = new ClientSessions();
      await using silent = await Silent.start();
      const attempt = attemptTo(silent.port, { sessions });
      attempt.abort();
      assertEquals(await attempt.outcome, attempt.reason);
      // The socket may have come to be all the same: it goes again.
      for (const socket of silent.sockets) {
        if (!socket.closed) await within(new Promise((resolve) => socket.once("close", resolve)), "its end");
      }
      assertEquals(attempt.errors, []);
    }),
  );

  it(
    "rejects with the reason during the handshake, and closes the socket",
    leavingNothingLater(async () => {
      using sessions = new ClientSessions();
      await using silent = await Silent.start();
      const attempt = attemptTo(silent.port, { sessions });
      const socket = await silent.greeted();
      const ended = new Promise((resolve) => socket.once("close", resolve).once("end", resolve));
      attempt.abort();
      assertEquals(await within(attempt.outcome, "the rejection"), attempt.reason);
      await within(ended, "the socket to close");
      assertEquals(attempt.errors, []);
    }),
  );

  it(
    "rejects with the reason where a callback of the handshake aborts it",
    leavingNothingLater(async () => {
      using sessions = new ClientSessions();
      await using server = await Server.start(echo);
      const attempt = attemptTo(server.port, { sessions, keylog: () => attempt.abort() });
      assertEquals(await within(attempt.outcome, "the rejection"), attempt.reason);
      await server.empty();
      assertEquals(sessions.size, 0);
    }),
  );

  it(
    "means nothing to a connection that is there",
    leavingNothingLater(async () => {
      using sessions = new ClientSessions();
      await using server = await Server.start(echo);
      const controller = new AbortController();
      const recording = new Recording();
      const options = target(server.port, { sessions, signal: controller.signal });
      const socket = await within(connect(options, recording.handlers), "a connection");
      controller.abort();
      socket.write(bytes("hello"));
      await recording.bytes(5);
      socket.end();
      assertEquals(await within(recording.closed, "the connection to close"), undefined);
    }),
  );

  it(
    "leaves TLS 1.2 sessions where they are, as whoever aborts says nothing against them",
    leavingNothingLater(async () => {
      using sessions = new ClientSessions();
      const only = { minVersion: "TLSv1.2", maxVersion: "TLSv1.2", sessions } as const;
      const port = await portLeft(only);
      await using silent = await Silent.start(port);
      const attempt = attemptTo(port, only);
      await silent.greeted();
      attempt.abort();
      assertEquals(await within(attempt.outcome, "the rejection"), attempt.reason);
      assertEquals(sessions.size, 1);
    }),
  );
});

describe("connect() and its time", () => {
  it(
    "says whether the handshake was not done, and forgets the sessions it tried",
    leavingNothingLater(async () => {
      using sessions = new ClientSessions();
      const port = await portLeft({ sessions });
      await using _silent = await Silent.start(port);
      const error = await assertRejects(() => connect(target(port, { sessions, handshakeTimeout: 60 })), Error);
      assertEquals(error.message, `Cannot connect to 127.0.0.1:${port}: no handshake within 60 ms`);
      assertEquals(sessions.size, 0);
    }),
  );

  it(
    "says whether the connection was not made",
    leavingNothingLater(async () => {
      using sessions = new ClientSessions();
      await using full = await Full.start();
      const attempt = () => connect(target(full.port, { sessions, handshakeTimeout: 60 }));
      const error = await assertRejects(attempt, Error);
      assertEquals(error.message, `Cannot connect to 127.0.0.1:${full.port}: no connection within 60 ms`);
      const other = attemptTo(full.port, { sessions });
      await new Promise((resolve) => setTimeout(resolve, 20));
      other.abort();
      assertEquals(await within(other.outcome, "the rejection"), other.reason);
    }),
  );
});

describe("connect() and servers that cannot be reached", () => {
  it(
    "says why, in the same words on each runtime",
    leavingNothingLater(async () => {
      using sessions = new ClientSessions();
      const gone = await Silent.start();
      const { port } = gone;
      await gone[Symbol.asyncDispose]();
      for (const hostname of ["127.0.0.1", "localhost"]) {
        const error = await assertRejects(() => connect({ ...target(port, { sessions }), hostname }), Error);
        assertEquals(
          error.message,
          `Cannot connect to ${hostname}:${port}: the connection was refused, as if nothing listens there`,
        );
        assertInstanceOf(error.cause, Error);
      }
      assertEquals(
        (await assertRejects(() => connect({ ...target(443, { sessions }), hostname: "no-such-host.invalid" }), Error))
          .message,
        "Cannot connect to no-such-host.invalid:443: there is no address of this name, or no way to ask for it",
      );
      assertMatch(
        (await assertRejects(() => connect({ ...target(port, { sessions }), hostname: "::1" }), Error)).message,
        /^Cannot connect to \[::1\]:\d+: /,
      );
    }),
  );

  it(
    "says with whom a handshake failed",
    leavingNothingLater(async () => {
      using sessions = new ClientSessions();
      await using server = await Server.start(echo, { minVersion: "TLSv1.3" });
      const options = target(server.port, { sessions, maxVersion: "TLSv1.2" });
      const error = await assertRejects(() => connect(options), OpenSslError);
      assertMatch(error.message, /^The TLS handshake failed: .*, connecting to 127\.0\.0\.1:\d+$/);
      await using silent = await Silent.start();
      const attempt = connect(target(silent.port, { sessions })).catch((error) => error);
      (await silent.greeted()).end();
      assertEquals(
        (await within(attempt as Promise<Error>, "the rejection")).message,
        `Cannot connect to 127.0.0.1:${silent.port}: the other side closed the connection during the TLS handshake`,
      );
    }),
  );

  it("refuses what is no port, no time, no name and no handlers", async () => {
    const wrong: [Partial<ConnectOptions>, string][] = [
      [{ port: 0 }, "it takes whole numbers from 1 to 65535, not 0"],
      [{ port: 1.5 }, "not 1.5"],
      [{ handshakeTimeout: 0 }, "not 0"],
      [{ serverName: "" }, "Cannot connect without a server name"],
      [{ hostname: undefined as unknown as string, serverName: "localhost" }, "Cannot connect without a hostname"],
    ];
    for (const [options, part] of wrong) await assertRejects(() => connect(target(1, options)), Error, part);
    await assertRejects(() => connect(target(1, {}), (() => {}) as never), TypeError, "Cannot connect with these");
  });

  it(
    "reaches a server by its name, and by an address of either kind",
    leavingNothingLater(async () => {
      using sessions = new ClientSessions();
      for (const [listening, names] of [["127.0.0.1", ["127.0.0.1", "localhost"]], ["::1", ["::1"]]] as const) {
        await using server = await Server.start(echo, {}, { hostname: listening });
        for (const hostname of names) {
          assertEquals((await visit(server.port, { sessions, hostname, serverName: hostname })).resumed, false);
          assertEquals((await visit(server.port, { sessions, hostname, serverName: hostname })).resumed, true);
        }
      }
    }),
  );
});
