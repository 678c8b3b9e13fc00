/** What the errors say of files that are no PEM, or not the right one. */

import { assertEquals, assertInstanceOf, assertStringIncludes } from "@std/assert";
import { afterAll, beforeAll, describe, it } from "@std/testing/bdd";
import { Buffer } from "node:buffer";
import { readFileSync, writeFileSync } from "node:fs";
import { type Credentials, listen, selfSigned, SslContext, type SslContextOptions } from "../mod.ts";
import { leavingNothing } from "./counts.ts";
import { openssl } from "./process.ts";
import { TemporaryFolder } from "./server_support.ts";
import { thrownBy } from "./support.ts";

let folder: TemporaryFolder;
let credentials: Credentials;

const file = (name: string) => folder.file(name);
const write = (name: string, content: string | Uint8Array) => {
  writeFileSync(file(name), content);
  return file(name);
};

beforeAll(() => {
  folder = new TemporaryFolder();
  credentials = selfSigned();
  write("cert.pem", credentials.certificate);
  write("key.pem", credentials.privateKey);
  openssl(["x509", "-in", file("cert.pem"), "-outform", "DER", "-out", file("cert.der")]);
  openssl(["pkey", "-in", file("key.pem"), "-outform", "DER", "-out", file("key.der")]);
  openssl(["ec", "-in", file("key.pem"), "-outform", "DER", "-out", file("sec1.der")]);
  const both = ["-in", file("cert.pem"), "-inkey", file("key.pem")];
  openssl(["pkcs12", "-export", ...both, "-passout", "pass:x", "-out", file("both.p12")]);
  openssl(["req", "-new", "-key", file("key.pem"), "-subj", "/CN=x", "-out", file("request.pem")]);
  openssl(["pkey", "-in", file("key.pem"), "-pubout", "-out", file("public.pem")]);
  openssl(["crl2pkcs7", "-nocrl", "-certfile", file("cert.pem"), "-out", file("cert.p7b")]);
  const encrypting = ["-aes128", "-passout", "pass:secret"];
  openssl(["pkey", "-in", file("key.pem"), ...encrypting, "-out", file("encrypted.pem")]);
});
afterAll(() => folder[Symbol.dispose]());

const readOf = (name: string) => new Uint8Array(readFileSync(file(name)));
const utf16 = (text: string, mark: boolean) => new Uint8Array(Buffer.from((mark ? "\ufeff" : "") + text, "utf16le"));
const bigEndian = (text: string) => new Uint8Array(Buffer.from("\ufeff" + text, "utf16le").swap16());

/** What a file of it is, and what the message says of it. */
type Case = readonly [what: string, content: () => string | Uint8Array, says: string];

const anywhere: readonly Case[] = [
  ["an empty file", () => "", "it is empty"],
  ["white space", () => " \n\n", "there is nothing but white space in it"],
  ["UTF-16", () => utf16(credentials.certificate + credentials.privateKey, true), "it is UTF-16 text"],
  ["UTF-16 without a mark", () => utf16(credentials.certificate + credentials.privateKey, false), "it is UTF-16 text"],
  ["UTF-16 the other way", () => bigEndian(credentials.certificate), "it is UTF-16 text"],
  ["PKCS#12", () => readOf("both.p12"), "it is PKCS#12 (.p12, .pfx): make PEM of it, by openssl pkcs12"],
  ["a web page", () => "<!DOCTYPE html>\n<p>404</p>", "it is a web page"],
  ["the name of a file", () => "/etc/ssl/some.pem", "it is the name of a file: give that as "],
  ["other text", () => "hello\nthere\n", "there is no line -----BEGIN …----- in it"],
  ["a picture", () => Uint8Array.from([0x89, 0x50, 0x4e, 0x47, 0, 0, 0, 0x0d]), "it is binary"],
];

const certificates: readonly Case[] = [
  ...anywhere,
  ["DER", () => readOf("cert.der"), "it is binary (DER), a certificate, it seems: make PEM of it, by openssl x509"],
  ["a key in DER", () => readOf("key.der"), "it is binary (DER), a private key"],
  ["literal \\n", () => credentials.certificate.replaceAll("\n", "\\n"), "its line breaks are written as \\n"],
  ["joined lines", () => credentials.certificate.replaceAll("\n", " "), "its lines are joined to one"],
  ["a request", () => readOf("request.pem"), "it is a certificate request"],
  ["the key", () => credentials.privateKey, "it has a private key and no certificate: is the one given in the place"],
  ["an encrypted key", () => readOf("encrypted.pem"), "it has a private key and no certificate"],
  ["PKCS#7", () => readOf("cert.p7b"), "it is PKCS#7"],
  ["a public key", () => readOf("public.pem"), "it is a public key"],
  ["a part", () => credentials.certificate.slice(0, 300), "it ends in the middle"],
  ["bare base64", () => credentials.certificate.replace(/-----.*-----/g, ""), "it is base64 without the lines"],
];

const keys: readonly Case[] = [
  ...anywhere,
  ["DER", () => readOf("key.der"), "it is binary (DER), a private key: make PEM of it, by openssl pkey"],
  ["DER of the old form", () => readOf("sec1.der"), "it is binary (DER), a private key"],
  ["literal \\n", () => credentials.privateKey.replaceAll("\n", "\\n"), "its line breaks are written as \\n"],
  ["the certificate", () => credentials.certificate, "it has a certificate and no private key"],
  ["a public key", () => readOf("public.pem"), "it is a public key"],
  ["a part", () => credentials.privateKey.slice(0, 100), "it ends in the middle"],
  [
    "OpenSSH's",
    () => "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----\n",
    "it is a key of OpenSSH's: convert it, by ssh-keygen",
  ],
];

function message(options: SslContextOptions): string {
  const error = thrownBy(() => SslContext.server(options).dispose());
  assertInstanceOf(error, Error);
  return error.message;
}

for (
  const [what, option, others, cases] of [
    ["certificate", "certificate", () => ({ privateKey: credentials.privateKey }), certificates],
    ["private key", "privateKey", () => ({ certificate: credentials.certificate }), keys],
    ["certificate authorities", "certificateAuthorities", () => ({ ...credentials }), certificates],
  ] as const
) {
  describe(`${option}File`, () => {
    for (const [name, content, says] of cases) {
      it(
        `that is ${name}: the message names the file, says so, and what to do`,
        leavingNothing(() => {
          const path = write("wrong.pem", content());
          const said = message({ ...others(), [`${option}File`]: path });
          assertStringIncludes(said, `Cannot read the ${what} from the file ${path}: ${says}`);
          const given = content();
          if (typeof given !== "string") return;
          assertStringIncludes(message({ ...others(), [option]: given }), `Cannot read the ${what} from PEM: ${says}`);
        }),
      );
    }
  });
}

describe("Files of certificates and keys", () => {
  it(
    "may begin with the mark of UTF-8, have other line ends, and words around the PEM",
    leavingNothing(() => {
      for (
        const change of [
          (pem: string) => `\ufeff${pem}`,
          (pem: string) => pem.replaceAll("\n", "\r\n"),
          (pem: string) => `a comment\n${pem}\n# the end`,
        ]
      ) {
        const certificateFile = write("good.pem", change(credentials.certificate));
        const privateKeyFile = write("good.key", change(credentials.privateKey));
        const certificateAuthoritiesFile = certificateFile;
        using context = SslContext.server({ certificateFile, privateKeyFile, certificateAuthoritiesFile });
        assertEquals(context.serverNames.length, 3);
      }
    }),
  );

  it(
    "of 50 certificates with a damaged one: the message says which",
    leavingNothing(() => {
      const { certificate } = credentials;
      const damaged = certificate.slice(0, 200) + certificate.slice(300);
      const all = Array.from({ length: 50 }, (_, index) => index === 36 ? damaged : certificate);
      const path = write("many.pem", all.join(""));
      const said = `from the file ${path}: number 37 of 50 is damaged`;
      assertStringIncludes(message({ ...credentials, certificateAuthoritiesFile: path }), said);
      const whole = write("chain.pem", certificate + all.join(""));
      assertStringIncludes(message({ certificateFile: whole }), "number 38 of 51 is damaged");
    }),
  );

  it(
    "that do not belong together are both named",
    leavingNothing(() => {
      const other = write("other.key", selfSigned().privateKey);
      const certificateFile = file("cert.pem");
      assertStringIncludes(
        message({ certificateFile, privateKeyFile: other }),
        `Cannot use the private key in ${other}: it does not belong to the certificate in ${certificateFile}`,
      );
    }),
  );

  it(
    "that are encrypted are named, with a wrong passphrase and with none",
    leavingNothing(() => {
      const options = { certificateFile: file("cert.pem"), privateKeyFile: file("encrypted.pem") };
      assertStringIncludes(message(options), `the private key from the file ${file("encrypted.pem")}: it is encrypted`);
      const wrong = message({ ...options, passphrase: "wrong" });
      assertStringIncludes(
        wrong,
        `the private key from the file ${file("encrypted.pem")}, perhaps for a wrong passphrase`,
      );
    }),
  );

  it("are named by listen() too, among several", async () => {
    const path = write("wrong.pem", "hello");
    const certificates = [credentials, { certificateFile: path, privateKeyFile: file("key.pem") }];
    let said = "";
    await listen({ certificates, hostname: "127.0.0.1" }, {}).catch((error) => said = error.message);
    assertStringIncludes(said, `from the file ${path}: there is no line`);
  });
});
