import { assertEquals, assertInstanceOf, assertStringIncludes, assertThrows } from "@std/assert";
import { afterAll, beforeAll, describe, it } from "@std/testing/bdd";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { OpenSslError, selfSigned, SslContext, type SslContextOptions } from "../mod.ts";
import { leavingNothing } from "./counts.ts";
import { openssl } from "./process.ts";
import { credentials, Link, thrownBy } from "./support.ts";

let folder = "";
const path = (name: string) => join(folder, name);
const read = (name: string) => readFileSync(path(name), "utf8");

/** A root, an authority below it, and a server below that, with keys of several kinds. */
function makeCertificates(): void {
  folder = mkdtempSync(join(tmpdir(), "openssl-sessions-"));
  const subject = (name: string) => ["-subj", `/CN=${name}`];
  const ca = ["-addext", "basicConstraints=critical,CA:TRUE"];
  openssl([
    ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", ...subject("root"), ...ca],
    ...["-keyout", path("root.key"), "-out", path("root.pem")],
  ]);
  for (
    const [name, issuer, extension] of [
      ["middle", "root", "basicConstraints=critical,CA:TRUE"],
      ["leaf", "middle", "subjectAltName=DNS:localhost"],
    ] as const
  ) {
    writeFileSync(path(`${name}.ext`), extension);
    openssl([
      "req",
      "-newkey",
      "rsa:2048",
      "-nodes",
      ...subject(name),
      "-keyout",
      path(`${name}.key`),
      "-out",
      path(`${name}.csr`),
    ]);
    openssl([
      ...[
        "x509",
        "-req",
        "-days",
        "30",
        "-in",
        path(`${name}.csr`),
        "-extfile",
        path(`${name}.ext`),
        "-CAcreateserial",
      ],
      ...["-CA", path(`${issuer}.pem`), "-CAkey", path(`${issuer}.key`), "-out", path(`${name}.pem`)],
    ]);
  }
  writeFileSync(path("chain.pem"), read("leaf.pem") + read("middle.pem"));
  writeFileSync(path("all.pem"), read("leaf.pem") + read("middle.pem") + read("leaf.key"));
  openssl(["pkcs8", "-topk8", "-in", path("leaf.key"), "-passout", "pass:secret", "-out", path("pkcs8.key")]);
  openssl([
    "rsa",
    "-traditional",
    "-aes128",
    "-in",
    path("leaf.key"),
    "-passout",
    "pass:secret",
    "-out",
    path("old.key"),
  ]);
}

/** Shakes hands; answers the server's name by its certificate, or what went wrong. */
function connect(server: SslContextOptions, client: SslContextOptions): string {
  using serverContext = SslContext.server(server);
  using clientContext = SslContext.client(client);
  using link = new Link({ server: serverContext, client: clientContext }, undefined, "localhost");
  const error = thrownBy(() => link.connect());
  const { verifyResult } = link.client;
  if (!(error as Error).message.includes("Nothing was thrown")) return verifyResult.reason;
  const { subject } = link.client.peerCertificate!;
  const shown = link.server.peerCertificate?.subject;
  link.close();
  return shown ? `${subject} to ${shown}` : subject;
}

describe("SslContext's certificate and key", () => {
  beforeAll(makeCertificates);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it(
    "are taken as text and from files by path and URL, with the chain",
    leavingNothing(() => {
      const trusting = { certificateAuthorities: read("root.pem") };
      for (
        const server of [
          { certificate: read("chain.pem"), privateKey: read("leaf.key") },
          { certificate: read("all.pem") },
          { certificateFile: path("chain.pem"), privateKeyFile: path("leaf.key") },
          { certificateFile: pathToFileURL(path("all.pem")) },
          { certificateFile: path("chain.pem"), privateKey: read("leaf.key") },
        ]
      ) {
        assertEquals(connect(server, trusting), "CN=leaf");
        assertEquals(connect(server, { certificateAuthoritiesFile: path("root.pem") }), "CN=leaf");
      }
      // Without the chain, there is no way from the leaf to the root.
      assertStringIncludes(
        connect({ certificate: read("leaf.pem"), privateKey: read("leaf.key") }, trusting),
        "unable to get local issuer certificate",
      );
      // One of several authorities will do.
      const several = { certificateAuthorities: credentials.certificate + read("root.pem") };
      assertEquals(connect({ certificate: read("all.pem") }, several), "CN=leaf");
    }),
  );

  it(
    "are taken encrypted, with the right passphrase alone",
    leavingNothing(() => {
      for (const name of ["pkcs8.key", "old.key"]) {
        const server = { certificate: read("chain.pem"), privateKey: read(name) };
        const trusting = { certificateAuthorities: read("root.pem") };
        assertEquals(connect({ ...server, passphrase: "secret" }, trusting), "CN=leaf");
        for (const passphrase of ["wrong", "", "secret "]) {
          const error = thrownBy(() => SslContext.server({ ...server, passphrase }));
          assertInstanceOf(error, OpenSslError);
          assertStringIncludes((error as Error).message, "perhaps for a wrong passphrase");
          assertEquals((error as Error).message.includes("secret"), false);
        }
        assertThrows(() => SslContext.server(server), TypeError, "it is encrypted, and no passphrase was given");
      }
    }),
  );

  it(
    "must belong together",
    leavingNothing(() => {
      const { privateKey } = selfSigned();
      for (const other of [privateKey, read("middle.key")]) {
        const error = thrownBy(() => SslContext.server({ certificate: read("chain.pem"), privateKey: other }));
        assertInstanceOf(error, OpenSslError);
        assertStringIncludes((error as Error).message, "it does not belong to the certificate");
      }
      assertThrows(() => SslContext.server({ privateKey }), TypeError, "without its certificate");
    }),
  );

  it(
    "must be PEM",
    leavingNothing(() => {
      const certificate = read("leaf.pem");
      const damaged = certificate.slice(0, 200) + certificate.slice(300);
      for (const text of ["", "no PEM", read("leaf.key"), damaged]) {
        const error = thrownBy(() => SslContext.server({ certificate: text, privateKey: read("leaf.key") }));
        assertInstanceOf(error, OpenSslError);
        assertStringIncludes((error as Error).message, "Cannot read the certificate from PEM");
      }
      assertThrows(
        () => SslContext.server({ certificate: certificate + damaged, privateKey: read("leaf.key") }),
        OpenSslError,
        "number 2 of 2 is damaged",
      );
      for (const privateKey of ["", "no PEM", certificate]) {
        const error = thrownBy(() => SslContext.server({ certificate, privateKey }));
        assertInstanceOf(error, OpenSslError);
        assertStringIncludes((error as Error).message, "Cannot read the private key from PEM");
      }
      assertThrows(() => SslContext.server({ certificate }), OpenSslError, "Cannot read the private key");
      assertThrows(
        () => SslContext.client({ certificateAuthorities: "none" }),
        OpenSslError,
        "Cannot read the certificate authorities from PEM",
      );
    }),
  );

  it(
    "must be there, and in one place",
    leavingNothing(() => {
      for (const option of ["certificateFile", "privateKeyFile", "certificateAuthoritiesFile"] as const) {
        const missing = path("missing.pem");
        const error = thrownBy(() =>
          SslContext.server({
            ...(option === "privateKeyFile" ? { certificate: read("leaf.pem") } : {}),
            [option]: missing,
          })
        );
        assertStringIncludes((error as Error).message, "Cannot read the ");
        assertStringIncludes((error as Error).message, missing);
        assertInstanceOf((error as Error).cause, Error);
      }
      assertThrows(
        () => SslContext.server({ certificate: "text", certificateFile: path("leaf.pem") }),
        TypeError,
        "Cannot use both a certificate and a certificate file: give one",
      );
      assertThrows(
        () => SslContext.server({ ...credentials, privateKeyFile: path("leaf.key") }),
        TypeError,
        "Cannot use both a private key and a private key file: give one",
      );
    }),
  );

  it(
    "of a client are asked for, and verified, as verify says",
    leavingNothing(() => {
      const server = { ...credentials, maxVersion: "TLSv1.2" as const, certificateAuthorities: read("root.pem") };
      const client = { verify: "none" as const };
      const known = { ...client, certificate: read("all.pem") };
      const unknown = { ...client, ...selfSigned(["stranger"]) };
      assertEquals(connect({ ...server, verify: "none" }, known), "CN=localhost");
      assertEquals(connect({ ...server, verify: "request" }, known), "CN=localhost to CN=leaf");
      assertEquals(connect({ ...server, verify: "request" }, client), "CN=localhost");
      assertEquals(connect({ ...server, verify: "require" }, known), "CN=localhost to CN=leaf");
      for (const verify of ["request", "require"] as const) {
        using serverContext = SslContext.server({ ...server, verify });
        using clientContext = SslContext.client(unknown);
        using link = new Link({ server: serverContext, client: clientContext });
        assertThrows(() => link.connect(), OpenSslError, "certificate verify failed");
      }
      using serverContext = SslContext.server({ ...server, verify: "require" });
      using clientContext = SslContext.client(client);
      using link = new Link({ server: serverContext, client: clientContext });
      assertThrows(() => link.connect(), OpenSslError, "peer did not return a certificate");
      assertThrows(
        () => SslContext.server({ ...credentials, verify: "maybe" as "none" }),
        RangeError,
        'it takes one of "none", "request", "require", not "maybe"',
      );
    }),
  );

  it(
    "of a server are required to be trusted by clients that say nothing else",
    leavingNothing(() => {
      assertStringIncludes(connect(credentials, {}), "self");
      assertEquals(connect(credentials, { verify: "none" }), "CN=localhost");
      assertEquals(connect(credentials, { certificateAuthorities: credentials.certificate }), "CN=localhost");
    }),
  );
});

describe("selfSigned()", () => {
  it("is good for the names that it is given", () => {
    const names = ["example.com", "*.example.com", "10.0.0.1", "fe80::1"];
    const { certificate } = selfSigned(names);
    const text = openssl(["x509", "-noout", "-text"], certificate);
    assertStringIncludes(text, "Subject: CN = example.com");
    assertStringIncludes(
      text,
      "DNS:example.com, DNS:*.example.com, IP Address:10.0.0.1, IP Address:FE80:0:0:0:0:0:0:1",
    );
    assertStringIncludes(text, "CA:FALSE");
    assertStringIncludes(text, "id-ecPublicKey");
    assertEquals(certificate === selfSigned(names).certificate, false);
  });

  it("refuses what is no name", () => {
    for (const names of [[], [""], ["a b"], ["localhost", "x,DNS:evil"], ["a\0"]]) {
      assertThrows(() => selfSigned(names), TypeError, "give host names or IP addresses");
    }
  });
});
