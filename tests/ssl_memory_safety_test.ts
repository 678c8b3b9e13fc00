import { assert, assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Buffer } from "node:buffer";
import { closeLibrary, Session, SslConnection, SslContext, SslOption } from "../mod.ts";
import { contextPointer } from "../ssl/context.ts";
import { stateOf } from "../ssl/context_state.ts";
import { leavingNothing } from "./counts.ts";
import { bytes, Contexts, credentials, thrownBy, versions } from "./support.ts";

/** An array that says that it is longer than it is. */
function lying(length: number): Uint8Array {
  return Object.defineProperties(new Uint8Array(16), { length: { value: length }, byteLength: { value: length } });
}

for (const version of versions) {
  describe(`${version}: memory safety`, () => {
    it(
      "one Map of sessions serves two contexts with caches of their own",
      leavingNothing(() => {
        using first = new Contexts(version);
        using second = new Contexts(version);
        const sessions = new Map<string, Session>();
        for (const { server } of [first, second]) {
          server.setNewSessionCallback((_connection, session) => {
            sessions.set(session.id.join(), session);
            return true;
          });
          server.setGetSessionCallback((_connection, id) => sessions.get(id.join()));
        }
        let resumed = 0;
        for (let round = 0; round < 30; round++) {
          for (const { visit } of [first, second]) visit.call(round % 2 ? first : second);
          for (const session of first.sessions.slice(-3)) {
            if (second.visit(session).resumed) resumed++;
            if (first.visit(session).resumed) resumed++;
          }
          if (round % 7 === 6) second.server.flushSessions("all");
          if (round % 11 === 10) first.server.flushSessions("all");
        }
        assert(resumed > 90, `${resumed} resumptions`);
        for (const session of sessions.values()) session.dispose();
      }),
    );

    it(
      "one session is added to two contexts' caches and flushed from both",
      leavingNothing(() => {
        using first = new Contexts(version);
        using second = new Contexts(version);
        const all = [first.resumable(), first.resumable(), first.resumable()];
        for (const context of [first.server, second.server, first.server]) {
          for (const session of all) context.addSession(session);
        }
        first.server.flushSessions("all");
        second.server.flushSessions("all");
        assertEquals([first.server.counters().number, second.server.counters().number], [0, 0]);
      }),
    );

    it(
      "a session on loan outlives the disposal of the only reference to it in the same callback",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        const session = Session.fromDer(contexts.resumable().toDer());
        let kept: Session | undefined;
        contexts.client.setRemoveSessionCallback((_context, lent) => {
          session.dispose();
          assertEquals(lent.protocol, version);
          kept = lent.clone();
        });
        contexts.client.removeSession(session);
        assertEquals(kept!.protocol, version);
        kept!.dispose();
      }),
    );

    it(
      "arrays that lie about their length are taken at their true one",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        using link = contexts.link().connect();
        assertEquals(link.server.write(lying(1e6)), 16);
        link.toClient();
        assertEquals(link.client.read(lying(1e6)), 16);
        link.server.pullCiphertext(lying(1e6));
        assertThrows(() => Session.fromDer(lying(1e6)), Error, "from 16 bytes of DER");
        using context = SslContext.server(credentials);
        context.setSessionIdContext(lying(31));
        link.client.pushCiphertext(lying(1e6));
        assertThrows(() => link.client.read(new Uint8Array(100)));
      }),
    );
  });
}

describe("memory safety", () => {
  for (const release of ["resize", "transfer"] as const) {
    it(
      `a callback takes the buffer of the read that runs it away: ${release}`,
      leavingNothing(() => {
        using contexts = new Contexts("TLSv1.3");
        using link = contexts.link();
        // The tickets stay on the way, together with what is written.
        while (link.server.handshake() !== "done") {
          link.toClient();
          link.client.handshake();
          link.toServer();
        }
        link.server.write(new Uint8Array(16_000).fill(66));
        const chunk = new Uint8Array(100_000);
        link.client.pushCiphertext(chunk.subarray(0, link.server.pullCiphertext(chunk)));
        const memory = release === "resize"
          ? new ArrayBuffer(1 << 20, { maxByteLength: 1 << 22 })
          : new ArrayBuffer(1 << 20);
        contexts.client.setNewSessionCallback(() => {
          if (memory.byteLength === 0) return;
          if (release === "resize") memory.resize(0);
          else memory.transfer(0);
        });
        assertEquals(link.client.read(new Uint8Array(memory)), 0);
        const plaintext = new Uint8Array(20_000);
        assertEquals(link.client.read(plaintext), 16_000);
        assertEquals(plaintext.subarray(0, 16_000).every((byte) => byte === 66), true);
      }),
    );
  }

  it(
    "a context made at the address of one that is being freed keeps its callbacks",
    leavingNothing(() => {
      const first = new Contexts("TLSv1.2");
      using second = new Contexts("TLSv1.2");
      first.visit();
      const link = second.link().connect();
      const made: SslContext[] = [];
      first.server.setRemoveSessionCallback(() => link.server.dispose());
      second.server.setRemoveSessionCallback(() => {
        for (let n = 0; n < 20; n++) made.push(SslContext.server());
      });
      first[Symbol.dispose]();
      assertEquals(made.length, 20);
      for (const context of made) assert(stateOf(contextPointer(context)), "A live context lost its state");
      for (const context of made) context.dispose();
      link.client.dispose();
    }),
  );
  it(
    "what a read kept for a Buffer is not the Buffer's memory",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.3");
      using link = contexts.link();
      while (link.server.handshake() !== "done") {
        link.toClient();
        link.client.handshake();
        link.toServer();
      }
      link.server.write(bytes("hello"));
      const chunk = new Uint8Array(100_000);
      link.client.pushCiphertext(chunk.subarray(0, link.server.pullCiphertext(chunk)));
      contexts.client.setNewSessionCallback(() => {
        throw new Error("no");
      });
      const buffer = Buffer.alloc(100);
      assertThrows(() => link.client.read(buffer));
      buffer.fill("!");
      assertEquals(link.client.read(buffer), 5);
      assertEquals(buffer.subarray(0, 5).toString(), "hello");
    }),
  );

  it(
    "a date that disposes the context is not followed by a flush of it",
    leavingNothing(() => {
      const context = SslContext.server(credentials);
      const date = new Date();
      date.getTime = () => {
        context.dispose();
        return 0;
      };
      assertThrows(() => context.flushSessions(date), Error, "it ended with dispose()");
    }),
  );

  for (const hostile of [{ includes: "startsWith" }, { toString: "" }, { [Symbol.toPrimitive]: "" }, { then: "" }]) {
    it(
      `what is no text runs no code of its own in the middle of a call: ${String(Reflect.ownKeys(hostile)[0])}`,
      leavingNothing(() => {
        using contexts = new Contexts("TLSv1.3");
        using link = contexts.link().connect();
        let calls = 0;
        const dispose = () => {
          calls++;
          link.dispose();
          return false;
        };
        const label = Object.fromEntries(Reflect.ownKeys(hostile).map((name) => [name, dispose])) as unknown as string;
        assertThrows(() => link.server.exportKeyingMaterial(10, label), TypeError, "give text");
        assertThrows(() => SslConnection.client(contexts.client, { serverName: label }), TypeError);
        assertEquals([calls, link.server.isReleased], [0, false]);
        link.close();
      }),
    );
  }

  it(
    "numbers of extensions and bytes are whole and not negative",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.3");
      const messages: string[] = [];
      const content: unknown[] = [];
      contexts.server.setClientHelloCallback((_connection, hello) => {
        const number = { valueOf: () => 43 } as unknown as number;
        for (const wrong of [-1, 1.5, NaN, 65_536, 1e10, number]) {
          messages.push((thrownBy(() => hello.extension(wrong)) as Error).message);
        }
        for (const wrong of [-1, -1e6, 1.5, NaN, -Infinity, number]) {
          messages.push((thrownBy(() => hello.extension(43, wrong)) as Error).message);
        }
        content.push(hello.extension(43, 0)!.length, hello.extension(43, 2)!.length, hello.extension(65_535));
        return "continue";
      });
      contexts.visit();
      assertEquals(
        new Set(messages),
        new Set([
          "Cannot look for an extension that is no whole number from 0 to 65535",
          "Cannot read a number of bytes that is no whole number from 0 on",
        ]),
      );
      assertEquals(content, [0, 2, undefined]);
    }),
  );

  it(
    "the library is not closed from within a callback",
    leavingNothing(() => {
      const contexts = new Contexts("TLSv1.2");
      contexts.visit();
      let refusals = 0;
      contexts.server.setRemoveSessionCallback(() => {
        assertThrows(closeLibrary, Error, "Cannot close libssl from within a callback");
        refusals++;
      });
      contexts[Symbol.dispose]();
      assertEquals(refusals, 1);
    }),
  );

  for (const callback of [NaN, 5, "", "function", {}, undefined, true] as unknown[]) {
    it(
      `a callback cannot be ${typeof callback === "object" ? "an object" : JSON.stringify(callback) ?? "undefined"}`,
      leavingNothing(() => {
        using context = SslContext.server(credentials);
        for (const name of Object.getOwnPropertyNames(SslContext.prototype)) {
          if (!/^set\w+Callback$/.test(name)) continue;
          const set = (context as unknown as Record<string, (callback: unknown) => void>)[name]!;
          assertThrows(() => set.call(context, callback), TypeError, "must be a function, or null");
        }
      }),
    );
  }

  it(
    "options and modes are whole numbers",
    leavingNothing(() => {
      using context = SslContext.server(credentials);
      for (const wrong of [NaN, -1, 1.5, Infinity]) {
        assertThrows(() => context.setOptions(wrong), RangeError);
        assertThrows(() => context.clearOptions(wrong), RangeError);
        assertThrows(() => context.sessionCacheMode = wrong, RangeError);
      }
    }),
  );

  it(
    "a server refuses to shake hands anew in a connection",
    leavingNothing(() => {
      using context = SslContext.server(credentials);
      assertEquals(context.options & SslOption.NoRenegotiation, SslOption.NoRenegotiation);
    }),
  );
});
