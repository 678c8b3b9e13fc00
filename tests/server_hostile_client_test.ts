import { assert, assertEquals, assertLess, assertMatch, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { OpenSslError, selfSigned } from "../mod.ts";
import { ClientPointer, silently } from "./control_messages.ts";
import { joined, within } from "./server_support.ts";
import { Client, echo, leavingNothingLater, Recording, Server, TcpClient } from "./socket_support.ts";
import { bytes, versions } from "./support.ts";

/** What comes instead of a handshake, and what the operator is told of it. */
const nonsense: Record<string, { sends: Uint8Array; reason: RegExp }> = {
  "plain HTTP": { sends: bytes("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"), reason: /http request/ },
  "a plain HTTP proxy's request": {
    sends: bytes("CONNECT localhost:443 HTTP/1.1\r\n\r\n"),
    reason: /https proxy request/,
  },
  "text": { sends: bytes("EHLO localhost\r\n"), reason: /wrong version number|unsupported protocol|packet length/ },
  "zeros": { sends: new Uint8Array(2000), reason: /wrong version number|unsupported protocol|packet length|record/ },
  "an alert": { sends: new Uint8Array([21, 3, 3, 0, 2, 2, 40]), reason: /alert|unexpected message/ },
  "application data": { sends: new Uint8Array([23, 3, 3, 0, 3, 1, 2, 3]), reason: /unexpected|app|record|data/ },
  "a hello of an ancient protocol": {
    sends: new Uint8Array([22, 3, 0, 0, 47, 1, 0, 0, 43, 3, 0, ...new Uint8Array(32), 0, 0, 2, 0, 5, 1, 0, 0, 0]),
    reason: /unsupported protocol|version|length|shared|wrong/,
  },
  "a record that is too long": {
    sends: new Uint8Array([22, 3, 1, 0xff, 0xff, ...new Uint8Array(200)]),
    reason: /length|too long/,
  },
};

describe("a client that does not speak TLS", () => {
  for (const [what, { sends, reason }] of Object.entries(nonsense)) {
    it(
      `but ${what} is refused, and the operator is told`,
      leavingNothingLater(async () => {
        await using server = await Server.start(echo);
        const failed = server.failure();
        {
          await using client = await TcpClient.connect(server.port);
          await client.send(sends);
          const error = await failed;
          assert(error instanceof OpenSslError, String(error));
          assertMatch(error.message, /^The TLS handshake failed: /);
          assertMatch(error.message, reason);
          await within(client.ended, "the server's end");
        }
        await server.empty();
        assertEquals(server.errors.length, 1);
        using good = new Client();
        await good.visit(server.port);
      }),
    );
  }

  it(
    "and one that sends random bytes a hundred times do not hold others up",
    leavingNothingLater(async () => {
      await using server = await Server.start(echo);
      using good = new Client();
      let state = 1;
      const random = () => (state = (state * 48271) % 0x7fffffff) & 255;
      await Promise.all(Array.from({ length: 100 }, async (_, index) => {
        // Half of them begin as a handshake does.
        const start = index % 2 ? [22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3] : [];
        await using client = await TcpClient.connect(server.port);
        await client.send(new Uint8Array([...start, ...Array.from({ length: 300 }, random)]));
        client.socket.end();
        await within(client.ended, "the server's end");
      }));
      await server.empty();
      assertEquals(server.errors.length, 100);
      await good.visit(server.port);
    }),
  );
});

describe("a client that is slow", () => {
  it(
    "and says nothing has until handshakeTimeout",
    leavingNothingLater(async () => {
      await using server = await Server.start(echo, {}, { handshakeTimeout: 50 });
      const failed = server.failure();
      await using client = await TcpClient.connect(server.port);
      const began = performance.now();
      await within(client.ended, "the server's end");
      assertLess(performance.now() - began, 5000);
      assertEquals((await failed).message, "The client did not finish its handshake in 50 ms");
      await server.empty();
      assertEquals(server.errors.length, 1);
    }),
  );

  for (const version of versions) {
    it(
      `and stops in the middle of the handshake has until handshakeTimeout, with ${version}`,
      leavingNothingLater(async () => {
        await using server = await Server.start(echo, {}, { handshakeTimeout: 100 });
        const failed = server.failure();
        using contexts = new Client({ version });
        await using client = await TcpClient.connect(server.port, contexts.context);
        await client.send(client.pull());
        await within(client.ended, "the server's end");
        assertEquals((await failed).message, "The client did not finish its handshake in 100 ms");
        await server.empty();
      }),
    );

    it(
      `and sends its hello byte by byte is served, with ${version}`,
      leavingNothingLater(async () => {
        await using server = await Server.start(echo);
        using contexts = new Client({ version });
        await using client = await TcpClient.connect(server.port, contexts.context);
        for (const byte of client.pull()) await client.send(new Uint8Array([byte]));
        await client.shakeHands();
        await client.write("hello");
        assertEquals(new TextDecoder().decode(await client.read()), "hello");
        assertEquals(server.errors, []);
      }),
    );
  }

  it(
    "after the handshake is not meant by handshakeTimeout",
    leavingNothingLater(async () => {
      await using server = await Server.start(echo, {}, { handshakeTimeout: 200 });
      using client = new Client();
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      // This one times out, and by then the other would have.
      const failed = server.failure();
      await using silent = await TcpClient.connect(server.port);
      await failed;
      await within(silent.ended, "the server's end");
      socket.write(bytes("hello"));
      await recording.bytes(5);
      socket.end();
      assertEquals(await within(recording.closed, "the connection to close"), undefined);
      assertEquals(server.errors.length, 1);
    }),
  );
});

for (const version of versions) {
  describe(`${version}: an established connection`, () => {
    it(
      "ends with an error when it is tampered with, and its session with it",
      leavingNothingLater(async () => {
        const recording = new Recording();
        await using server = await Server.start(() => recording.handlers);
        using contexts = new Client({ version });
        await using client = await TcpClient.connect(server.port, contexts.context);
        await client.shakeHands();
        await client.write("hello");
        await recording.bytes(5);
        const failed = server.failure();
        await client.send(new Uint8Array([23, 3, 3, 0, 32, ...new Uint8Array(32).fill(7)]));
        assert((await failed) instanceof OpenSslError);
        await within(client.ended, "the server's end");
        client.socket.end();
        assert((await within(recording.closed, "the server's socket to close")) instanceof OpenSslError);
        await server.empty();
        assertEquals([server.errors.length, server.store.size], [1, 0]);
      }),
    );

    it(
      "ends with an error when the client sends a fatal alert",
      leavingNothingLater(async () => {
        const recording = new Recording();
        await using server = await Server.start(() => recording.handlers);
        // A client that does not trust the server says so only when it has seen the certificate.
        using contexts = new Client({ version, certificateAuthorities: selfSigned().certificate });
        const failed = server.failure();
        await using client = await TcpClient.connect(server.port, contexts.context);
        await client.shakeHands().then(() => assert(false, "The handshake succeeded"), () => {});
        await client.send(client.rest());
        assertMatch((await failed).message, /unknown ca|certificate unknown/);
        client.socket.end();
        await server.empty();
      }),
    );
  });
}

describe("a client that sends one control message after the other", () => {
  /** Shakes hands; answers what makes a flight of KeyUpdates, and of data after them where there is some. */
  async function start(server: Server, pointer: ClientPointer, contexts: Client) {
    const client = await TcpClient.connect(server.port, contexts.context);
    await client.shakeHands();
    const flight = (count: number, data = "") => {
      const parts: Uint8Array[] = [];
      for (let n = 0; n < count; n++) {
        pointer.updateKey(silently);
        parts.push(client.pull());
      }
      if (data) {
        client.connection!.write(bytes(data));
        parts.push(client.rest());
      }
      return joined(parts);
    };
    return { client, flight };
  }

  for (const data of ["", "x"]) {
    it(
      `is closed, and the operator is told${data && ", also where it adds a little data"}`,
      leavingNothingLater(async () => {
        const recording = new Recording();
        await using server = await Server.start(() => recording.handlers);
        const pointer = new ClientPointer();
        using contexts = new Client({ version: "TLSv1.3", keylog: pointer.note });
        const { client, flight } = await start(server, pointer, contexts);
        await using _ = client;
        await client.write("hello");
        await recording.bytes(5);
        await client.send(flight(1000, data));
        const error = await within(recording.closed, "the server's socket to close");
        assertEquals(error!.message, "The other side sent more than 32 control messages and no data");
        await within(client.ended, "the server's end");
        await server.empty();
        assertEquals(server.errors, [error!]);
        assertEquals(server.listener.stats().controlFloods, 1);
        assertEquals(recording.text, "hello");
      }),
    );
  }

  it(
    "with enough data among them is served",
    leavingNothingLater(async () => {
      await using server = await Server.start(echo);
      const pointer = new ClientPointer();
      using contexts = new Client({ version: "TLSv1.3", keylog: pointer.note });
      const { client, flight } = await start(server, pointer, contexts);
      await using _ = client;
      for (let n = 0; n < 5; n++) {
        await client.send(flight(32, "hello"));
        assertEquals(new TextDecoder().decode(await client.read()), "hello");
      }
      assertEquals(server.errors, []);
      assertEquals(server.listener.stats().controlFloods, 0);
    }),
  );

  it(
    "of TLS 1.2 is refused to renegotiate, and not closed for asking once",
    leavingNothingLater(async () => {
      await using server = await Server.start(echo);
      const pointer = new ClientPointer();
      using contexts = new Client({ version: "TLSv1.2", keylog: pointer.note });
      const { client } = await start(server, pointer, contexts);
      await using _ = client;
      pointer.renegotiate();
      await client.send(client.pull());
      client.connection!.pushCiphertext(await client.receive());
      assertThrows(() => client.connection!.handshake(), OpenSslError, "no renegotiation");
      assertEquals(server.errors, []);
      assertEquals(server.listener.connections, 1);
    }),
  );
});
