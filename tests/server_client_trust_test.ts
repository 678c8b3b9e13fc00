import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { ClientSessions, connect, type ConnectOptions, OpenSslError, selfSigned, SslContext } from "../mod.ts";
import { validFor } from "./certificate_support.ts";
import { later, visit } from "./client_support.ts";
import { needing } from "./outside_programs.ts";
import { root, runSelf } from "./process.ts";
import { TemporaryFolder, within } from "./server_support.ts";
import { echo, leavingNothingLater, Server } from "./socket_support.ts";
import { credentials, versions } from "./support.ts";

const day = 24 * 3_600_000;

/** Connects in vain; answers what is said of it. */
async function refusal(port: number, options: Partial<ConnectOptions>): Promise<string> {
  const { message } = await assertRejects(
    () => within(connect({ hostname: "127.0.0.1", serverName: "localhost", port, ...options }), "a refusal"),
    OpenSslError,
  );
  return message;
}

describe("connect() and whom it trusts", () => {
  it(
    "refuses a certificate that nobody signed whom the system trusts, and says what can be done",
    leavingNothingLater(async () => {
      using sessions = new ClientSessions();
      await using server = await Server.start(echo);
      assertMatch(
        await refusal(server.port, { sessions }),
        /^The TLS handshake failed: certificate verify failed \(self.signed certificate\): no authority that is trusted here signed the certificate of 127\.0\.0\.1:\d+: give the one that did, if you trust it, as certificateAuthorities$/,
      );
      assertEquals(sessions.size, 0);
    }),
  );

  it(
    "refuses a certificate for another name or address, and says so",
    leavingNothingLater(async () => {
      using sessions = new ClientSessions();
      await using server = await Server.start(echo);
      const trust = { certificateAuthorities: credentials.certificate, sessions };
      for (const serverName of ["example.com", "192.0.2.1"]) {
        assertMatch(
          await refusal(server.port, { ...trust, serverName }),
          new RegExp(
            `mismatch\\): the certificate of 127\\.0\\.0\\.1:\\d+ is not for ${serverName}: connect to a name`,
          ),
        );
      }
      // By default it is the hostname that must be in it.
      await using other = await Server.start(echo, selfSigned(["localhost"]));
      const { certificate } = selfSigned(["localhost"]);
      const untrusted = { hostname: "localhost", port: other.port, certificateAuthorities: certificate, sessions };
      await assertRejects(() => connect(untrusted), OpenSslError, "certificate verify failed");
    }),
  );

  it(
    "verifies again what was made without verification, and does not resume it",
    leavingNothingLater(async () => {
      using sessions = new ClientSessions();
      await using server = await Server.start(echo, selfSigned());
      const options = { hostname: "127.0.0.1", serverName: "localhost", port: server.port, sessions };
      for (const resumed of [false, true]) {
        const socket = await within(connect({ ...options, rejectUnauthorized: false }), "a connection");
        const selfSignedLeaf = 18; // X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT
        assertEquals([socket.isSessionReused(), socket.authorized], [resumed, false]);
        assertEquals(socket.tls.verifyResult.code, selfSignedLeaf);
        const closed = new Promise((resolve) => socket.once("close", resolve));
        socket.once("data", () => socket.end());
        socket.write("hello");
        await within(closed, "the connection to close");
      }
      assert(sessions.size > 0);
      await refusal(server.port, { sessions });
    }),
  );

  it(
    "notices when the file with the authorities has changed",
    leavingNothingLater(async () => {
      using folder = new TemporaryFolder();
      using sessions = new ClientSessions();
      await using server = await Server.start(echo);
      const certificateAuthoritiesFile = folder.file("authorities.pem");
      const options = { hostname: "localhost", port: server.port, sessions };
      const go = async (file: string | URL) => {
        const socket = await within(connect({ ...options, certificateAuthoritiesFile: file }), "a connection");
        const closed = new Promise((resolve) => socket.once("close", resolve));
        socket.once("data", () => socket.end());
        socket.write("hello");
        await within(closed, "the connection to close");
        return socket.isSessionReused();
      };
      writeFileSync(certificateAuthoritiesFile, credentials.certificate);
      assertEquals(await go(certificateAuthoritiesFile), false);
      assertEquals(await go(certificateAuthoritiesFile), true);
      writeFileSync(certificateAuthoritiesFile, selfSigned().certificate);
      await assertRejects(() => go(certificateAuthoritiesFile), OpenSslError, "certificate verify failed");
      // What counts is what is in it.
      writeFileSync(certificateAuthoritiesFile, credentials.certificate);
      assertEquals(await go(pathToFileURL(certificateAuthoritiesFile)), true);
    }),
  );

  it(
    "shows its own certificate, and resumes with it alone",
    leavingNothingLater(async () => {
      using sessions = new ClientSessions();
      const own = selfSigned(["client"]);
      await using server = await Server.start(echo, {
        verify: "require",
        certificateAuthorities: own.certificate,
      });
      assertEquals((await visit(server.port, { sessions, ...own })).resumed, false);
      assertEquals((await visit(server.port, { sessions, ...own })).resumed, true);
      await assertRejects(() => visit(server.port, { sessions }));
      await server.empty();
    }),
  );

  it(
    "leaves out the dot that ends a full name in DNS, when it asks for the name and looks for it in the certificate",
    leavingNothingLater(async () => {
      const asked: (string | undefined)[] = [];
      const names = { "localhost.": "localhost", "example.com.": "example.com", "127.0.0.1": undefined };
      const { certificate, privateKey } = selfSigned(["localhost", "example.com", "127.0.0.1"]);
      await using server = await Server.start(
        (socket) => {
          asked.push(socket.serverName);
          return echo(socket);
        },
        { certificate, privateKey },
      );
      using sessions = new ClientSessions();
      const trust = { sessions, certificateAuthorities: certificate };
      for (const serverName of Object.keys(names)) await visit(server.port, { ...trust, serverName });
      assertEquals(asked, Object.values(names));

      const misnamed = /the certificate of 127\.0\.0\.1:\d+ is not for example\.org: connect to a name/;
      assertMatch(await refusal(server.port, { ...trust, serverName: "example.org." }), misnamed);
      // Without its dot it is no name, and any certificate would do.
      for (const serverName of [".", ""]) {
        const options = { ...trust, hostname: "127.0.0.1", port: server.port, serverName };
        await assertRejects(() => connect(options), TypeError, "Cannot connect without a server name");
      }
    }),
  );

  it(
    "takes a context or the options of one",
    leavingNothingLater(async () => {
      using sessions = new ClientSessions();
      using context = SslContext.client();
      const options = { context, hostname: "localhost", port: 1 };
      await assertRejects(
        () => connect({ ...options, verify: "none", groups: "P-256" }),
        TypeError,
        "Cannot connect with a context and with verify, groups: leave out one or the other",
      );
      await assertRejects(() => connect({ ...options, sessions }), TypeError, "with sessions: ");
      await assertRejects(
        () => connect({ ...options, context: {} as SslContext }),
        TypeError,
        "Cannot use the option context with connect(): it takes an SslContext, not an object",
      );
      await assertRejects(
        () => connect({ hostname: "localhost", port: 1, sessions: {} as ClientSessions }),
        TypeError,
        "it takes ClientSessions, or false for none, not an object",
      );
    }),
  );
});

const programs = needing(["openssl"], "openssl");
programs.describe("connect() and the time that certificates are valid for", () => {
  programs.it(
    "refuses a certificate that has expired, and one that is not valid yet",
    leavingNothingLater(async () => {
      using sessions = new ClientSessions();
      const times = [
        [-2, -1, "has expired: renew it, or set this machine's clock"],
        [1, 2, "is not valid yet: set the clock of this machine"],
      ] as const;
      for (const [from, to, remedy] of times) {
        const made = validFor(new Date(Date.now() + from * day), new Date(Date.now() + to * day));
        await using server = await Server.start(echo, made);
        const message = await refusal(server.port, { sessions, certificateAuthorities: made.certificate });
        assert(message.includes(`the certificate of 127.0.0.1:${server.port} ${remedy}`), message);
      }
    }),
  );

  for (const version of versions) {
    programs.it(
      `does not resume once the server's certificate has expired, with ${version}`,
      leavingNothingLater(async () => {
        using sessions = new ClientSessions();
        const made = validFor(new Date(Date.now() - day), new Date(Date.now() + 1_800_000));
        await using server = await Server.start(echo, { ...made, sessionTimeout: 7200 });
        const options = {
          sessions,
          certificateAuthorities: made.certificate,
          minVersion: version,
          maxVersion: version,
        };
        await visit(server.port, options);
        await later(1_700_000, async () => assertEquals((await visit(server.port, options)).resumed, true));
        await later(1_900_000, async () => assertEquals((await visit(server.port, options)).resumed, false));
      }),
    );
  }
});

describe("connect() with nothing but where to", () => {
  const client = `
    import { closeLibrary, connect } from "${root}mod.ts";
    import process from "node:process";
    const said = [];
    for (let n = 0; n < 3; n++) {
      try {
        const socket = await connect({ hostname: "localhost", port: Number(process.env.PORT) });
        said.push(socket.isSessionReused());
        const closed = new Promise((resolve) => socket.once("close", resolve));
        socket.once("data", () => socket.end());
        socket.write("hello");
        await closed;
      } catch (error) {
        said.push(error.message);
      }
    }
    if (said.at(-1) === true) {
      closeLibrary();
      closeLibrary();
      // A library that is opened again begins with no sessions.
      const socket = await connect({ hostname: "localhost", port: Number(process.env.PORT) });
      said.push(socket.isSessionReused());
      socket.destroy();
      await new Promise((resolve) => socket.once("close", resolve));
      closeLibrary();
    }
    console.log(JSON.stringify(said));
  `;

  it(
    "trusts whom the system trusts, keeps sessions, and lets the library be closed",
    leavingNothingLater(async () => {
      using folder = new TemporaryFolder();
      await using server = await Server.start(echo);
      const file = folder.file("authorities.pem");
      writeFileSync(file, credentials.certificate);
      const { stdout, stderr } = await runSelf(client, { SSL_CERT_FILE: file, PORT: String(server.port) });
      assertEquals({ stdout, stderr }, { stdout: "[false,true,true,false]\n", stderr: "" });
    }),
  );

  it(
    "trusts nobody else, and refuses what the system's authorities have not signed",
    leavingNothingLater(async () => {
      await using server = await Server.start(echo);
      const { stdout, stderr } = await runSelf(client, { SSL_CERT_FILE: undefined, PORT: String(server.port) });
      assertEquals(stderr, "");
      const said = JSON.parse(stdout);
      assertEquals(said.length, 3);
      for (const message of said) assertMatch(message, /certificate verify failed .*localhost:\d+/);
      assertNotEquals(server.errors.length, 0);
    }),
  );
});
