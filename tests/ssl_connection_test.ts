import { assert, assertEquals, assertInstanceOf, assertStringIncludes, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { OpenSslError, selfSigned, SslConnection, SslContext } from "../mod.ts";
import { leavingNothing } from "./counts.ts";
import { bytes, Contexts, credentials, Link, thrownBy, versions } from "./support.ts";

for (const version of versions) {
  describe(`${version}: SslConnection`, () => {
    it(
      "tells what was negotiated",
      leavingNothing(() => {
        using contexts = new Contexts(version, { alpnProtocols: ["h2"] }, { alpnProtocols: ["h2", "http/1.1"] });
        using link = contexts.link();
        assertEquals(link.server.isEstablished, false);
        assertEquals(link.server.cipher, undefined);
        assertEquals(link.server.serverName, undefined);
        assertEquals(link.client.peerCertificate, undefined);
        link.connect();
        for (const end of [link.server, link.client]) {
          assertEquals(end.protocol, version);
          assertEquals(end.alpnProtocol, "h2");
          assertEquals(end.isEstablished, true);
          assertEquals(end.isResumed, false);
          assertEquals(end.isReleased, false);
          assertStringIncludes(end.cipher!, version === "TLSv1.3" ? "TLS_AES_256_GCM_SHA384" : "ECDHE-ECDSA");
        }
        assertEquals(link.server.serverName, "localhost");
        assertEquals(link.client.peerCertificate!.subject, "CN=localhost");
        assertEquals(link.server.peerCertificate, undefined);
        link.close();
      }),
    );

    it(
      "is established too when a read has ended the handshake",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        using link = contexts.link();
        const buffer = new Uint8Array(10);
        for (let turn = 0; turn < 4; turn++) {
          assertEquals(link.client.read(buffer), 0);
          link.toServer();
          assertEquals(link.server.read(buffer), 0);
          link.toClient();
        }
        assertEquals([link.client.isEstablished, link.server.isEstablished], [true, true]);
        assertEquals(link.server.write(bytes("hi")), 2);
        link.toClient();
        assertEquals(link.client.read(buffer), 2);
        link.close();
      }),
    );

    it(
      "writes nothing before the handshake is over",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        using link = contexts.link();
        assertEquals(link.client.write(bytes("early")), 0);
        link.half();
        assertEquals(link.server.write(bytes("early")), 0);
        link.connect().close();
      }),
    );

    it(
      "carries much plaintext, in buffers of any size",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        using link = contexts.link().connect();
        const sent = Uint8Array.from({ length: 100_003 }, (_, n) => (n * 7) % 251);
        assertEquals(link.client.write(sent), sent.length);
        link.toServer();
        const got: number[] = [];
        const sizes = [1, 2, 1000, 16_384, 70_000];
        for (let turn = 0; got.length < sent.length; turn++) {
          const buffer = new Uint8Array(sizes[turn % sizes.length]!);
          const length = link.server.read(buffer)!;
          assert(length > 0);
          got.push(...buffer.subarray(0, length));
        }
        assertEquals(Uint8Array.from(got), sent);
        assertEquals(link.server.read(new Uint8Array(1)), 0);
        assertEquals(link.server.read(new Uint8Array(0)), 0);
        assertEquals(link.client.write(new Uint8Array(0)), 0);
        link.close();
      }),
    );

    it(
      "says goodbye on both sides",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        using link = contexts.link().connect();
        assertEquals(link.client.shutdown(), false);
        assert(link.toServer() > 0);
        assertEquals(link.client.shutdown(), false);
        assertEquals(link.toServer(), 0, "close_notify is sent once");
        assertEquals(link.server.read(new Uint8Array(1)), null);
        assertEquals(link.server.read(new Uint8Array(1)), null);
        assertEquals(link.server.shutdown(), true);
        link.toClient();
        assertEquals(link.client.read(new Uint8Array(1)), null);
        assertInstanceOf(thrownBy(() => link.client.write(bytes("more"))), OpenSslError);
      }),
    );

    it(
      "fails with OpenSSL's reason where the bytes are no TLS",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        using link = contexts.link();
        link.server.pushCiphertext(bytes("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"));
        const error = thrownBy(() => link.server.handshake()) as OpenSslError;
        assertInstanceOf(error, OpenSslError);
        assertEquals(error.message, "The TLS handshake failed: http request (the client spoke plain HTTP)");
        assertEquals(error.errors.map(({ library, reason }) => [library, reason]), [["SSL routines", "http request"]]);
        assertEquals(link.server.isEstablished, false);
      }),
    );

    it(
      "takes in a handshake byte by byte",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        using link = contexts.link();
        const one = new Uint8Array(1);
        let left = 100_000;
        while (link.client.handshake() !== "done" || link.server.handshake() !== "done") {
          for (const [from, to] of [[link.client, link.server], [link.server, link.client]] as const) {
            while (from.pullCiphertext(one) === 1) {
              to.pushCiphertext(one);
              to.handshake();
              if (left-- === 0) throw new Error("The handshake does not end");
            }
          }
        }
        link.deliver();
        link.close();
      }),
    );

    it(
      "verifies the server's certificate and name",
      leavingNothing(() => {
        using server = SslContext.server({ ...credentials, minVersion: version, maxVersion: version });
        using trusting = SslContext.client({ certificateAuthorities: credentials.certificate });
        for (const name of ["localhost", "127.0.0.1", "::1"]) {
          using link = new Link({ server, client: trusting }, undefined, name).connect();
          assertEquals(link.client.verifyResult, { code: 0, name: "OK", reason: "ok" });
          assertEquals(link.server.serverName, name === "localhost" ? name : undefined);
        }
        for (
          const [name, reason] of [["example.com", "hostname mismatch"], ["127.0.0.2", "IP address mismatch"]] as const
        ) {
          using link = new Link({ server, client: trusting }, undefined, name);
          assertThrows(() => link.connect(), OpenSslError, "certificate verify failed");
          assertEquals(link.client.verifyResult.reason.toLowerCase(), reason.toLowerCase());
        }
        using other = SslContext.client({ certificateAuthorities: selfSigned().certificate });
        using link = new Link({ server, client: other }, undefined, "localhost");
        assertThrows(() => link.connect(), OpenSslError, "certificate verify failed");
      }),
    );
  });
}

describe("SslConnection", () => {
  it(
    "is not made of the other side's context",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.3");
      assertThrows(() => SslConnection.server(contexts.client), TypeError, "Cannot make a server's connection of a");
      assertThrows(() => SslConnection.client(contexts.server), TypeError, "Cannot make a client's connection of a");
    }),
  );

  it("is not constructed", () => {
    const Constructor = SslConnection as unknown as new (...parameters: unknown[]) => SslConnection;
    assertThrows(() => new Constructor(Symbol("SslConnection"), null), TypeError, "use SslConnection.server()");
  });

  it(
    "refuses a server name with a NUL character, and leaves nothing of the attempt",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.3");
      assertThrows(() => SslConnection.client(contexts.client, { serverName: "a\0b" }), TypeError, "NUL");
      assertThrows(() => SslConnection.client(contexts.client, { serverName: "x".repeat(300) }), TypeError);
    }),
  );

  for (const wrong of [undefined, null, "bytes", 7, [1, 2], new ArrayBuffer(4), { length: 4 }]) {
    it(
      `refuses ${JSON.stringify(wrong)} for bytes`,
      leavingNothing(() => {
        using contexts = new Contexts("TLSv1.3");
        using link = contexts.link().connect();
        const not = wrong as unknown as Uint8Array;
        for (const method of ["pushCiphertext", "pullCiphertext", "read", "write"] as const) {
          assertThrows(() => link.server[method](not), TypeError);
        }
      }),
    );
  }
});
