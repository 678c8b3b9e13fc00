import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { connect as dial } from "node:net";
import { listen, MemoryStore, serve, type Server, SessionCache, SslConnection, SslContext } from "../mod.ts";
import { Random } from "./fuzz/random.ts";
import { until, within } from "./server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { credentials } from "./support.ts";

const resets = 500;

/** A client that goes with a reset when it has sent so many bytes, and does not wait for anything but those to come. */
async function goAfter(port: number, bytes: number, context: SslContext): Promise<void> {
  using tls = SslConnection.client(context, { serverName: "localhost" });
  const socket = dial(port, "127.0.0.1");
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  socket.on("error", () => {});
  let sent = 0;
  const buffer = new Uint8Array(20_000);
  const advance = () => {
    if (socket.destroyed) return;
    try {
      if (tls.handshake() === "done") tls.write(new TextEncoder().encode("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    } catch {
      // What came was cut off by the reset.
    }
    const length = Math.min(tls.pullCiphertext(buffer), bytes - sent);
    socket.write(buffer.slice(0, length), () => {
      if (sent >= bytes) socket.resetAndDestroy();
    });
    sent += length;
    // More than it ever sends: it goes when it has had an answer.
    if (tls.isEstablished && length === 0) socket.resetAndDestroy();
  };
  socket.on("connect", advance);
  socket.on("data", (part: Uint8Array) => {
    tls.pushCiphertext(new Uint8Array(part));
    advance();
  });
  await within(closed, "the client's end");
}

describe(`${resets} clients that reset at random bytes`, () => {
  const kinds: Record<string, () => Promise<Server>> = {
    "listen()": () => listen(options(), (stream) => void stream.pipe(stream)),
    "serve()": () => serve(options(), () => new Response("Hello")),
  };
  for (const [name, start] of Object.entries(kinds)) {
    it(
      `leave nothing behind at ${name}`,
      leavingNothingLater(async () => {
        const random = new Random(resets);
        await using server = await start();
        const versions = [{}, { maxVersion: "TLSv1.2" as const }];
        using first = SslContext.client({ verify: "none", ...versions[0] });
        using second = SslContext.client({ verify: "none", ...versions[1] });
        for (let left = resets; left > 0; left -= 10) {
          const clients = Array.from(
            { length: 10 },
            () => goAfter(server.port, random.between(1, 900), random.pick([first, second])),
          );
          await Promise.all(clients);
        }
        await until(() => server.connections === 0, "the end of all connections");
        assertEquals(server.stats().accepted, resets);
      }),
    );
  }
});

function options() {
  return {
    ...credentials,
    hostname: "127.0.0.1",
    sessions: new SessionCache({ store: new MemoryStore() }),
    onError() {},
  };
}
