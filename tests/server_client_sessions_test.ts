import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { writeFileSync } from "node:fs";
import { connect as connectTcp, createServer, type Server as TcpServer, type Socket } from "node:net";
import {
  ClientSessions,
  connect,
  type ConnectOptions,
  ReleasedError,
  selfSigned,
  type Server as Listener,
  SslContext,
  type SslContextOptions,
  SslOption,
  TlsDuplex,
  type TlsServerOptions,
} from "../mod.ts";
import { listenSockets } from "../server/listen.ts";
import { contextsOf, sessionsOfWholeProgram } from "../server/client_sessions.ts";
import { Authority } from "./authority.ts";
import { later, visit } from "./client_support.ts";
import { TemporaryFolder, within } from "./server_support.ts";
import { Client, echo, leavingNothingLater, Recording, Server } from "./socket_support.ts";
import { bytes, credentials, versions } from "./support.ts";

const hour = 3_600_000;

/** A server without a cache: its sessions are tickets, two of them after a full handshake with TLS 1.3. */
class PlainServer {
  readonly context: SslContext;
  readonly listener: Listener;

  private constructor(context: SslContext, listener: Listener) {
    this.context = context;
    this.listener = listener;
  }

  static async start(context: SslContextOptions = {}, options: TlsServerOptions = {}): Promise<PlainServer> {
    const sslContext = SslContext.server({ ...credentials, ...context });
    return new PlainServer(
      sslContext,
      await listenSockets({ context: sslContext, hostname: "127.0.0.1", onError: () => {}, ...options }, echo),
    );
  }

  get port(): number {
    return this.listener.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await within(this.listener.close(), "the server to close");
    this.context.dispose();
  }
}

/** Passes bytes on to a server, and says something to the client in between when it is told to. */
class Relay {
  readonly #server: TcpServer = createServer();
  #client: Socket | undefined;

  static async start(port: number): Promise<Relay> {
    const relay = new Relay();
    relay.#server.on("connection", (client) => {
      relay.#client = client;
      const server = connectTcp({ port, host: "127.0.0.1" });
      server.on("error", () => {}).on("close", () => client.destroy()).pipe(client);
      client.on("error", () => {}).on("close", () => server.destroy()).pipe(server);
    });
    await within(new Promise<void>((resolve) => relay.#server.listen(0, "127.0.0.1", resolve)), "a relay");
    return relay;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  say(bytes: Uint8Array): void {
    this.#client!.write(bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await within(new Promise((resolve) => this.#server.close(resolve)), "the relay to close");
  }
}

for (const version of versions) {
  const only = { minVersion: version, maxVersion: version } as const;
  const isSingleUse = version === "TLSv1.3";

  describe(`${version}: connect() and the sessions it keeps`, () => {
    it(
      "resumes by itself, on a server with a cache and on one with tickets",
      leavingNothingLater(async () => {
        using sessions = new ClientSessions();
        await using cached = await Server.start(echo);
        await using plain = await PlainServer.start();
        for (const { port } of [cached, plain]) {
          const visits = [];
          for (let n = 0; n < 4; n++) visits.push(await visit(port, { ...only, sessions }));
          assertEquals(visits, [false, true, true, true].map((resumed) => ({ resumed, protocol: version })));
        }
        assertEquals(sessions.size, isSingleUse ? 3 : 2);
      }),
    );

    it(
      "answers an event-driven socket where there are handlers",
      leavingNothingLater(async () => {
        using sessions = new ClientSessions();
        await using server = await Server.start(echo);
        const options = { hostname: "localhost", port: server.port, sessions, ...only };
        for (const resumed of [false, true]) {
          const recording = new Recording();
          const trust = { certificateAuthorities: credentials.certificate };
          const socket = await within(connect({ ...options, ...trust }, recording.handlers), "a connection");
          assertEquals([socket instanceof TlsDuplex, socket.isResumed, socket.protocol], [false, resumed, version]);
          assertEquals(socket.peerCertificate!.toString(), credentials.certificate);
          assertEquals(socket.verifyResult, { code: 0, name: "OK", reason: "ok" });
          socket.write(bytes("hello"));
          await recording.bytes(5);
          socket.end();
          assertEquals(await within(recording.closed, "the connection to close"), undefined);
        }
      }),
    );

    it(
      "keeps none with sessions: false, and offers none",
      leavingNothingLater(async () => {
        using sessions = new ClientSessions();
        await using server = await Server.start(echo);
        await visit(server.port, { ...only, sessions });
        const { size } = sessions;
        assertEquals((await visit(server.port, { ...only, sessions: false })).resumed, false);
        assertEquals((await visit(server.port, { ...only, sessions: false })).resumed, false);
        assertEquals([size, sessions.size], [1, 1]);
        // That took a context of the whole program's, which is given back here for the count's sake.
        sessionsOfWholeProgram().clear();
      }),
    );

    it(
      "keeps none for a context of the user's, whose callbacks stay as they are",
      leavingNothingLater(async () => {
        await using server = await Server.start(echo);
        using client = new Client({ version });
        assertEquals((await visit(server.port, { context: client.context })).resumed, false);
        assertEquals(client.sessions.length, 1);
        assertEquals((await visit(server.port, { context: client.context })).resumed, false);
        assertEquals(client.sessions.length, 2);
      }),
    );

    it(
      `uses a session ${isSingleUse ? "once" : "as often as there are connections"}, also by parallel ones`,
      leavingNothingLater(async () => {
        using sessions = new ClientSessions();
        await using server = await Server.start(echo);
        await visit(server.port, { ...only, sessions });
        assertEquals(sessions.size, 1);
        const five = Array.from({ length: 5 }, () => visit(server.port, { ...only, sessions }));
        const resumed = (await Promise.all(five)).filter(({ resumed }) => resumed);
        assertEquals([resumed.length, sessions.size], isSingleUse ? [1, 4] : [5, 1]);
        // No id was ever proposed twice where that must not be.
        assertEquals(server.cache.stats().hits, isSingleUse ? 1 : 5);
      }),
    );

    it(
      "offers an explicit session in place of a kept one, and keeps nothing that rests on it",
      leavingNothingLater(async () => {
        using sessions = new ClientSessions();
        await using server = await Server.start(echo);
        using client = new Client({ version });
        await client.visit(server.port);
        const session = client.sessions[0]!;
        assertEquals((await visit(server.port, { ...only, sessions, session })).resumed, true);
        assertEquals([sessions.size, session.isReleased], [0, false]);
        assertEquals((await visit(server.port, { ...only, sessions })).resumed, false);
      }),
    );

    it(
      "does with a full handshake where the server does not know the session any more",
      leavingNothingLater(async () => {
        using sessions = new ClientSessions();
        let port = 0;
        for (let n = 0; n < 2; n++) {
          await using server = await Server.start(echo, {}, { port });
          port = server.port;
          assertEquals((await visit(port, { ...only, sessions })).resumed, false);
          assertEquals((await visit(port, { ...only, sessions })).resumed, true);
          assertEquals(sessions.size, 1);
        }
      }),
    );

    it(
      "forgets a TLS 1.2 session that was not accepted, also where no other takes its place",
      leavingNothingLater(async () => {
        using sessions = new ClientSessions();
        let port = 0;
        {
          await using server = await Server.start(echo);
          port = server.port;
          await visit(port, { ...only, sessions });
        }
        await using none = await PlainServer.start(
          { sessionCacheMode: 0, options: SslOption.NoTicket, numTickets: 0 },
          {
            port,
          },
        );
        assertEquals((await visit(none.port, { ...only, sessions })).resumed, false);
        assertEquals(sessions.size, 0);
      }),
    );

    it(
      "forgets the session when the handshake that offers it fails, and not when the server cannot be reached",
      leavingNothingLater(async () => {
        using sessions = new ClientSessions();
        let port = 0;
        {
          await using server = await Server.start(echo);
          port = server.port;
          await visit(port, { ...only, sessions });
        }
        await assertRejects(() => visit(port, { ...only, sessions }), Error, "refused");
        assertEquals(sessions.size, 1);
        await using _other = await PlainServer.start(selfSigned(), { port });
        await assertRejects(() => visit(port, { ...only, sessions }), Error, "certificate verify failed");
        assertEquals(sessions.size, 0);
      }),
    );

    it(
      "does not use a session after its time, the server's word for it among the reasons",
      leavingNothingLater(async () => {
        using sessions = new ClientSessions();
        await using server = await PlainServer.start({ sessionTimeout: 3600 });
        await visit(server.port, { ...only, sessions });
        await later(hour / 2, async () => assert((await visit(server.port, { ...only, sessions })).resumed));
        const { size } = sessions;
        await later(hour + 60_000, async () => {
          // Another server's session shows that these have gone, which nobody asked for any more.
          await using other = await PlainServer.start();
          await visit(other.port, { ...only, sessions });
          assertEquals([size, sessions.size], isSingleUse ? [2, 2] : [1, 1]);
          assertEquals((await visit(server.port, { ...only, sessions })).resumed, false);
        });
      }),
    );

    it(
      "does not use a line of sessions for more than seven days after the certificate was verified",
      leavingNothingLater(async () => {
        using sessions = new ClientSessions();
        await using server = await PlainServer.start({ sessionTimeout: 30 * 24 * 3600 });
        const options = { ...only, sessions };
        await visit(server.port, options);
        // With TLS 1.3 the ticket that this brings is a new one.
        await later(5 * 24 * hour, async () => assert((await visit(server.port, options)).resumed));
        await later(6.9 * 24 * hour, async () => assert((await visit(server.port, options)).resumed));
        await later(7.1 * 24 * hour, async () => assert(!(await visit(server.port, options)).resumed));
      }),
    );

    it(
      "has bounds: servers in all, the least recently used going first, and sessions for each",
      leavingNothingLater(async () => {
        using sessions = new ClientSessions({ maxServers: 2, maxSessionsPerServer: 3 });
        await using server = await PlainServer.start();
        const go = (serverName: string) => visit(server.port, { ...only, sessions, serverName });
        await Promise.all(Array.from({ length: 4 }, () => go("localhost")));
        assertEquals(sessions.size, isSingleUse ? 3 : 1);
        assertEquals((await go("127.0.0.1")).resumed, false);
        assertEquals((await go("localhost")).resumed, true);
        assertEquals((await go("::1")).resumed, false);
        assertEquals((await go("localhost")).resumed, true);
        assertEquals((await go("127.0.0.1")).resumed, false);
      }),
    );

    it(
      "gives all back by clear(), and keeps on; by dispose(), for good",
      leavingNothingLater(async () => {
        const sessions = new ClientSessions();
        await using server = await PlainServer.start();
        const options = { ...only, sessions, hostname: "localhost", port: server.port };
        await visit(server.port, options);
        assert(sessions.size > 0);
        sessions.clear();
        assertEquals(sessions.size, 0);
        assertEquals((await visit(server.port, options)).resumed, false);
        assertEquals((await visit(server.port, options)).resumed, true);
        // A connection that is there goes on, and what it is given is not kept any more.
        const trust = { certificateAuthorities: credentials.certificate };
        const recording = new Recording();
        const socket = await within(connect({ ...options, ...trust }, recording.handlers), "a connection");
        sessions.dispose();
        sessions.dispose();
        socket.write(bytes("hello"));
        await recording.bytes(5);
        socket.end();
        await within(recording.closed, "the connection to close");
        assertEquals(sessions.size, 0);
        await assertRejects(() => connect({ ...options, ...trust }), ReleasedError, "Cannot use this ClientSessions");
      }),
    );

    it(
      "may be disposed in the middle of a handshake, by its own callback",
      leavingNothingLater(async () => {
        const sessions = new ClientSessions();
        await using server = await PlainServer.start();
        let lines = 0;
        const keylog = () => {
          lines++;
          sessions.dispose();
        };
        assertEquals(await visit(server.port, { ...only, sessions, keylog }), { resumed: false, protocol: version });
        assert(lines > 0);
        assertEquals(sessions.size, 0);
      }),
    );

    it(
      "calls the keylog of each connection, though they share a context",
      leavingNothingLater(async () => {
        using sessions = new ClientSessions();
        await using server = await PlainServer.start();
        const lines: string[] = [];
        for (const name of ["first", "second"]) {
          await visit(server.port, { ...only, sessions, keylog: () => void lines.push(name) });
        }
        assertEquals([...new Set(lines)], ["first", "second"]);
        const before = lines.length;
        await visit(server.port, { ...only, sessions });
        assertEquals(lines.length, before);
      }),
    );
  });

  describe(`${version}: a session is never offered to another server, name, ALPN list or trust`, () => {
    const certificateAuthority = selfSigned(["authority"]);
    const variations: Record<string, (other: Listener) => Partial<ConnectOptions>> = {
      "another port": ({ port }) => ({ port }),
      "another hostname": () => ({ hostname: "localhost" }),
      "another server name": () => ({ serverName: "127.0.0.1" }),
      "ALPN": () => ({ alpnProtocols: ["http/1.1"] }),
      "another order of ALPN": () => ({ alpnProtocols: ["http/1.1", "h2"] }),
      "verification turned off": () => ({ verify: "none" }),
      "a refusal turned off": () => ({ rejectUnauthorized: false }),
      "more authorities": () => ({
        certificateAuthorities: credentials.certificate + certificateAuthority.certificate,
      }),
      "a certificate of its own": () => selfSigned(["client"]),
      "another newest version": () => version === "TLSv1.2" ? { minVersion: "TLSv1.1" } : { minVersion: "TLSv1.2" },
      "another cipher list": () => ({ cipherList: "ECDHE+AESGCM" }),
      "other cipher suites": () => ({ cipherSuites: "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384" }),
      "other groups": () => ({ groups: "P-256" }),
      "other options": () => ({ options: SslOption.NoRenegotiation }),
      "a keylog": () => ({ keylog: () => {} }),
    };
    for (const [name, vary] of Object.entries(variations)) {
      it(
        name,
        leavingNothingLater(async () => {
          using sessions = new ClientSessions();
          await using own = await PlainServer.start();
          // It would accept the same sessions: it has the same keys.
          const other = await listenSockets({ context: own.context, hostname: "127.0.0.1" }, echo);
          try {
            const varied = { ...only, sessions, ...vary(other) };
            await visit(own.port, { ...only, sessions });
            assertEquals((await visit(own.port, varied)).resumed, false);
            // Each resumes with its own.
            assertEquals((await visit(own.port, varied)).resumed, true);
            assertEquals((await visit(own.port, { ...only, sessions })).resumed, true);
          } finally {
            await within(other.close(), "the other server to close");
          }
        }),
      );
    }

    it(
      "other ClientSessions",
      leavingNothingLater(async () => {
        using sessions = new ClientSessions();
        using others = new ClientSessions();
        await using server = await PlainServer.start();
        await visit(server.port, { ...only, sessions });
        assertEquals((await visit(server.port, { ...only, sessions: others })).resumed, false);
        assertEquals((await visit(server.port, { ...only, sessions })).resumed, true);
      }),
    );
  });
}

describe("ClientSessions", () => {
  it("refuses bounds that are none", () => {
    for (const options of [{ maxServers: 0 }, { maxSessionsPerServer: 1.5 }, { maxServers: NaN }]) {
      const [name] = Object.keys(options);
      assertThrows(() => new ClientSessions(options), RangeError, `Cannot use the option ${name} with`);
    }
  });

  it(
    "shares a context among equal options, and keeps no more than 32",
    leavingNothingLater(async () => {
      using sessions = new ClientSessions();
      await using server = await PlainServer.start();
      const contexts = contextsOf(sessions);
      const first = contexts.get({ groups: "P-256", verify: "none", alpnProtocols: ["h2"] });
      assertEquals(contexts.get({ alpnProtocols: ["h2"], verify: "none", groups: "P-256" }).context, first.context);
      for (let n = 0; n < 32; n++) contexts.get({ verify: "none", alpnProtocols: [`protocol ${n}`] });
      assertThrows(() => first.context.sessionTimeout, ReleasedError);
      // What was given up is made anew, and its sessions are still good.
      const options = { sessions, verify: "none" } as const;
      await visit(server.port, options);
      for (let n = 0; n < 32; n++) contexts.get({ verify: "none", alpnProtocols: [`protocol ${n}`] });
      assertEquals((await visit(server.port, options)).resumed, true);
    }),
  );

  it(
    "tells contexts apart by what is in their files, in each of them",
    leavingNothingLater(async () => {
      using sessions = new ClientSessions();
      using folder = new TemporaryFolder();
      using authority = new Authority("an authority");
      await using server = await PlainServer.start();
      const contexts = contextsOf(sessions);
      const [ec, other] = [authority.issue(["a client"]), authority.issue(["a client"])];
      const [rsa, renewed] = [authority.issue(["a client"], "RSA"), authority.issue(["a client"], "RSA")];
      const file = (name: string) => folder.file(name);
      const options = {
        ...ec,
        verify: "none",
        moreCertificates: [{ certificateFile: file("cert.pem"), privateKeyFile: file("key.pem") }],
      } as const;
      const write = ({ certificate, privateKey }: typeof rsa) => {
        writeFileSync(file("cert.pem"), certificate);
        writeFileSync(file("key.pem"), privateKey);
      };
      write(rsa);
      const { context, key } = contexts.get(options);
      assertEquals(contexts.get(options).context === context, true);
      await visit(server.port, { ...options, sessions });
      write(renewed);
      const changed = contexts.get(options);
      assertEquals([changed.context === context, changed.key === key], [false, false]);
      // Sessions of before are another client's.
      assertEquals((await visit(server.port, { ...options, sessions })).resumed, false);
      assertEquals((await visit(server.port, { ...options, sessions })).resumed, true);
      write(rsa);
      assertEquals(contexts.get(options).context === context, true);
      // The same wherever it is written.
      const inline = contexts.get({ ...options, moreCertificates: [rsa] });
      assertEquals(inline.context === context, true);
      assertEquals(contexts.get({ ...options, ...other }).context === context, false);
      writeFileSync(file("ca.pem"), authority.chain);
      const trusting = { certificateAuthoritiesFile: file("ca.pem") };
      const trusted = contexts.get(trusting).context;
      assertEquals(contexts.get({ certificateAuthorities: authority.chain }).context === trusted, true);
      writeFileSync(file("ca.pem"), authority.chain + ec.certificate);
      assertEquals(contexts.get(trusting).context === trusted, false);
    }),
  );

  it(
    "keeps no context of options that OpenSSL refuses",
    leavingNothingLater(async () => {
      using sessions = new ClientSessions();
      await assertRejects(() => visit(1, { sessions, cipherList: "none such" }), Error, "Cannot set the cipher list");
      await assertRejects(() => visit(1, { sessions, certificateFile: "/no/such.pem" }), Error, "Cannot read the cert");
    }),
  );

  it(
    "lets the last ticket of a broken connection go",
    leavingNothingLater(async () => {
      using sessions = new ClientSessions();
      await using server = await Server.start(echo);
      await visit(server.port, { sessions });
      assertEquals(sessions.size, 1);
      // A client whose server breaks the protocol, once the ticket has come.
      const trust = { certificateAuthorities: credentials.certificate };
      const options = { hostname: "127.0.0.1", serverName: "localhost", sessions, ...trust };
      await using relay = await Relay.start(server.port);
      const recording = new Recording();
      const socket = await within(connect({ ...options, port: relay.port }, recording.handlers), "a connection");
      socket.write(bytes("hello"));
      await recording.bytes(5);
      assertEquals(sessions.size, 2);
      relay.say(bytes("\x17\x03\x03\x00\x20" + "garbage ".repeat(4)));
      assert(await within(recording.closed, "the connection to close") instanceof Error);
      assertEquals((await visit(relay.port, { sessions })).resumed, false);
    }),
  );
});
