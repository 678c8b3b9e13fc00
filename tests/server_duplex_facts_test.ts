import { assert, assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import { selfSigned, type SslContextOptions, type TlsDuplex } from "../mod.ts";
import { within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording, Server } from "./socket_support.ts";
import { bytes, credentials, versions } from "./support.ts";

const own = selfSigned();

/** All that frameworks ask a connection for, except for what a closed one does not have. */
function factsOf(stream: TlsDuplex) {
  const { encrypted, authorized, authorizationError, alpnProtocol, servername } = stream;
  const { remoteAddress, remotePort, remoteFamily } = stream;
  return {
    ...{ encrypted, authorized, authorizationError, alpnProtocol, servername, remoteAddress, remotePort, remoteFamily },
    protocol: stream.getProtocol(),
    cipher: stream.getCipher(),
    reused: stream.isSessionReused(),
    certificate: stream.getPeerCertificate(),
    x509: stream.getPeerX509Certificate()?.raw,
  };
}

for (const version of versions) {
  describe(`${version}: what a TlsDuplex says of its connection`, () => {
    /** One visit: what the server's stream says while it is open, and when it is closed. */
    async function visit(
      server: SslContextOptions,
      client: SslContextOptions,
      look: (stream: TlsDuplex, other: Client) => void = () => {},
    ) {
      const streams: TlsDuplex[] = [];
      await using listening = await Server.startStreams((stream) => {
        streams.push(stream);
        stream.on("data", (data) => stream.end(data));
      }, server);
      using other = new Client({ version, ...client });
      const recording = new Recording();
      const socket = await other.connect(listening.port, recording.handlers);
      socket.write(bytes("hello"));
      await recording.bytes(5);
      const [stream] = streams;
      const open = factsOf(stream!);
      look(stream!, other);
      await within(recording.closed, "the connection to close");
      await listening.empty();
      assertEquals(factsOf(stream!), open);
      return { open, stream: stream! };
    }

    it(
      "is what node:tls says, and stays when the connection is closed",
      leavingNothingLater(async () => {
        const { open, stream } = await visit({ alpnProtocols: ["http/1.1"] }, { alpnProtocols: ["http/1.1"] });
        const { cipher, remotePort, ...rest } = open;
        assert(remotePort > 0);
        assertEquals(cipher.version, version);
        assertMatch(cipher.standardName, /^TLS_/);
        assertEquals(rest, {
          encrypted: true,
          authorized: false,
          authorizationError: null,
          alpnProtocol: "http/1.1",
          servername: "localhost",
          remoteAddress: "127.0.0.1",
          remoteFamily: "IPv4",
          protocol: version,
          reused: false,
          certificate: {} as typeof rest.certificate,
          x509: undefined,
        });
        assertEquals([stream.bytesRead, stream.bytesWritten], [5, 5]);
        assertEquals([stream.connecting, stream.pending, stream.secureConnecting], [false, true, false]);
        assertEquals(stream.readyState, "closed");
        assertEquals(stream.address(), {});
        assertStrictEquals(stream.setNoDelay().setKeepAlive(true, 1000).ref().unref(), stream);
      }),
    );

    it(
      "is false where no ALPN was agreed on",
      leavingNothingLater(async () => {
        const { open } = await visit({}, {});
        assertEquals(open.alpnProtocol, false);
      }),
    );

    it(
      "has its own address, the session and keying material while the connection is open",
      leavingNothingLater(async () => {
        const { stream } = await visit({}, {}, (stream) => {
          const { localAddress: address, localFamily: family, localPort: port } = stream;
          assertEquals([address, family], ["127.0.0.1", "IPv4"]);
          assert(address && family && port && port !== stream.remotePort);
          assertEquals(stream.address(), { address, family, port });
          const session = stream.getSession()!;
          assert(Buffer.isBuffer(session) && session.length > 50);
          const material = stream.exportKeyingMaterial(32, "EXPORTER-test", bytes("context"));
          assert(Buffer.isBuffer(material));
          assertEquals(material, stream.exportKeyingMaterial(32, "EXPORTER-test", bytes("context")));
        });
        assertEquals(stream.getSession(), null);
        assertThrows(() => stream.exportKeyingMaterial(32, "EXPORTER-test"), Error, "connection");
      }),
    );

    it(
      "authorizes a client whose certificate is trusted, and shows it in both forms",
      leavingNothingLater(async () => {
        const server = { verify: "require", certificateAuthorities: own.certificate } as const;
        const { open, stream } = await visit(server, own);
        assertEquals([open.authorized, open.authorizationError], [true, null]);
        const x509 = new X509Certificate(own.certificate);
        assertEquals(open.x509, x509.raw);
        const { certificate } = open;
        assertEquals({ ...certificate.subject }, { CN: "localhost" });
        assertEquals({ ...certificate.issuer }, { CN: "localhost" });
        assertMatch(certificate.subjectaltname!, /^DNS:localhost, IP Address:127\.0\.0\.1/);
        assertEquals(certificate.valid_from, x509.validFrom);
        assertEquals(certificate.valid_to, x509.validTo);
        assertEquals(certificate.fingerprint, x509.fingerprint);
        assertEquals(certificate.fingerprint256, x509.fingerprint256);
        assertEquals(certificate.fingerprint512, x509.fingerprint512);
        assertEquals(certificate.serialNumber, x509.serialNumber);
        assertEquals(certificate.ca, x509.ca);
        assert(Buffer.isBuffer(certificate.raw) && certificate.raw.equals(x509.raw));
        assert(Buffer.isBuffer(certificate.pubkey));
        assertEquals([certificate.bits, certificate.nistCurve], [256, "P-256"]);
        const detailed = stream.getPeerCertificate(true) as { issuerCertificate?: unknown };
        // It has signed itself, but is no authority: node:tls names no issuer then.
        assertEquals(detailed.issuerCertificate, undefined);
      }),
    );

    it(
      "does not authorize a client whose certificate is not trusted, and says why",
      leavingNothingLater(async () => {
        const trust = { certificateAuthorities: credentials.certificate, rejectUnauthorized: false };
        const { open } = await visit({ verify: "request", ...trust }, own);
        assertEquals([open.authorized, open.authorizationError], [false, "DEPTH_ZERO_SELF_SIGNED_CERT"]);
        assertEquals(open.certificate.fingerprint, new X509Certificate(own.certificate).fingerprint);
      }),
    );

    it(
      "does not authorize a client without a certificate where one was asked for",
      leavingNothingLater(async () => {
        const server = { verify: "request", certificateAuthorities: own.certificate } as const;
        const { open } = await visit(server, {});
        assertEquals([open.authorized, open.authorizationError], [false, "UNABLE_TO_GET_ISSUER_CERT"]);
        assertEquals(Object.keys(open.certificate), []);
      }),
    );
  });
}
