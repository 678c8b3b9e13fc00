/** What users, their callbacks and hostile peers do at the wrong time. */

import { assert, assertEquals, assertInstanceOf, assertLess, assertRejects, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import process from "node:process";
import { connect, SessionCacheMode, SslContext, SslOption, type TlsSocket, type TlsSocketHandlers } from "../mod.ts";
import { until, within } from "./server_support.ts";
import { Client, echo, leavingNothingLater, Recording, Server, TcpClient } from "./socket_support.ts";
import { bytes, Contexts, credentials } from "./support.ts";

const oops = new Error("a handler's own fault");

/** Time for what must not happen. */
const moment = () => new Promise((resolve) => setTimeout(resolve, 50));

describe("write(), where nobody called end()", () => {
  it(
    "answers false after the other side's end was answered",
    leavingNothingLater(async () => {
      const ended = Promise.withResolvers<boolean>();
      await using server = await Server.start((socket) => ({
        data: () => {
          // The default handling of the end is over before the timer runs; the client still sends.
          const wait = () => {
            if (socket.isClosed) return ended.resolve(false);
            try {
              if (!socket.write(bytes("x"))) return ended.resolve(socket.isClosed);
            } catch (error) {
              return ended.reject(error);
            }
            setImmediate(wait);
          };
          wait();
        },
      }));
      using client = new Client();
      await using tcp = await TcpClient.connect(server.port, client.context);
      await tcp.shakeHands();
      await tcp.write("hello");
      tcp.connection!.shutdown();
      await tcp.send(tcp.rest());
      assertEquals(await within(ended.promise, "a write that fails"), false);
    }),
  );

  it(
    "answers false after a protocol error",
    leavingNothingLater(async () => {
      let serverSocket: TlsSocket | undefined;
      await using server = await Server.start((socket) => {
        serverSocket = socket;
        return {};
      });
      using client = new Client();
      await using tcp = await TcpClient.connect(server.port, client.context);
      await tcp.shakeHands();
      const failed = server.failure();
      await tcp.send(new Uint8Array([23, 3, 3, 0, 20, ...new Uint8Array(20)]));
      await failed;
      assertEquals(serverSocket!.isClosed, false);
      assertEquals(serverSocket!.write(bytes("x")), false);
    }),
  );

  it(
    "answers false after the listener was closed",
    leavingNothingLater(async () => {
      const sockets: TlsSocket[] = [];
      await using server = await Server.start((socket) => {
        sockets.push(socket);
        return {};
      });
      using client = new Client();
      const recording = new Recording();
      await client.connect(server.port, recording.handlers);
      await until(() => sockets.length === 1, "the server's socket");
      const closed = server.listener.close();
      assertEquals(sockets.map((socket) => [socket.isClosed, socket.write(bytes("x"))]), [[false, false]]);
      await within(closed, "the server to close");
      await within(recording.closed, "the connection to close");
    }),
  );

  it(
    "answers false before the handshake is done",
    leavingNothingLater(async () => {
      const answers: boolean[] = [];
      await using server = await Server.start(echo, {
        keylog: () => {
          throw oops;
        },
      }, { onError: (_error, { socket }) => void answers.push(socket!.write(bytes("early"))) });
      using client = new Client({ version: "TLSv1.3" });
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      socket.end();
      await within(recording.closed, "the connection to close");
      assert(answers.length > 0);
      assertEquals([answers[0], recording.length], [false, 0]);
    }),
  );
});

describe("session callbacks that use other sockets", () => {
  it(
    "never mix up what was read: a socket that is resumed reads its own",
    leavingNothingLater(async () => {
      await using other = await Server.start((socket) => {
        socket.write(bytes("first"));
        socket.write(bytes("for the other client"));
        return {};
      });
      await using server = await Server.start((socket) => {
        socket.write(bytes("for this client"));
        return {};
      });
      using otherClient = new Client({ version: "TLSv1.3" });
      const otherHeard = new Recording({ data: (socket) => otherHeard.parts.length === 1 && socket.pause() });
      const otherSocket = await otherClient.connect(other.port, otherHeard.handlers);
      await otherHeard.bytes(5);
      await moment();
      // Both records came in one piece, as a rule: the second one waits to be read.
      using contexts = new Contexts("TLSv1.2");
      const link = contexts.link();
      link.connect();
      contexts.server.setRemoveSessionCallback(() => otherSocket.resume());
      using client = new Client({ version: "TLSv1.3" });
      client.context.setNewSessionCallback(() => {
        // Disposed without a goodbye, its session is removed once this call has unwound.
        link.server.dispose();
        return false;
      });
      const heard = new Recording();
      const socket = await client.connect(server.port, heard.handlers);
      await heard.bytes(15);
      await otherHeard.bytes(25);
      assertEquals([heard.text, otherHeard.text], ["for this client", "firstfor the other client"]);
      link.dispose();
      socket.end();
      otherSocket.end();
      await within(Promise.all([heard.closed, otherHeard.closed]), "the connections to close");
    }),
  );

  it(
    "may resume a socket of the same context, which goes on once the callback is over",
    leavingNothingLater(async () => {
      let serverSocket: TlsSocket | undefined;
      const heard = new Recording();
      await using server = await Server.start((socket) => {
        serverSocket = socket;
        socket.pause();
        return heard.handlers;
      }, { options: SslOption.NoTicket, maxVersion: "TLSv1.2" });
      server.cache.detach(server.context);
      server.context.sessionCacheMode = SessionCacheMode.Server;
      using client = new Client({ version: "TLSv1.2" });
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      socket.write(bytes("hello"));
      await moment();
      let removed = 0;
      server.context.setRemoveSessionCallback(() => {
        removed++;
        serverSocket!.resume();
        assertEquals(heard.length, 0);
      });
      server.context.flushSessions("all");
      assertEquals(removed, 1);
      await heard.bytes(5);
      assertEquals(server.errors, []);
      socket.end();
      await within(recording.closed, "the connection to close");
    }),
  );

  it(
    "may end a socket of the same context, and close the listener",
    leavingNothingLater(async () => {
      await using server = await Server.start(() => ({}), { options: SslOption.NoTicket, maxVersion: "TLSv1.2" });
      server.cache.detach(server.context);
      server.context.sessionCacheMode = SessionCacheMode.Server;
      using client = new Client({ version: "TLSv1.2" });
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      socket.write(bytes("hello"));
      await until(() => server.context.counters().number === 1, "the session");
      let closed: Promise<void> | undefined;
      server.context.setRemoveSessionCallback(() => void (closed ??= server.listener.close()));
      server.context.flushSessions("all");
      assert(closed);
      await within(closed, "the server to close");
      assertEquals(await within(recording.closed, "the connection to close"), undefined);
      assertEquals(server.errors, []);
    }),
  );
});

describe("after the other side's goodbye", () => {
  it(
    "what it sends is not kept",
    leavingNothingLater(async () => {
      const ended = Promise.withResolvers<TlsSocket>();
      await using server = await Server.start(() => ({ end: (socket) => ended.resolve(socket) }));
      using client = new Client();
      await using tcp = await TcpClient.connect(server.port, client.context);
      await tcp.shakeHands();
      tcp.connection!.shutdown();
      await tcp.send(tcp.rest());
      const socket = await within(ended.promise, "the end");
      const before = process.memoryUsage().rss;
      const junk = new Uint8Array(4 << 20);
      for (let sent = 0; sent < 64; sent++) await tcp.send(junk);
      assertLess(process.memoryUsage().rss - before, 160 << 20);
      socket.destroy();
      await server.empty();
    }),
  );

  it(
    "a side that has ended waits as long as the other one reads or sends",
    leavingNothingLater(async () => {
      const all = 24 << 20;
      const serverClosed = Promise.withResolvers<Error | undefined>();
      await using server = await Server.start((socket) => {
        socket.end(new Uint8Array(all));
        return { close: (_socket, error) => serverClosed.resolve(error) };
      });
      using client = new Client();
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      socket.pause();
      await new Promise((resolve) => setTimeout(resolve, 6000));
      socket.resume();
      assertEquals(await within(recording.closed, "the connection to close"), undefined);
      assertEquals(recording.length, all);
      assertEquals(await within(serverClosed.promise, "the server's side to close"), undefined);
    }),
  );

  it(
    "a side that hears nothing for five seconds after its end closes, with an error",
    leavingNothingLater(async () => {
      await using server = await Server.start((socket) => {
        // Something comes for three seconds, then nothing.
        let count = 0;
        const timer = setInterval(() => {
          if (++count === 3) clearInterval(timer);
          socket.write(bytes("x"));
        }, 1000);
        return { end: () => {}, close: () => clearInterval(timer) };
      });
      using client = new Client();
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      const began = performance.now();
      socket.end();
      const error = await within(recording.closed, "the connection to close");
      assertStringIncludes(error!.message, "The other side did not end the connection");
      assert(performance.now() - began > 7000, "the time begins anew with what comes");
      assertEquals(recording.length, 3);
    }),
  );
});

describe("a socket that is destroyed by its handler", () => {
  it(
    "is closed at once, and tells of it later",
    leavingNothingLater(async () => {
      const order: string[] = [];
      const closed = Promise.withResolvers<void>();
      await using server = await Server.start(() => ({
        data: (socket) => {
          order.push("data");
          socket.destroy();
          order.push(`closed: ${socket.isClosed}`);
        },
        end: () => void order.push("end"),
        close: () => {
          order.push("close");
          closed.resolve();
        },
      }));
      using client = new Client();
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      for (let part = 0; part < 5; part++) socket.write(bytes("hello"));
      socket.end();
      await within(closed.promise, "the close handler");
      await within(recording.closed, "the connection to close");
      assertEquals(order, ["data", "closed: true", "close"]);
    }),
  );

  it(
    "has its close handler called also where onConnection destroyed it",
    leavingNothingLater(async () => {
      const closed = Promise.withResolvers<Error | undefined>();
      await using server = await Server.start((socket) => {
        socket.destroy(oops);
        return { close: (_socket, error) => closed.resolve(error) };
      });
      using client = new Client();
      const recording = new Recording();
      await client.connect(server.port, recording.handlers);
      assertEquals(await within(closed.promise, "the close handler"), oops);
      await within(recording.closed, "the connection to close");
    }),
  );
});

describe("handlers that are not what they should be", () => {
  for (const answer of [undefined, null, 1, Promise.reject(oops)]) {
    if (answer instanceof Promise) answer.catch(() => {});
    it(
      `onConnection answers ${answer}: the operator is told, and the socket destroyed`,
      leavingNothingLater(async () => {
        await using server = await Server.start(() => answer as unknown as TlsSocketHandlers);
        const failed = server.failure();
        using client = new Client();
        const recording = new Recording();
        const socket = await client.connect(server.port, recording.handlers);
        socket.write(bytes("hello"));
        assertInstanceOf(await failed, TypeError);
        assertStringIncludes((await failed).message, "its handler must answer an object");
        await within(recording.closed, "the connection to close");
      }),
    );
  }

  it(
    "an async handler that rejects is one that throws",
    leavingNothingLater(async () => {
      const closed = Promise.withResolvers<Error | undefined>();
      const rejecting = () => Promise.reject(oops) as unknown as void;
      await using server = await Server.start(() => ({
        data: rejecting,
        close: (_socket, error) => {
          closed.resolve(error);
          return rejecting();
        },
      }));
      using client = new Client();
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      socket.write(bytes("hello"));
      assertEquals(await within(closed.promise, "the close handler"), oops);
      await within(recording.closed, "the connection to close");
      await until(() => server.errors.length === 2, "both errors");
      assertEquals(server.errors, [oops, oops]);
    }),
  );
});

describe("connect()", () => {
  it(
    "closes the connection where a callback's error rejects it",
    leavingNothingLater(async () => {
      await using server = await Server.start(echo);
      const told: Error[] = [];
      using client = new Client({
        keylog: () => {
          throw oops;
        },
      });
      const failed = await client.connect(server.port, {}, { onError: (error) => void told.push(error) }).then(
        () => undefined,
        (error) => error,
      );
      // One error where libssl called once, several in one where it called for several keys.
      assert(failed === oops || (failed instanceof AggregateError && failed.errors[0] === oops));
      assertEquals(told.length, 1);
      await server.empty();
    }),
  );

  it("rejects a context that was disposed, ports, times and names that are none", async () => {
    const disposed = SslContext.client();
    disposed.dispose();
    const where = { hostname: "127.0.0.1", port: 1 };
    // Called here, so that a throw is not taken for a rejection.
    const rejects = async (answer: Promise<unknown>, text: string) => {
      await assertRejects(() => answer, Error, text);
    };
    await rejects(connect({ context: disposed, ...where }), "Cannot use this context");
    using context = SslContext.client({ certificateAuthorities: credentials.certificate });
    for (const port of [-1, 0, 65536, NaN]) {
      await rejects(
        connect({ context, ...where, port }),
        `Cannot use the option port with connect(): it takes whole numbers from 1 to 65535, not ${port}`,
      );
    }
    for (const handshakeTimeout of [0, -1, NaN, 2 ** 31]) {
      await rejects(connect({ context, ...where, handshakeTimeout }), `not ${handshakeTimeout}`);
    }
    await rejects(connect({ context, ...where, serverName: "" }), "Cannot connect without a server name");
  });
});
