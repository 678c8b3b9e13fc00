import { assert, assertEquals, assertGreater } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { ClientHello, SslConnection } from "../mod.ts";
import { leavingNothing } from "./counts.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { bytes, Contexts, type Link, versions } from "./support.ts";

/** What a connection says reaches the other side. */
function assertSays(link: Link, text: string): void {
  link.server.write(bytes(text));
  assertGreater(link.toClient(), 0);
  assertReads(link.client, text);
}

function assertReads(connection: SslConnection, text: string): void {
  const buffer = new Uint8Array(100);
  assertEquals(new TextDecoder().decode(buffer.subarray(0, connection.read(buffer)!)), text);
}

for (const version of versions) {
  describe(`${version}: SslConnection.holdCiphertext()`, () => {
    it(
      "keeps ciphertext back until it is released, which wakes the transport",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        using link = contexts.link().connect();
        let woken = 0;
        link.server.onWake = () => void woken++;
        assertEquals(link.server.isHeld, false);
        const release = link.server.holdCiphertext();
        assertEquals(link.server.isHeld, true);
        link.server.write(bytes("held"));
        assertEquals(link.toClient(), 0);
        assertEquals(link.server.pullCiphertext(new Uint8Array(100)), 0);
        assertEquals(woken, 0);
        release();
        assertEquals(woken, 1);
        assertEquals(link.server.isHeld, false);
        assertGreater(link.toClient(), 0);
        assertReads(link.client, "held");
        link.close();
      }),
    );

    it(
      "keeps back what was there before it",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        using link = contexts.link().connect();
        link.server.write(bytes("before"));
        const release = link.server.holdCiphertext();
        assertEquals(link.toClient(), 0);
        release();
        assertGreater(link.toClient(), 0);
        assertReads(link.client, "before");
        link.close();
      }),
    );

    it(
      "lets bytes come in meanwhile",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        using link = contexts.link().connect();
        const release = link.server.holdCiphertext();
        link.client.write(bytes("ping"));
        link.toServer();
        assertReads(link.server, "ping");
        release();
        link.close();
      }),
    );

    it(
      "waits for the last of several, each of which counts once",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        using link = contexts.link().connect();
        let woken = 0;
        link.server.onWake = () => void woken++;
        const [first, second] = [link.server.holdCiphertext(), link.server.holdCiphertext()];
        link.server.write(bytes("held"));
        first();
        first();
        assertEquals(link.server.isHeld, true);
        assertEquals(link.toClient(), 0);
        assertEquals(woken, 0);
        second();
        second();
        assertEquals(woken, 1);
        assertGreater(link.toClient(), 0);
        assertReads(link.client, "held");
        const third = link.server.holdCiphertext();
        assertEquals(link.server.isHeld, true);
        third();
        assertSays(link, "after it");
        link.close();
      }),
    );

    it(
      "is of one connection alone",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        using held = contexts.link().connect();
        using free = contexts.link().connect();
        const release = held.server.holdCiphertext();
        assertEquals(free.server.isHeld, false);
        assertSays(free, "not held");
        release();
        held.close();
        free.close();
      }),
    );

    it(
      "holds a handshake as well",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        using link = contexts.link();
        const release = link.server.holdCiphertext();
        assertEquals(link.half(), "wants-bytes");
        assertEquals(link.toClient(), 0);
        release();
        link.connect();
        link.close();
      }),
    );

    it(
      "may be called and ended in a callback: the transport is woken when that is over",
      leavingNothingLater(async () => {
        using contexts = new Contexts(version, { numTickets: 1 });
        using link = contexts.link();
        const woken: string[] = [];
        link.server.onWake = () => void woken.push(link.server.handshake());
        contexts.server.setNewSessionCallback((connection) => {
          connection.holdCiphertext()();
          assertEquals(woken, []);
        });
        link.connect();
        assertEquals(woken, []);
        await Promise.resolve();
        assertEquals(woken, ["done"]);
        link.close();
      }),
    );
  });

  describe(`${version}: SslConnection.wake()`, () => {
    /** Suspends a server's handshake until `answer` says something else. */
    function suspending(contexts: Contexts): { answer: "suspend" | "continue" | "refuse"; hellos: number } {
      const state = { answer: "suspend" as "suspend" | "continue" | "refuse", hellos: 0 };
      contexts.server.setClientHelloCallback((_connection, _hello: ClientHello) => {
        state.hellos++;
        return state.answer;
      });
      return state;
    }

    it(
      "has the transport go on with a suspended handshake",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        const state = suspending(contexts);
        using link = contexts.link();
        assertEquals(link.half(), "wants-lookup");
        assertEquals(link.server.handshake(), "wants-lookup");
        assertEquals(link.toClient(), 0);
        assertEquals(state.hellos, 2);
        const states: string[] = [];
        link.server.onWake = () => void states.push(link.server.handshake());
        state.answer = "continue";
        link.server.wake();
        assertEquals(states, ["wants-bytes"]);
        assertEquals(state.hellos, 3);
        link.connect();
        link.close();
      }),
    );

    it(
      "does nothing where nobody asked to be woken",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        const state = suspending(contexts);
        using link = contexts.link();
        link.half();
        link.server.wake();
        state.answer = "continue";
        link.connect();
        link.close();
      }),
    );

    it(
      "waits for the end of the connection's own callback",
      leavingNothingLater(async () => {
        using contexts = new Contexts(version);
        using link = contexts.link();
        const states: string[] = [];
        link.server.onWake = () => void states.push(link.server.handshake());
        let hellos = 0;
        contexts.server.setClientHelloCallback((connection) => {
          if (++hellos > 1) return "continue";
          connection.wake();
          assertEquals(states, []);
          return "suspend";
        });
        assertEquals(link.half(), "wants-lookup");
        assertEquals(states, []);
        await Promise.resolve();
        assertEquals(states, ["wants-bytes"]);
        link.connect();
        link.close();
      }),
    );

    it(
      "is let be by a connection that was disposed while its handshake was suspended",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        suspending(contexts);
        const link = contexts.link();
        let woken = false;
        link.server.onWake = () => void (woken = true);
        assertEquals(link.half(), "wants-lookup");
        link.dispose();
        link.server.wake();
        assert(!woken);
      }),
    );
  });
}
