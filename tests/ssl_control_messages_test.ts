import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { OpenSslError, type SslConnection, SslOption } from "../mod.ts";
import { asking, ClientPointer, silently } from "./control_messages.ts";
import { leavingNothing } from "./counts.ts";
import { bytes, Contexts, type Link, versions } from "./support.ts";

/** Contexts whose clients' SSLs are known: C is to be asked for what this library does not offer. */
class Watched extends Contexts {
  readonly pointer: ClientPointer;

  constructor(version: "TLSv1.2" | "TLSv1.3") {
    const pointer = new ClientPointer();
    super(version, {}, { keylog: pointer.note });
    this.pointer = pointer;
  }

  /** Has the client send a KeyUpdate. */
  updateKey(link: Link, kind: number): void {
    this.pointer.updateKey(kind);
    link.client.handshake();
    link.toServer();
  }
}

function read(connection: SslConnection): number | null {
  return connection.read(new Uint8Array(100));
}

function send(link: Link): void {
  link.client.write(bytes("data"));
  link.toServer();
}

describe("SslConnection.controlMessages", () => {
  for (const version of versions) {
    it(
      `${version}: is 0 after a handshake, with tickets, after data and after the end`,
      leavingNothing(() => {
        using contexts = new Watched(version);
        for (const session of [undefined, contexts.resumable()]) {
          using link = contexts.link(session);
          link.connect();
          for (let n = 0; n < 3; n++) {
            send(link);
            assertEquals(read(link.server), 4);
            link.server.write(bytes("answer"));
            link.toClient();
            assertEquals(read(link.client), 6);
            assertEquals(read(link.server), 0);
          }
          link.client.shutdown();
          link.toServer();
          assertEquals(read(link.server), null);
          link.server.shutdown();
          assertEquals([link.server.controlMessages, link.client.controlMessages], [0, 0]);
          link.close();
        }
      }),
    );
  }

  it(
    "counts KeyUpdates until data comes",
    leavingNothing(() => {
      using contexts = new Watched("TLSv1.3");
      using link = contexts.link();
      link.connect();
      for (const kind of [silently, asking]) {
        for (let n = 1; n <= 20; n++) {
          contexts.updateKey(link, kind);
          assertEquals(read(link.server), 0);
          // The answer to the one before is made first.
          assertEquals(link.server.controlMessages, kind === silently ? n : 2 * n - 1);
        }
        // What the server writes answers the last one, and is not counted.
        const count = link.server.controlMessages;
        link.server.write(bytes("answer"));
        link.toClient();
        assertEquals(read(link.client), 6);
        assertEquals(link.server.controlMessages, count);
        send(link);
        assertEquals([read(link.server), link.server.controlMessages], [4, count]);
        assertEquals([read(link.server), link.server.controlMessages], [0, 0]);
      }
      link.close();
      // Its time is over, and it tells all the same.
      assertEquals(link.server.controlMessages, 0);
    }),
  );

  it(
    "counts those that come at once, whether or not data follows",
    leavingNothing(() => {
      using contexts = new Watched("TLSv1.3");
      using link = contexts.link();
      link.connect();
      for (let n = 0; n < 1000; n++) contexts.updateKey(link, silently);
      assertEquals([read(link.server), link.server.controlMessages], [0, 1000]);
      for (let n = 0; n < 5; n++) contexts.updateKey(link, silently);
      send(link);
      assertEquals([read(link.server), link.server.controlMessages], [4, 1005]);
      // One before each data is no row.
      for (let n = 0; n < 40; n++) {
        contexts.updateKey(link, silently);
        send(link);
        assertEquals([read(link.server), link.server.controlMessages], [4, 1]);
      }
      send(link);
      assertEquals([read(link.server), link.server.controlMessages], [4, 0]);
      assertEquals(link.client.controlMessages, 0);
      link.close();
    }),
  );

  it(
    "counts no answer that is written on and on",
    leavingNothing(() => {
      using contexts = new Watched("TLSv1.3");
      using link = contexts.link();
      link.connect();
      for (let n = 1; n <= 20; n++) {
        contexts.updateKey(link, asking);
        assertEquals([read(link.server), link.server.controlMessages], [0, n]);
        for (const text of ["some", "more"]) link.server.write(bytes(text));
        link.toClient();
        assertEquals([read(link.client), read(link.client)], [4, 4]);
      }
      send(link);
      assertEquals(read(link.server), 4);
      link.close();
    }),
  );

  it(
    "counts attempts to renegotiate, which are refused",
    leavingNothing(() => {
      using contexts = new Watched("TLSv1.2");
      using link = contexts.link();
      link.connect();
      contexts.pointer.renegotiate();
      link.client.handshake();
      link.toServer();
      assertEquals(read(link.server), 0);
      assertEquals(link.server.controlMessages, 1);
      link.toClient();
      assertThrows(() => link.client.handshake(), OpenSslError, "no renegotiation");
    }),
  );

  it(
    "counts renegotiations that are allowed",
    leavingNothing(() => {
      using contexts = new Watched("TLSv1.2");
      contexts.server.clearOptions(SslOption.NoRenegotiation);
      contexts.server.setOptions(0x100); // SSL_OP_ALLOW_CLIENT_RENEGOTIATION
      using link = contexts.link();
      link.connect();
      contexts.pointer.renegotiate();
      for (let turn = 0; turn < 3; turn++) {
        link.client.handshake();
        link.toServer();
        assertEquals(read(link.server), 0);
        link.toClient();
      }
      assertEquals(link.server.controlMessages > 0, true);
      for (let n = 0; n < 2; n++) {
        send(link);
        assertEquals(read(link.server), 4);
      }
      assertEquals(link.server.controlMessages, 0);
      link.close();
    }),
  );
});
