import { assert, assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { setTimeout } from "node:timers/promises";
import type { TlsSocket } from "../mod.ts";
import { within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording, Server } from "./socket_support.ts";
import { bytes } from "./support.ts";

/** More than the system's buffers hold where nobody reads. */
const much = 14 << 20;

describe("A server that has ended its side", () => {
  it(
    "closes a client that says a little again and again, and listens to one that uploads slowly",
    leavingNothingLater(async () => {
      const closed = new Map<string, Error | undefined>();
      let uploaded = 0;
      await using server = await Server.start((socket) => {
        socket.end();
        let who = "";
        return {
          data(_socket, bytes) {
            who ||= bytes.length === 1 ? "trickling" : "uploading";
            if (who === "uploading") uploaded += bytes.length;
          },
          end() {},
          close: (_socket, error) => void closed.set(who, error),
        };
      });
      using client = new Client();
      const trickling = await client.connect(server.port, { end() {} });
      const uploading = await client.connect(server.port, { end() {} });
      const began = performance.now();
      while (performance.now() < began + 8_000 && !closed.has("trickling")) {
        trickling.write(bytes("x"));
        uploading.write(new Uint8Array(2_048));
        await setTimeout(250);
      }
      assertStringIncludes(String(closed.get("trickling")), "did not end the connection in 5000 ms");
      const took = performance.now() - began;
      // The other one has said enough to be given time twice.
      while (performance.now() < began + took + 1_500) {
        uploading.write(new Uint8Array(2_048));
        await setTimeout(250);
      }
      assertEquals([uploading.isClosed, server.listener.connections], [false, 1]);
      assertGreater(uploaded, 20 * 2_048);
      uploading.end();
      trickling.destroy();
      await server.empty();
      assertEquals(closed.get("uploading"), undefined);
      assertEquals(server.errors, []);
    }),
  );

  it(
    "closes a client that reads nothing of what is left when idleTimeout is over, though it goes on sending",
    leavingNothingLater(async () => {
      const closed = Promise.withResolvers<Error | undefined>();
      await using server = await Server.start(
        (socket) => {
          socket.end(new Uint8Array(much));
          return { data() {}, close: (_socket, error) => closed.resolve(error) };
        },
        {},
        { idleTimeout: 200 },
      );
      using client = new Client();
      let isClosed = false;
      closed.promise.then(() => isClosed = true);
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      socket.pause();
      const end = performance.now() + 5_000;
      while (!isClosed && performance.now() < end) {
        socket.write(bytes("x"));
        await setTimeout(10);
      }
      assert(isClosed, "The client holds the connection");
      assertEquals((await closed.promise)!.message, "The client was idle for 200 ms");
      assertEquals(server.listener.stats().idleTimeouts, 1);
      socket.destroy();
      await within(recording.closed, "the client's socket to close");
    }),
  );
});

describe("A server that always has more to say", () => {
  it(
    "waits for a client that reads slowly, for longer than idleTimeout",
    leavingNothingLater(async () => {
      const part = new Uint8Array(65_536);
      const pump = (socket: TlsSocket) => {
        while (socket.write(part));
      };
      await using server = await Server.start(() => ({ data: pump, drain: pump }), {}, { idleTimeout: 500 });
      using client = new Client();
      let allowed = 0;
      const recording = new Recording({
        data: (socket, bytes) => {
          allowed -= bytes.length;
          if (allowed <= 0) socket.pause();
        },
      });
      const socket = await client.connect(server.port, recording.handlers);
      socket.write(bytes("go"));
      for (let turn = 0; turn < 100; turn++) {
        allowed = 1 << 19;
        socket.resume();
        await setTimeout(20);
      }
      assertEquals([server.listener.stats().idleTimeouts, server.listener.connections], [0, 1]);
      socket.destroy();
      await server.empty();
    }),
  );
});
