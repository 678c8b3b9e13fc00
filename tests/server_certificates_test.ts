import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { type Credentials, listen, OpenSslError, selfSigned, type Server, SslContext } from "../mod.ts";
import { Authority } from "./authority.ts";
import { sClient } from "./curl_support.ts";
import { run } from "./curl_support.ts";
import { openssl } from "./process.ts";
import { TemporaryFolder, until, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording } from "./socket_support.ts";
import { bytes } from "./support.ts";

/** Answers whatever it is sent, and ends. */
const answering = { data: (socket: { end(bytes: Uint8Array): void }) => socket.end(bytes("answer")) };

/** The name in the certificate that a client gets, and whether it resumed. */
async function visit(client: Client, server: Server, serverName?: string, session?: Client["sessions"][number]) {
  const recording = new Recording();
  const socket = await client.connect(server.port, recording.handlers, {
    ...(serverName && { serverName }),
    ...(session && { session }),
  });
  const subject = socket.peerCertificate!.subject.replace(/^CN=/, "");
  const { isResumed } = socket;
  socket.write(bytes("hello"));
  await within(recording.closed, "the connection to close");
  return { subject, isResumed };
}

function write(folder: TemporaryFolder, { certificate, privateKey }: Credentials): void {
  writeFileSync(folder.file("key.pem"), privateKey);
  writeFileSync(folder.file("cert.pem"), certificate);
}

describe("A server with certificates for several names", () => {
  const names = [["one.example"], ["*.two.example", "two.example"], ["three.example"]];

  it(
    "chooses by the name that the client asks for",
    leavingNothingLater(async () => {
      const certificates = names.map((names) => selfSigned(names));
      await using server = await listen({ certificates, hostname: "127.0.0.1" }, answering);
      using client = new Client({ verify: "none" });
      const asked = ["one.example", "TWO.example", "a.two.example", "a.b.two.example", "three.example", "four.example"];
      const got = [];
      for (const name of asked) got.push((await visit(client, server, name)).subject);
      const [one, two, three] = ["one.example", "*.two.example", "three.example"];
      assertEquals(got, [one, two, two, one, three, one]);
    }),
  );

  it(
    "resumes under the name that a session was made with, and no other",
    leavingNothingLater(async () => {
      const certificates = names.map((names) => selfSigned(names));
      await using server = await listen({ certificates, hostname: "127.0.0.1" }, answering);
      for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
        using client = new Client({ verify: "none", version });
        for (const [name, resumes] of [["three.example", true], ["one.example", false]] as const) {
          await visit(client, server, "three.example");
          const { isResumed } = await visit(client, server, name, client.sessions.at(-1)!);
          assertEquals([version, name, isResumed], [version, name, resumes]);
        }
      }
    }),
  );

  it(
    "has RSA beside ECDSA for the same names",
    leavingNothingLater(async () => {
      using authority = new Authority("an authority");
      const certificates = [authority.issue(["localhost"], "EC"), authority.issue(["localhost"], "RSA")];
      await using server = await listen({ certificates, hostname: "127.0.0.1" }, answering);
      for (
        const [algorithm, type] of [["ecdsa_secp256r1_sha256", "id-ecPublicKey"], [
          "rsa_pss_rsae_sha256",
          "rsaEncryption",
        ]]
      ) {
        const { output } = await sClient(server.port, ["-sigalgs", algorithm!, "-showcerts"]);
        const pem = /-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/.exec(output)![0];
        using folder = new TemporaryFolder();
        writeFileSync(folder.file("cert.pem"), pem);
        assertMatch(openssl(["x509", "-noout", "-text", "-in", folder.file("cert.pem")]), new RegExp(type!));
      }
    }),
  );
});

describe("A server's reload()", () => {
  it(
    "gives new connections the new certificate, and leaves old ones and their sessions be",
    leavingNothingLater(async () => {
      await using server = await listen({ ...selfSigned(["localhost"]), hostname: "127.0.0.1" }, {
        data: (socket, bytes) => void socket.write(bytes),
      });
      using client = new Client({ verify: "none" });
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      const before = socket.peerCertificate!.fingerprint256;
      socket.write(bytes("one "));
      await recording.bytes(4);
      await server.reload(selfSigned(["localhost"]));
      const other = await client.connect(server.port, {});
      assertEquals(other.peerCertificate!.fingerprint256 === before, false);
      other.end();
      // The name is the same, so that the session is still good.
      const again = await client.connect(server.port, {}, { session: client.sessions[0]! });
      assertEquals(again.isResumed, true);
      again.end();
      socket.write(bytes("two"));
      assertEquals(new TextDecoder().decode(await recording.bytes(7)), "one two");
      socket.end();
      await within(recording.closed, "the connection to close");
    }),
  );

  it(
    "keeps what there was where the new one cannot be used",
    leavingNothingLater(async () => {
      await using server = await listen({ ...selfSigned(["localhost"]), hostname: "127.0.0.1" }, answering);
      using client = new Client({ verify: "none" });
      const { certificate } = selfSigned(["other.example"]);
      const { privateKey } = selfSigned(["another.example"]);
      await assertRejects(() => server.reload({ certificate, privateKey }), OpenSslError, "Cannot use the private key");
      const certificateFile = "/nowhere.pem";
      await assertRejects(() => server.reload({ certificateFile }), Error, "Cannot read the certificate file");
      assertEquals((await visit(client, server)).subject, "localhost");
    }),
  );

  it(
    "is refused where the server has a context of its own, and after its end",
    leavingNothingLater(async () => {
      using context = SslContext.server(selfSigned());
      await using own = await listen({ context, hostname: "127.0.0.1" }, answering);
      await assertRejects(() => own.reload(), TypeError, "Cannot reload certificates");
      const server = await listen({ ...selfSigned(), hostname: "127.0.0.1" }, answering);
      await server.close();
      await assertRejects(() => server.reload(), Error, "Cannot reload certificates: the server is closed");
    }),
  );

  it(
    "drops no connection under load",
    leavingNothingLater(async () => {
      const names = ["localhost", "other.example"];
      const certificates = () => names.map((name) => selfSigned([name]));
      const errors: Error[] = [];
      const options = {
        certificates: certificates(),
        hostname: "127.0.0.1",
        onError: (error: Error) => void errors.push(error),
      };
      await using server = await listen(options, answering);
      using client = new Client({ verify: "none" });
      let isOver = false;
      let visits = 0;
      const load = names.map(async (name) => {
        while (!isOver) {
          assertEquals((await visit(client, server, name)).subject, name);
          visits++;
        }
      });
      for (let reloads = 1; reloads <= 20; reloads++) {
        const goal = visits + 3;
        await until(() => visits >= goal, "visits");
        await server.reload({ certificates: certificates() });
      }
      isOver = true;
      await Promise.all(load);
      assertEquals(errors, []);
    }),
  );
});

describe("A server that watches its files", () => {
  /** A server on files of a folder, and the subject that it shows now. */
  async function watching(
    test: (files: {
      folder: TemporaryFolder;
      errors: Error[];
      shows: (name: string) => Promise<void>;
    }) => Promise<void>,
  ): Promise<void> {
    using folder = new TemporaryFolder();
    write(folder, selfSigned(["first.example"]));
    const errors: Error[] = [];
    await using server = await listen({
      certificateFile: folder.file("cert.pem"),
      privateKeyFile: folder.file("key.pem"),
      hostname: "127.0.0.1",
      watch: 10,
      onError: (error) => void errors.push(error),
    }, answering);
    using client = new Client({ verify: "none" });
    await test({
      folder,
      errors,
      shows: async (name) => {
        const end = performance.now() + 8000;
        for (let got = ""; got !== name;) {
          if (performance.now() > end) throw new Error(`It shows ${got}, and not ${name}`);
          got = (await visit(client, server)).subject;
        }
      },
    });
  }

  it(
    "shows what was written into them, and renamed onto them",
    leavingNothingLater(() =>
      watching(async ({ folder, errors, shows }) => {
        await shows("first.example");
        write(folder, selfSigned(["second.example"]));
        await shows("second.example");
        const { certificate, privateKey } = selfSigned(["third.example"]);
        writeFileSync(folder.file("new.pem"), certificate);
        writeFileSync(folder.file("new.key"), privateKey);
        renameSync(folder.file("new.pem"), folder.file("cert.pem"));
        renameSync(folder.file("new.key"), folder.file("key.pem"));
        await shows("third.example");
        assertEquals(errors.filter(({ message }) => !/does not belong/.test(message)), []);
      })
    ),
  );

  it(
    "shows what a symbolic link leads to",
    leavingNothingLater(() =>
      watching(async ({ folder, shows }) => {
        const { certificate, privateKey } = selfSigned(["linked.example"]);
        writeFileSync(folder.file("both.pem"), certificate + privateKey);
        for (const name of ["cert.pem", "key.pem"]) {
          rmSync(folder.file(name));
          symlinkSync("both.pem", folder.file(name));
        }
        await shows("linked.example");
      })
    ),
  );

  it(
    "tells of files that cannot be used, keeps the old, and recovers",
    leavingNothingLater(() =>
      watching(async ({ folder, errors, shows }) => {
        await shows("first.example");
        const good = readFileSync(folder.file("cert.pem"));
        writeFileSync(folder.file("cert.pem"), "nonsense");
        await until(() => errors.length > 0, "the error");
        assertMatch(errors[0]!.message, /^Cannot reload the certificates: /);
        await shows("first.example");
        writeFileSync(folder.file("cert.pem"), good);
        write(folder, selfSigned(["recovered.example"]));
        await shows("recovered.example");
      })
    ),
  );
});

describe("A server's other files", () => {
  it(
    "staple an OCSP response",
    leavingNothingLater(async () => {
      using authority = new Authority("an authority");
      using folder = new TemporaryFolder();
      const credentials = authority.issue(["localhost"]);
      writeFileSync(folder.file("response.der"), authority.ocspResponse(credentials.certificate));
      const ocspResponseFile = folder.file("response.der");
      await using server = await listen({ ...credentials, ocspResponseFile, hostname: "127.0.0.1" }, answering);
      const isStapled = async () => {
        const { output } = await sClient(server.port, ["-status"]);
        return /OCSP Response Status: successful/.test(output);
      };
      assertEquals(await isStapled(), true);
      // A new one alone keeps the certificate.
      await server.reload({ ocspResponseFile });
      assertEquals(await isStapled(), true);
    }),
  );

  it(
    "log keys for Wireshark where that is asked for",
    leavingNothingLater(async () => {
      using folder = new TemporaryFolder();
      const keylogFile = folder.file("keys.log");
      await using server = await listen({ ...selfSigned(), keylogFile, hostname: "127.0.0.1" }, answering);
      await run("curl", ["-sk", `https://127.0.0.1:${server.port}/`]);
      assertMatch(readFileSync(keylogFile, "utf8"), /^CLIENT_TRAFFIC_SECRET_0 [0-9a-f]{64} [0-9a-f]+$/m);
    }),
  );
});
