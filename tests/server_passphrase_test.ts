import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { readFileSync, writeFileSync } from "node:fs";
import { listen, OpenSslError, selfSigned, serve, type ServeOptions, type Server } from "../mod.ts";
import { curl } from "./curl_support.ts";
import { openssl } from "./process.ts";
import { TemporaryFolder } from "./server_support.ts";
import { Client, leavingNothingLater } from "./socket_support.ts";

/** A certificate for a name, and its key encrypted with a passphrase. */
function encrypted(name: string, passphrase: string): { certificate: string; privateKey: string; passphrase: string } {
  using folder = new TemporaryFolder();
  const { certificate, privateKey } = selfSigned([name]);
  writeFileSync(folder.file("plain.key"), privateKey);
  const [from, to] = [folder.file("plain.key"), folder.file("encrypted.key")];
  openssl(["pkcs8", "-topk8", "-in", from, "-out", to, "-v2", "aes-256-cbc", "-passout", `pass:${passphrase}`]);
  return { certificate, privateKey: readFileSync(to, "utf8"), passphrase };
}

const hostname = "127.0.0.1";

const kinds: [string, (options: ServeOptions) => Promise<Server>][] = [
  ["listen()", (options) => listen({ hostname, ...options }, {})],
  ["serve()", (options) => serve({ hostname, ...options }, () => new Response("hello"))],
];

/** The name in the certificate that a server shows to who asks for this name. */
async function shown(server: Server, serverName: string): Promise<string> {
  using client = new Client({ verify: "none" });
  const socket = await client.connect(server.port, {}, { serverName });
  try {
    return socket.peerCertificate!.subject;
  } finally {
    socket.destroy();
  }
}

for (const [name, start] of kinds) {
  describe(`${name} with an encrypted private key`, () => {
    it(
      "takes it with its passphrase, as text and in a file that is read again",
      leavingNothingLater(async () => {
        using folder = new TemporaryFolder();
        const { certificate, privateKey, passphrase } = encrypted("first.example", "the passphrase of the key");
        await using asText = await start({ certificate, privateKey, passphrase });
        assertEquals(await shown(asText, "first.example"), "CN=first.example");

        const write = ({ certificate, privateKey }: { certificate: string; privateKey: string }) => {
          writeFileSync(folder.file("cert.pem"), certificate);
          writeFileSync(folder.file("key.pem"), privateKey);
        };
        write({ certificate, privateKey });
        const files = { certificateFile: folder.file("cert.pem"), privateKeyFile: folder.file("key.pem") };
        await using inFiles = await start({ ...files, passphrase });
        assertEquals(await shown(inFiles, "first.example"), "CN=first.example");
        write(encrypted("second.example", passphrase));
        await inFiles.reload();
        assertEquals(await shown(inFiles, "first.example"), "CN=second.example");
        // One of another passphrase is refused, and what there was stays.
        write(encrypted("third.example", "another"));
        await assertRejects(() => inFiles.reload(), OpenSslError, "perhaps for a wrong passphrase");
        assertEquals(await shown(inFiles, "first.example"), "CN=second.example");
      }),
    );

    it(
      "takes several, each with its own",
      leavingNothingLater(async () => {
        const certificates = [encrypted("one.example", "one"), encrypted("two.example", "two")];
        await using server = await start({ certificates });
        const names = ["one.example", "two.example"];
        const subjects = [];
        for (const name of names) subjects.push(await shown(server, name));
        assertEquals(subjects, ["CN=one.example", "CN=two.example"]);
      }),
    );

    it(
      "refuses it with another passphrase, or none, and says neither",
      leavingNothingLater(async () => {
        const { passphrase: _right, ...credentials } = encrypted("localhost", "the right one");
        const wrong = () => start({ ...credentials, passphrase: "the wrong one" });
        const error = await assertRejects(wrong, OpenSslError, "perhaps for a wrong passphrase");
        assertEquals(/the (right|wrong) one/.test(`${error.message} ${error.stack}`), false);
        await assertRejects(() => start(credentials), TypeError, "it is encrypted, and no passphrase was given");
      }),
    );
  });
}

describe("curl and serve() with an encrypted private key", () => {
  it(
    "verify the certificate, and speak",
    leavingNothingLater(async () => {
      using folder = new TemporaryFolder();
      const credentials = encrypted("localhost", "secret");
      writeFileSync(folder.file("ca.pem"), credentials.certificate);
      await using server = await serve({ ...credentials, hostname }, () => new Response("hello"));
      const resolve = ["--resolve", `localhost:${server.port}:${hostname}`];
      const url = `https://localhost:${server.port}/`;
      assertEquals(await curl("--cacert", folder.file("ca.pem"), ...resolve, url), "hello");
    }),
  );
});
