import { assert, assertEquals, assertInstanceOf, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { ReleasedError, type Session, SslConnection, SslContext } from "../mod.ts";
import { callbacks } from "../ffi/callbacks.ts";
import type { Pointer } from "../ffi/types.ts";
import { contextPointer } from "../ssl/context.ts";
import { library } from "../ssl/library.ts";
import { counts, leavingNothing } from "./counts.ts";
import { Contexts, hex, thrownBy, versions } from "./support.ts";
import { root, runSelf } from "./process.ts";

/** An SSL_CTX as other code makes it. */
function foreignContext(): Pointer {
  const { ssl } = library();
  return ssl.SSL_CTX_new(ssl.TLS_server_method()) as Pointer;
}

/** A server's SSL as other code makes it of a context, with two memory BIOs. */
function foreignConnection(context: Pointer) {
  const { ssl, crypto } = library();
  const connection = ssl.SSL_new(context) as Pointer;
  const input = crypto.BIO_new(crypto.BIO_s_mem()) as Pointer;
  const output = crypto.BIO_new(crypto.BIO_s_mem()) as Pointer;
  ssl.SSL_set_bio(connection, input, output);
  ssl.SSL_set_accept_state(connection);
  const chunk = new Uint8Array(20_000);
  return {
    pointer: connection,
    /** One turn of a handshake with a client of ours. */
    turn(client: SslConnection): void {
      if (client.isEstablished) client.read(new Uint8Array(1));
      else client.handshake();
      for (let length = client.pullCiphertext(chunk); length > 0; length = client.pullCiphertext(chunk)) {
        crypto.BIO_write(input, chunk.subarray(0, length), length);
      }
      ssl.SSL_do_handshake(connection);
      for (let length = crypto.BIO_read(output, chunk, 20_000); length > 0;) {
        client.pushCiphertext(chunk.subarray(0, length));
        length = crypto.BIO_read(output, chunk, 20_000);
      }
    },
    [Symbol.dispose]() {
      ssl.SSL_set_shutdown(connection, 1);
      ssl.SSL_free(connection);
      crypto.ERR_clear_error();
    },
  };
}

describe("SslContext.fromPointer()", () => {
  it(
    "takes a reference of its own to a context that other code made, and gives back that one",
    leavingNothing(() => {
      const pointer = foreignContext();
      const { contexts } = counts();
      const context = SslContext.fromPointer(pointer);
      context.setSessionIdContext("foreign");
      context.dispose();
      assertEquals(counts().contexts, contexts);
      const again = SslContext.fromPointer(pointer);
      library().ssl.SSL_CTX_free(pointer);
      assertEquals(counts().contexts, contexts, "The reference that is left is ours");
      assert(again.sessionCacheSize > 0);
      again.dispose();
      assertEquals(counts().contexts, contexts - 1);
    }),
  );

  it(
    "takes the runtime's own pointers and bigints",
    leavingNothing(() => {
      const pointer = foreignContext();
      const address = BigInt(library().memory.keyOf(pointer));
      const { runtime } = library().adapter;
      for (const value of runtime === "deno" ? [pointer, address] : [Number(address), address]) {
        using context = SslContext.fromPointer(value);
        assert(context.sessionTimeout > 0);
      }
      library().ssl.SSL_CTX_free(pointer);
    }),
  );

  for (
    const value of [
      null,
      undefined,
      0,
      0n,
      -1,
      -1n,
      1n << 63n,
      1n << 64n,
      1.5,
      NaN,
      Infinity,
      "",
      "pointer",
      "4096",
      {},
      [],
      true,
      Symbol("p"),
    ]
  ) {
    it(`throws a TypeError for ${typeof value === "bigint" ? `${value}n` : String(value as string)}`, () => {
      assertThrows(() => SslContext.fromPointer(value), TypeError, "Cannot make an SslContext");
    });
  }

  it(
    "clears its callbacks when the last of its objects is disposed: other code may go on with the context",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.2");
      const session = contexts.resumable();
      const pointer = foreignContext();
      let calls = 0;
      const callback = () => {
        calls++;
      };
      const first = SslContext.fromPointer(pointer);
      const second = SslContext.fromPointer(pointer);
      first.setRemoveSessionCallback(callback);
      first.dispose();
      assertStrictEquals(second.getRemoveSessionCallback()!.callback, callback);
      second.removeSession(session);
      assertEquals(calls, 1);
      second.dispose();
      assert(!library().ssl.SSL_CTX_sess_get_remove_cb(pointer), "The callback is still set");
      {
        using context = SslContext.fromPointer(pointer);
        assertEquals(context.getRemoveSessionCallback(), null);
        context.addSession(session);
      }
      library().ssl.SSL_CTX_free(pointer);
      assertEquals(calls, 1);
    }),
  );

  it(
    "leaves callbacks that other code has set in place when it is disposed",
    leavingNothing(() => {
      const pointer = foreignContext();
      const other = library().adapter.trampoline(callbacks.removeSession, () => {});
      {
        using context = SslContext.fromPointer(pointer);
        context.setRemoveSessionCallback(() => {});
        library().ssl.SSL_CTX_sess_set_remove_cb(pointer, other.pointer);
      }
      assert(library().ssl.SSL_CTX_sess_get_remove_cb(pointer));
      library().ssl.SSL_CTX_free(pointer);
      other.close();
    }),
  );

  it(
    "gives a callback an object that can be used, where there are several of one context",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.2");
      const session = contexts.resumable();
      const pointer = foreignContext();
      const objects = [0, 1, 2].map(() => SslContext.fromPointer(pointer));
      library().ssl.SSL_CTX_free(pointer);
      const seen: (SslContext | undefined)[] = [];
      objects[0]!.setRemoveSessionCallback((context) => {
        seen.push(context);
        assert(context.sessionTimeout > 0);
      });
      for (const gone of [2, 0]) {
        objects[gone]!.dispose();
        objects[1]!.removeSession(session);
      }
      assertEquals(seen.length, 2);
      objects[1]!.setRemoveSessionCallback(null);
      objects[1]!.dispose();
    }),
  );
});

for (const version of versions) {
  describe(`${version}: connections that other code made of a context of ours`, () => {
    it(
      "reach the callbacks with a connection and a session on loan",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        const proposed = contexts.resumable();
        contexts.server.flushSessions("all");
        using link = contexts.link(proposed);
        const { client } = link;
        using server = foreignConnection(contextPointer(contexts.server));
        const calls: string[] = [];
        const lent: { connections: Set<SslConnection>; sessions: Session[] } = { connections: new Set(), sessions: [] };
        function check(name: string, connection: SslConnection): void {
          calls.push(name);
          lent.connections.add(connection);
          assert(connection instanceof SslConnection);
          assertEquals(connection.protocol, version);
          assertThrows(() => connection.read(new Uint8Array(1)), TypeError, "moved by the code that made it");
          connection.dispose();
          assertThrows(() => connection.protocol, ReleasedError);
        }
        contexts.server.setClientHelloCallback((connection, hello) => {
          calls.push("client hello");
          lent.connections.add(connection);
          assertEquals(hex(hello.extension(0)!).length, 28);
          return "continue";
        });
        contexts.server.setGetSessionCallback((connection, id) => {
          assertEquals(id.length, 32);
          check("get", connection);
          return undefined;
        });
        contexts.server.setNewSessionCallback((connection, session) => {
          assertEquals(session.protocol, version);
          lent.sessions.push(session);
          check("new", connection);
        });
        for (let turn = 0; turn < 4; turn++) server.turn(client);
        assertEquals(client.isEstablished, true);
        assertEquals(calls, ["client hello", "get", "new"]);
        for (const connection of lent.connections) {
          assertInstanceOf(thrownBy(() => connection.protocol), ReleasedError);
        }
        assertInstanceOf(thrownBy(() => lent.sessions[0]!.id), ReleasedError);
      }),
    );

    it(
      "have their connection ended by the callback's return",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        using link = contexts.link();
        const { client } = link;
        using server = foreignConnection(contextPointer(contexts.server));
        let lent: SslConnection | undefined;
        contexts.server.setNewSessionCallback((connection, session) => {
          lent = connection;
          assertEquals(connection.serverName, "localhost");
          using own = connection.session();
          assertEquals(own!.id, session.id);
          return false;
        });
        for (let turn = 0; turn < 4; turn++) server.turn(client);
        assertEquals(
          (thrownBy(() => lent!.serverName) as Error).message,
          "Cannot use this connection: it ended with the return of the callback that it was lent to",
        );
      }),
    );

    it(
      "keep the context and its callbacks, though the object of it is disposed",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        using link = contexts.link();
        const { client } = link;
        const kept: Session[] = [];
        contexts.server.setNewSessionCallback((_connection, session) => kept.push(session) > 0);
        {
          using server = foreignConnection(contextPointer(contexts.server));
          contexts.server.dispose();
          for (let turn = 0; turn < 4; turn++) server.turn(client);
        }
        assertEquals(kept.length, 1);
        kept[0]!.dispose();
      }),
    );
  });
}

describe("what a callback throws in a call that other code made", () => {
  it("is an error that nobody caught, and not one of the next call of ours", async () => {
    const { code, stdout, stderr } = await runSelf(`
      import process from "node:process";
      import { library } from "${root}ssl/library.ts";
      import { contextPointer } from "${root}ssl/context.ts";
      import { sessionPointer } from "${root}ssl/session.ts";
      import { Contexts } from "${root}tests/support.ts";
      process.on("uncaughtException", (error) => console.log("uncaught:", error.message));
      const contexts = new Contexts("TLSv1.2");
      contexts.visit();
      contexts.server.setRemoveSessionCallback(() => { throw new Error("from the remove callback"); });
      library().ssl.SSL_CTX_remove_session(contextPointer(contexts.server), sessionPointer(contexts.sessions[0]));
      contexts.client.flushSessions();
      console.log("flushed");
    `);
    assertEquals(stderr, "");
    assertEquals(stdout.trim().split("\n"), ["flushed", "uncaught: from the remove callback"]);
    assertEquals(code, 0);
  });
});
