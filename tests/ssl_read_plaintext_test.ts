import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { OpenSslError, ReleasedError, SslConnection } from "../mod.ts";
import { readPlaintext } from "../ssl/connection.ts";
import { leavingNothing } from "./counts.ts";
import { bytes, Contexts, thrownBy, versions } from "./support.ts";

for (const version of versions) {
  describe(`${version}: readPlaintext()`, () => {
    it(
      "answers what is there in arrays of their own, then undefined, and null at the end",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        using link = contexts.link().connect();
        assertEquals(readPlaintext(link.server), undefined);
        const sent = new Uint8Array(100_000).map((_, n) => n % 251);
        link.client.write(sent);
        link.toServer();
        const parts: Uint8Array[] = [];
        for (let part = readPlaintext(link.server); part; part = readPlaintext(link.server)) parts.push(part);
        assert(parts.every((part) => part.buffer !== parts[0]!.buffer || part === parts[0]));
        assert(parts.every(({ length }) => length > 0 && length <= 65_536));
        assertEquals(new Uint8Array(parts.flatMap((part) => [...part])), sent);
        link.client.shutdown();
        link.toServer();
        assertEquals(readPlaintext(link.server), null);
        assertEquals(readPlaintext(link.server), null);
        link.close();
        assertThrows(() => readPlaintext(link.server), ReleasedError);
      }),
    );

    it(
      "goes on where read() left off, and the other way round",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        using link = contexts.link().connect();
        link.client.write(bytes("first"));
        link.client.write(bytes("second"));
        link.toServer();
        const one = new Uint8Array(1);
        assertEquals([link.server.read(one), one], [1, bytes("f")]);
        assertEquals(readPlaintext(link.server), bytes("irst"));
        assertEquals([link.server.read(one), one], [1, bytes("s")]);
        assertEquals(readPlaintext(link.server), bytes("econd"));
        assertEquals(readPlaintext(link.server), undefined);
        link.close();
      }),
    );

    it(
      "moves the handshake on, and keeps what was read by a call whose callback threw",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        using link = contexts.link();
        contexts.server.setNewSessionCallback(() => {
          throw new Error("from the callback");
        });
        link.half();
        link.toClient();
        link.client.handshake();
        link.client.write(bytes("early"));
        link.toServer();
        const error = thrownBy(() => readPlaintext(link.server)) as Error;
        assertEquals(error.message, "from the callback");
        assertEquals(link.server.isEstablished, true);
        const rest = readPlaintext(link.server);
        assertEquals(rest, version === "TLSv1.3" ? bytes("early") : undefined);
      }),
    );

    it(
      "throws what went wrong",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        using server = SslConnection.server(contexts.server);
        server.pushCiphertext(bytes("GET / HTTP/1.1\r\n\r\n"));
        assertInstanceOf(thrownBy(() => readPlaintext(server)), OpenSslError);
      }),
    );
  });
}
