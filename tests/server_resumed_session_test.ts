/** Which session a connection has resumed: what a server of FTP asks of a client's data connections. */

import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import {
  createServer,
  listen,
  MemoryStore,
  ReleasedError,
  SessionCache,
  type TlsDuplex,
  type TlsServerOptions,
  type TlsSocket,
} from "../mod.ts";
import { once } from "node:events";
import { listenSockets } from "../server/listen.ts";
import { within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording } from "./socket_support.ts";
import { credentials, hex, versions } from "./support.ts";

/** What a server sees of one connection. */
interface Seen {
  readonly own: string;
  readonly resumed: string | undefined;
}

function seenOf({ sessionId, resumedSessionId }: TlsSocket | TlsDuplex): Seen {
  return { own: hex(sessionId), resumed: resumedSessionId && hex(resumedSessionId) };
}

for (const version of versions) {
  describe(`${version}: resumedSessionId of a server's connections`, () => {
    const options = (): TlsServerOptions => ({
      ...credentials,
      hostname: "127.0.0.1",
      sessions: new SessionCache({ store: new MemoryStore(), singleUse: false }),
    });

    /** Connects, and again with what came; the server's end of each. */
    async function visited(
      port: number,
      seen: Seen[],
      client: Client,
      offered = client.sessions.at(-1),
    ): Promise<Seen> {
      const recording = new Recording();
      const count = seen.length;
      const socket = await client.connect(port, recording.handlers, offered ? { session: offered } : {});
      // The server's ticket comes before it.
      await recording.bytes(1);
      assertEquals(socket.isResumed, offered !== undefined);
      assertEquals(socket.resumedSessionId && hex(socket.resumedSessionId), offered && hex(offered.id));
      socket.end();
      await within(recording.closed, "the connection to close");
      assertThrows(() => socket.resumedSessionId, ReleasedError);
      assertEquals(seen.length, count + 1);
      return seen[count]!;
    }

    /** Tells the data connections of one client's control connection from everybody else's. */
    async function tellsApart(port: number, seen: Seen[]): Promise<void> {
      using mine = new Client({ version });
      using others = new Client({ version });
      const control = await visited(port, seen, mine);
      const session = mine.sessions.at(-1);
      const foreign = await visited(port, seen, others);
      assertEquals([control.resumed, foreign.resumed], [undefined, undefined]);
      assertNotEquals(control.own, foreign.own);
      // Several at once by one session, as GnuTLS does.
      const data = await Promise.all([1, 2].map(() => connected(port, mine, session)));
      for (const { resumed } of seen.splice(2)) assertEquals(resumed, control.own);
      for (const { socket, closed } of data) {
        socket.end();
        await closed;
      }
      assertEquals((await visited(port, seen, others)).resumed, foreign.own);
      using fresh = new Client({ version });
      assertEquals((await visited(port, seen, fresh)).resumed, undefined);
      // A data connection's own session is the next one's.
      const next = await visited(port, seen, mine, session);
      assertEquals((await visited(port, seen, mine)).resumed, next.own);
      assertEquals(next.own === control.own, version === "TLSv1.2");
    }

    async function connected(port: number, client: Client, session: Client["sessions"][number] | undefined) {
      const recording = new Recording();
      const socket = await client.connect(port, recording.handlers, session ? { session } : {});
      await recording.bytes(1);
      return { socket, closed: within(recording.closed, "the connection to close") };
    }

    it(
      "tells whose session it was, by events",
      leavingNothingLater(async () => {
        const seen: Seen[] = [];
        await using server = await listenSockets(options(), (socket) => {
          seen.push(seenOf(socket));
          socket.write(new Uint8Array(1));
          return {};
        });
        await tellsApart(server.port, seen);
      }),
    );

    it(
      "tells whose session it was as streams, also when they are closed, by copies",
      leavingNothingLater(async () => {
        const seen: Seen[] = [];
        const streams: TlsDuplex[] = [];
        await using server = await listen(options(), (stream) => {
          streams.push(stream);
          seen.push(seenOf(stream));
          stream.write(new Uint8Array(1));
          stream.resume();
        });
        await tellsApart(server.port, seen);
        const resumed = streams.at(-1)!;
        if (!resumed.destroyed) await within(once(resumed, "close"), "the stream to close");
        assertEquals(seenOf(resumed), seen.at(-1)!);
        resumed.resumedSessionId!.fill(0);
        resumed.sessionId.fill(0);
        assertEquals(seenOf(resumed), seen.at(-1)!);
        assertEquals(resumed.resumedSessionId!.length, 32);
      }),
    );

    it(
      "is there for createServer() too, whose newSession tells the same id",
      leavingNothingLater(async () => {
        const stored = new Map<string, Uint8Array>();
        const seen: Seen[] = [];
        const server = createServer({ key: credentials.privateKey, cert: credentials.certificate }, (stream) => {
          seen.push(seenOf(stream));
          stream.write(new Uint8Array(1));
          stream.resume();
        });
        await using _closing = server;
        server.on("newSession", (id, data, callback) => {
          stored.set(id.toString("hex"), data);
          callback();
        });
        server.on("resumeSession", (id, callback) => callback(null, stored.get(id.toString("hex")) ?? null));
        server.listen(0, "127.0.0.1");
        await within(once(server, "listening"), "the server to listen");
        using client = new Client({ version });
        const { port } = server.address()!;
        const first = await visited(port, seen, client);
        assert(first.own.length === 64);
        assertEquals((await visited(port, seen, client)).resumed, first.own);
      }),
    );
  });
}
