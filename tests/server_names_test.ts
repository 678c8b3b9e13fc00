import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import {
  ClientSessions,
  connect,
  type Credentials,
  listen,
  OpenSslError,
  selfSigned,
  type TlsServerOptions,
} from "../mod.ts";
import { nameOnly } from "./certificate_support.ts";
import { sClient } from "./curl_support.ts";
import { TemporaryFolder, within } from "./server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { versions } from "./support.ts";

/** Says what the client asked for, and ends. */
const saying = {
  open: (socket: { serverName: string | undefined; end(bytes: Uint8Array): void }) =>
    socket.end(new TextEncoder().encode(`${socket.serverName}\n`)),
};

/** A server on all addresses that connections are made to here. */
const start = (options: TlsServerOptions, hostname = "127.0.0.1") => listen({ hostname, ...options }, saying);

/** What a server says, and the subject of its certificate. */
async function visit(options: Parameters<typeof connect>[0]): Promise<{ said: string; subject: string }> {
  const socket = await within(connect(options), "a connection");
  const { subject } = socket.tls.peerCertificate!;
  let said = "";
  for await (const bytes of socket) said += String(bytes);
  socket.end();
  return { said: said.trim(), subject };
}

const subjectOf = async (port: number, name: string) => {
  const { output } = await sClient(port, ["-servername", name]);
  return /^subject=CN = (.*)$/m.exec(output)?.[1];
};

describe("Names that clients ask for", () => {
  it(
    "lead to their certificate in each form, and to the first where they are none",
    leavingNothingLater(async () => {
      const certificates = ["first.example", "bücher.example", "*.wild.example", "127.0.0.1"];
      await using server = await start({ certificates: certificates.map((name) => selfSigned([name])) });
      for (
        const [asked, subject] of [
          ["XN--Bcher-KVA.example", "xn--bcher-kva.example"],
          ["xn--bcher-kva.example.", "xn--bcher-kva.example"],
          ["A.WILD.example.", "*.wild.example"],
          ["a..wild.example", "first.example"],
          [".wild.example", "first.example"],
          ["127.0.0.1", "127.0.0.1"],
          ["1.0.0.1", "first.example"],
        ]
      ) {
        assertEquals([asked, await subjectOf(server.port, asked!)], [asked, subject]);
      }
    }),
  );

  for (const version of versions) {
    it(
      `are one name to a stored session in each form, and two names are two, with ${version}`,
      leavingNothingLater(async () => {
        const names = ["localhost", "other.example"];
        await using server = await start({ ...selfSigned(names) });
        using folder = new TemporaryFolder();
        const file = folder.file("session.pem");
        const protocol = version === "TLSv1.3" ? "-tls1_3" : "-tls1_2";
        for (
          const [asked, session] of [
            ["LocalHost", "Reused"],
            ["localhost.", "Reused"],
            ["other.example", "New"],
            ["a b", "New"],
          ] as const
        ) {
          await sClient(server.port, [protocol, "-servername", "localhost", "-sess_out", file]);
          const report = await sClient(server.port, [protocol, "-servername", asked, "-sess_in", file]);
          assertEquals([asked, report.session], [asked, session]);
        }
      }),
    );
  }
});

describe("connect()", () => {
  it(
    "goes to a name in ASCII, and verifies and asks for it in that form",
    leavingNothingLater(async () => {
      const { certificate, privateKey } = selfSigned(["bücher.localhost", "::1", "127.0.0.1"]);
      await using server = await start({ certificate, privateKey });
      using sessions = new ClientSessions();
      const common = { port: server.port, certificateAuthorities: certificate, sessions };
      const expected = "xn--bcher-kva.localhost";
      for (const serverName of ["Bücher.localhost", "BÜCHER.LOCALHOST.", "xn--BCHER-kva.localhost"]) {
        const { said, subject } = await visit({ ...common, hostname: "127.0.0.1", serverName });
        assertEquals([said, subject], [expected, `CN=${expected}`]);
      }
      // There is no such address, and the name that was looked for is the one in ASCII.
      await assertRejects(
        () => connect({ ...common, hostname: "bücher.invalid" }),
        Error,
        "Cannot connect to xn--bcher-kva.invalid:",
      );
    }),
  );

  it(
    "takes an address with a zone, and verifies it without",
    leavingNothingLater(async () => {
      const { certificate, privateKey } = selfSigned(["::1"]);
      await using server = await start({ certificate, privateKey }, "::1");
      using sessions = new ClientSessions();
      for (const hostname of ["::1%lo", "::1", "[::1]", "0:0::1"]) {
        const { said } = await visit({ hostname, port: server.port, certificateAuthorities: certificate, sessions });
        assertEquals(said, "undefined");
      }
    }),
  );

  it(
    "refuses what is no name before it connects to anything",
    leavingNothingLater(async () => {
      for (
        const [hostname, serverName, message] of [
          ["a..b", undefined, 'the hostname "a..b": it has an empty label'],
          ["localhost", "a b", 'the serverName "a b": a label takes letters'],
          ["localhost\0.example", undefined, "it has a NUL character"],
          ["x".repeat(64), undefined, "a label has 64 characters, and 63 at most"],
        ] as const
      ) {
        const options = { hostname, port: 1, ...(serverName && { serverName }) };
        const error = await assertRejects(() => connect(options), TypeError);
        assertStringIncludes(error.message, "Cannot connect with ");
        assertStringIncludes(error.message, message);
      }
    }),
  );

  it(
    "says that the chain does not hold before it says that the name is another's, where it lets all pass",
    leavingNothingLater(async () => {
      const ours = selfSigned(["one.example"]);
      await using server = await start({ ...ours });
      using sessions = new ClientSessions();
      const common = { hostname: "127.0.0.1", port: server.port, sessions, rejectUnauthorized: false };
      const foreign = selfSigned(["another.example"]).certificate;
      for (
        const [certificateAuthorities, serverName, verdict] of [
          [ours.certificate, "one.example", null],
          [ours.certificate, "two.example", "ERR_TLS_CERT_ALTNAME_INVALID"],
          [foreign, "one.example", "DEPTH_ZERO_SELF_SIGNED_CERT"],
          [foreign, "two.example", "DEPTH_ZERO_SELF_SIGNED_CERT"],
        ] as const
      ) {
        const socket = await connect({ ...common, certificateAuthorities, serverName });
        assertEquals([serverName, socket.authorizationError], [serverName, verdict]);
        socket.destroy();
      }
      const error = await assertRejects(
        () =>
          connect({
            ...common,
            rejectUnauthorized: true,
            certificateAuthorities: ours.certificate,
            serverName: "two.example",
          }),
        OpenSslError,
      );
      assertStringIncludes(error.message, "is not for two.example");
    }),
  );
});

describe("Certificates without alternative names", () => {
  it(
    "are chosen by their common names",
    leavingNothingLater(async () => {
      const certificates = [nameOnly("one.example"), nameOnly("Two.example"), selfSigned(["three.example"])];
      await using server = await start({ certificates });
      assertEquals(await subjectOf(server.port, "one.example"), "one.example");
      assertEquals(await subjectOf(server.port, "two.example"), "Two.example");
      assertEquals(await subjectOf(server.port, "three.example"), "three.example");
    }),
  );

  it(
    "whose common names are none of a host's serve as the first, and are refused as another",
    leavingNothingLater(async () => {
      const unnamed: Credentials = nameOnly("My server");
      const named = selfSigned(["one.example"]);
      {
        await using server = await start({ certificates: [unnamed, named] });
        assertEquals(await subjectOf(server.port, "any.example"), "My server");
        assertEquals(await subjectOf(server.port, "one.example"), "one.example");
      }
      for (const certificates of [[named, unnamed], [unnamed, nameOnly("Another server")]]) {
        await assertRejects(
          () => start({ certificates }),
          TypeError,
          "Cannot choose the certificate number 2 by a name: it has none that a client could ask for",
        );
      }
    }),
  );

  it(
    "of one name with keys of one type are refused by that name",
    leavingNothingLater(async () => {
      await assertRejects(
        () => start({ certificates: [nameOnly("one.example"), nameOnly("one.example")] }),
        TypeError,
        "Cannot use two certificates with keys of one type for one.example",
      );
    }),
  );
});
