import { assertEquals, assertInstanceOf, assertMatch, assertThrows } from "@std/assert";
import { afterAll, beforeAll, describe, it } from "@std/testing/bdd";
import { Buffer } from "node:buffer";
import { createHash, X509Certificate } from "node:crypto";
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import {
  type CertificateOptions,
  type Credentials,
  OpenSslError,
  selfSigned,
  SslConnection,
  SslContext,
  type SslContextOptions,
} from "../mod.ts";
import { cString } from "../ffi/memory.ts";
import { contextPointer } from "../ssl/context.ts";
import { derElements } from "../ssl/der.ts";
import { library } from "../ssl/library.ts";
import { serverNamesIn } from "../ssl/server_names.ts";
import { Authority, type KeyType } from "./authority.ts";
import { leavingNothing } from "./counts.ts";
import { TemporaryFolder } from "./server_support.ts";
import { hex, Link, thrownBy, versions } from "./support.ts";

const names = ["localhost", "*.Example.com", "10.0.0.1", "fe80::1"];
const signatures: Record<KeyType, string> = {
  RSA: "RSA-PSS+SHA256:RSA+SHA256",
  EC: "ECDSA+SHA256",
  Ed25519: "ed25519",
};

let root: Authority;
let middle: Authority;
let other: Authority;
let certificates: Record<KeyType, Credentials>;

/** A client that takes signatures of one type of key, or of several. */
function clientFor(types: readonly KeyType[], options: SslContextOptions = {}): SslContext {
  const client = SslContext.client({ certificateAuthorities: root.chain, ...options });
  const setSignatures = 98; // SSL_CTRL_SET_SIGALGS_LIST
  const list = cString(types.map((type) => signatures[type]).join(":"));
  assertEquals(Number(library().ssl.SSL_CTX_ctrl_buffer(contextPointer(client), setSignatures, 0, list)), 1);
  return client;
}

/** The type of the key that a server shows to a client that verifies its chain. */
function shown(server: SslContext, client: SslContext): string {
  using link = new Link({ server, client }, undefined, "localhost").connect();
  assertEquals(link.client.verifyResult.code, 0);
  const { publicKey } = link.client.peerCertificate!;
  link.close();
  return publicKey.asymmetricKeyType!;
}

/** The session id context that a server derives. */
function idContext(options: SslContextOptions): string {
  using context = SslContext.server(options);
  using connection = SslConnection.server(context);
  return hex(connection.sessionIdContext);
}

describe("a context with several certificates", () => {
  beforeAll(() => {
    root = new Authority("root");
    middle = new Authority("middle", root);
    other = new Authority("other", middle);
    certificates = {
      RSA: middle.issue(names, "RSA"),
      EC: other.issue(names, "EC"),
      Ed25519: root.issue(names, "Ed25519"),
    };
  });
  afterAll(() => {
    for (const authority of [root, middle, other]) authority[Symbol.dispose]();
  });

  for (const version of versions) {
    it(
      `${version}: shows the one that the client can do with, with its own chain`,
      leavingNothing(() => {
        const { RSA, EC, Ed25519 } = certificates;
        for (const order of [[RSA, EC, Ed25519], [Ed25519, EC, RSA], [EC, Ed25519, RSA]] as const) {
          using server = SslContext.server({
            ...order[0],
            moreCertificates: order.slice(1),
            minVersion: version,
            maxVersion: version,
          });
          for (const [type, name] of [["RSA", "rsa"], ["EC", "ec"], ["Ed25519", "ed25519"]] as const) {
            using client = clientFor([type]);
            assertEquals(shown(server, client), name);
          }
        }
        // What it does not have it cannot show.
        using server = SslContext.server({ ...RSA, minVersion: version, maxVersion: version });
        using client = clientFor(["EC"]);
        using link = new Link({ server, client });
        assertInstanceOf(thrownBy(() => link.connect()), OpenSslError);
      }),
    );
  }

  it(
    "takes each as text or from files",
    leavingNothing(() => {
      using folder = new TemporaryFolder();
      writeFileSync(folder.file("ec.pem"), certificates.EC.certificate + certificates.EC.privateKey);
      for (const certificateFile of [folder.file("ec.pem"), pathToFileURL(folder.file("ec.pem"))]) {
        using server = SslContext.server({ ...certificates.RSA, moreCertificates: [{ certificateFile }] });
        using client = clientFor(["EC"]);
        assertEquals(shown(server, client), "ec");
      }
    }),
  );

  it(
    "refuses two of one type, and what is not whole",
    leavingNothing(() => {
      const { RSA, EC } = certificates;
      for (const moreCertificates of [[EC, RSA], [RSA], [EC, selfSigned()], [EC, EC]]) {
        const error = thrownBy(() => SslContext.server({ ...RSA, moreCertificates }));
        assertInstanceOf(error, TypeError);
        assertMatch(
          (error as Error).message,
          /^Cannot use two certificates with keys of one type for localhost,.*: a context has one for each$/,
        );
      }
      const wrong: [SslContextOptions, string][] = [
        [{ ...RSA, moreCertificates: [{}] }, "Cannot use more certificates: one of them is not given"],
        [{ moreCertificates: [EC] }, "Cannot use more certificates: one of them is not given"],
        [{ ...RSA, moreCertificates: [{ privateKey: EC.privateKey }] }, "a private key without its certificate"],
      ];
      for (const [options, message] of wrong) assertThrows(() => SslContext.server(options), TypeError, message);
      // Also where the key belongs to the other certificate, whose place it would find.
      const mixedUp: CertificateOptions = { certificate: EC.certificate, privateKey: RSA.privateKey };
      assertThrows(
        () => SslContext.server({ ...RSA, moreCertificates: [mixedUp] }),
        OpenSslError,
        "it does not belong to the certificate",
      );
      using none = SslContext.server({ moreCertificates: [] });
      assertEquals(none.serverNames, []);
    }),
  );

  it(
    "derives the session id context of the names, however many certificates have them",
    leavingNothing(() => {
      const { RSA, EC, Ed25519 } = certificates;
      const one = idContext(RSA);
      assertEquals(idContext({ ...RSA, moreCertificates: [EC] }), one);
      assertEquals(idContext({ ...EC, moreCertificates: [RSA, Ed25519] }), one);
      const more = { moreCertificates: [RSA] };
      const different = idContext({ ...selfSigned(["other"]), ...more });
      assertEquals(different === one, false);
      assertEquals(idContext({ ...RSA, moreCertificates: [selfSigned(["other"])] }), different);
      // As it always was for one certificate: a renewal, or a new version of this library, changes nothing.
      const der = alternativeNames(new X509Certificate(RSA.certificate));
      const hash = createHash("sha256").update(`openssl-sessions\0names ${der.length}\0`).update(der);
      assertEquals(one, hash.digest("hex"));
    }),
  );
});

/** The content of a certificate's alternative names: what follows the extension's object identifier, 2.5.29.17. */
function alternativeNames(certificate: X509Certificate): Uint8Array {
  const raw = Buffer.from(certificate.raw);
  const at = raw.indexOf(Buffer.from("0603551d11", "hex")) + 5;
  return new Uint8Array(derElements(raw.subarray(at, at + 2 + raw[at + 1]!))![0]!.content);
}

describe("SslContext.serverNames", () => {
  it(
    "are the names and addresses of all certificates, once each",
    leavingNothing(() => {
      const every = ["localhost", "*.example.com", "10.0.0.1", "fe80::1"];
      using one = SslContext.server(selfSigned(names));
      assertEquals(one.serverNames, every);
      assertThrows(() => (one.serverNames as string[]).push("more"), TypeError);
      using none = SslContext.server();
      assertEquals(none.serverNames, []);
      using client = SslContext.client(selfSigned(["me"]));
      assertEquals(client.serverNames, ["me"]);
      using foreign = SslContext.fromPointer(contextPointer(one));
      assertEquals(foreign.serverNames, every);
      one.dispose();
      assertEquals(one.serverNames, every);
    }),
  );

  it(
    "are those of several certificates together",
    leavingNothing(() => {
      using authority = new Authority("root");
      const rsa = authority.issue(["localhost", "rsa.example.com"], "RSA");
      using context = SslContext.server({ ...rsa, moreCertificates: [selfSigned(["localhost", "ec.example.com"])] });
      assertEquals(context.serverNames, ["localhost", "rsa.example.com", "ec.example.com"]);
    }),
  );

  it("come from DER as it should be, and from none else", () => {
    const read = (text: string) => serverNamesIn(new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex")));
    assertEquals(read("30 03 82 01 41"), ["a"]);
    assertEquals(read("30 81 03 82 01 41"), ["a"]);
    assertEquals(read("30 0b 81 01 41 87 04 7f 00 00 01 86 00"), ["127.0.0.1"]);
    assertEquals(read(`30 12 87 10 ${"00".repeat(15)}01`), ["::1"]);
    const long = "612e".repeat(128);
    assertEquals(read(`30 81 fe 82 81 fb ${long.slice(0, 502)}`), ["a.".repeat(126).slice(0, -1)]);
    assertEquals(read(`30 82 0102 82 81 ff ${long.slice(0, 510)}`), []);
    // The subject, which stands in where there are no alternative names.
    assertEquals(read("30 0e 31 0c 30 0a 06 03 55 04 03 0c 03 61 62 63"), ["abc"]);
    for (
      const damaged of [
        "",
        "30",
        "30 05 82 01 41",
        "30 80 82 01 41 00 00",
        "30 03 82 05 41",
        "30 85 0100000000",
        "31 03 82 01 41",
      ]
    ) {
      assertEquals(read(damaged), [], damaged);
    }
    assertEquals(read("30 05 87 03 01 02 03"), []);
  });
});
