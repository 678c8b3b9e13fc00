import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { HttpsServer, ServeInfo, ServeOptions, SslContextOptions } from "../mod.ts";
import { Authority } from "./authority.ts";
import { Served } from "./serve_support.ts";
import { until, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording, TcpClient } from "./socket_support.ts";
import { bytes, credentials, versions } from "./support.ts";

const authority = new Authority("clients");
const stranger = new Authority("strangers");
const known = authority.issue(["known.example"]);
const unknown = stranger.issue(["unknown.example"]);

/** A server whose handlers' infos are kept. */
async function start(options: ServeOptions, infos: ServeInfo[] = []): Promise<Served> {
  return await Served.start((_request, info) => {
    infos.push(info);
    return new Response("answer");
  }, { verify: "require", certificateAuthorities: authority.chain, ...options });
}

/** One request over HTTP/1.1. Answers the status, or 0 if the connection ended without one. */
async function request(
  server: HttpsServer,
  options: SslContextOptions,
  client = new Client({ alpnProtocols: ["http/1.1"], ...options }),
): Promise<number> {
  using _client = client;
  return await requestBy(client, server);
}

async function requestBy(client: Client, server: HttpsServer, session?: Client["sessions"][number]): Promise<number> {
  const recording = new Recording();
  const socket = await client.connect(server.port, recording.handlers, session ? { session } : {});
  socket.write(bytes("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"));
  await within(recording.closed, "the connection to close");
  return Number(/^HTTP\/1\.1 (\d+)/.exec(recording.text)?.[1] ?? 0);
}

for (const version of versions) {
  const versionOf = { minVersion: version, maxVersion: version };
  describe(`${version}: a server that verifies its clients`, () => {
    it(
      "tells the handler of the certificate, also where a session was resumed",
      leavingNothingLater(async () => {
        const infos: ServeInfo[] = [];
        await using server = await start({}, infos);
        using client = new Client({ alpnProtocols: ["http/1.1"], ...versionOf, ...known });
        assertEquals(await requestBy(client, server.server), 200);
        assertEquals(await requestBy(client, server.server, client.sessions.at(-1)!), 200);
        const seen = infos.map(({ tls }) => [tls.isResumed, tls.authorized, tls.authorizationError]);
        assertEquals(seen, [[false, true, null], [true, true, null]]);
        assertEquals(infos.map(({ tls }) => tls.peerCertificate!.subject), Array(2).fill("CN=known.example"));
      }),
    );

    it(
      "refuses whom it does not know, and who shows nothing, where that is required",
      leavingNothingLater(async () => {
        const infos: ServeInfo[] = [];
        await using server = await start({}, infos);
        for (const shown of [unknown, {}]) {
          // With TLS 1.3 a client hears of it after its handshake.
          assertEquals(await request(server.server, { ...versionOf, ...shown }).catch(() => 0), 0);
        }
        await until(() => server.server.stats().failedHandshakes === 2, "two handshakes to fail");
        assertEquals([infos.length, server.errors.length], [0, 2]);
      }),
    );

    it(
      "lets in who shows nothing where it only asks, and leaves the verdict to the handler where it is told to",
      leavingNothingLater(async () => {
        const infos: ServeInfo[] = [];
        await using asking = await start({ verify: "request" }, infos);
        assertEquals(await request(asking.server, versionOf), 200);
        assertEquals([infos[0]!.tls.authorized, infos[0]!.tls.authorizationError], [
          false,
          "UNABLE_TO_GET_ISSUER_CERT",
        ]);
        await using lax = await start({ rejectUnauthorized: false }, infos);
        assertEquals(await request(lax.server, { ...versionOf, ...unknown }), 200);
        const { authorized, authorizationError, peerCertificate } = infos[1]!.tls;
        assertEquals([authorized, peerCertificate!.subject], [false, "CN=unknown.example"]);
        assertMatch(authorizationError!, /^UNABLE_TO_(GET_ISSUER_CERT_LOCALLY|VERIFY_LEAF_SIGNATURE)$/);
      }),
    );

    it(
      "asks authorize about each client, resumed ones too, before it reads anything",
      leavingNothingLater(async () => {
        const asked: [string | undefined, boolean][] = [];
        let allowed = true;
        const infos: ServeInfo[] = [];
        await using server = await start({
          authorize: async (certificate, { isResumed }) => {
            asked.push([certificate?.subject, isResumed]);
            await new Promise((resolve) => setImmediate(resolve));
            return allowed;
          },
        }, infos);
        using client = new Client({ alpnProtocols: ["http/1.1"], ...versionOf, ...known });
        assertEquals(await requestBy(client, server.server), 200);
        allowed = false;
        assertEquals(await requestBy(client, server.server, client.sessions.at(-1)!), 0);
        assertEquals(asked, [["CN=known.example", false], ["CN=known.example", true]]);
        assertEquals([infos.length, server.server.stats().unauthorized], [1, 1]);
      }),
    );

    it(
      "closes the connection where authorize throws, rejects, or says what is neither true nor false",
      leavingNothingLater(async () => {
        const answers = [
          () => {
            throw new Error("thrown");
          },
          () => Promise.reject(new Error("rejected")),
          () => "yes" as unknown as boolean,
        ];
        for (const authorize of answers) {
          await using server = await start({ authorize, verify: "none" });
          assertEquals(await request(server.server, versionOf), 0);
          const { handshakes, unauthorized } = server.server.stats();
          assertEquals([handshakes, server.errors.length + unauthorized], [0, 1]);
        }
      }),
    );

    it(
      "gives authorize the time that a handshake has, and bears with clients that go meanwhile",
      leavingNothingLater(async () => {
        const never = new Promise<boolean>(() => {});
        await using server = await start({ authorize: () => never, verify: "none", handshakeTimeout: 150 });
        assertEquals(await request(server.server, versionOf), 0);
        assertEquals(server.server.stats().handshakeTimeouts, 1);

        const { promise, resolve } = Promise.withResolvers<boolean>();
        let asked = false;
        await using other = await start({
          authorize: () => {
            asked = true;
            return promise;
          },
          verify: "none",
        });
        using client = new Client({ alpnProtocols: ["http/1.1"], ...versionOf });
        await using tcp = await TcpClient.connect(other.port, client.context);
        await tcp.shakeHands();
        await until(() => asked, "the server to ask");
        tcp.socket.resetAndDestroy();
        await until(() => other.server.connections === 0, "the connection to go");
        resolve(true);
        await promise;
        assertEquals(other.server.stats().handshakes, 0);
      }),
    );
  });
}

describe("Twenty clients at once, each with its own certificate", () => {
  it(
    "are never taken for one another",
    leavingNothingLater(async () => {
      await using server = await Served.start(
        (request, { tls }) => new Response(`${new URL(request.url).pathname} ${tls.peerCertificate!.subject}`),
        { ...credentials, verify: "require", certificateAuthorities: authority.chain },
      );
      await Promise.all(Array.from({ length: 20 }, async (_, index) => {
        const name = `client${index}.example`;
        using client = new Client({ alpnProtocols: ["http/1.1"], ...authority.issue([name]) });
        const recording = new Recording();
        const socket = await client.connect(server.port, recording.handlers);
        for (let visit = 1; visit <= 10; visit++) {
          const connection = visit === 10 ? "close" : "keep-alive";
          const head = `GET /${index}/${visit} HTTP/1.1\r\nhost: localhost\r\nconnection: ${connection}\r\n\r\n`;
          socket.write(bytes(head));
          const expected = `/${index}/${visit} CN=${name}`;
          await until(() => recording.text.includes(expected), expected);
        }
        await within(recording.closed, "the connection to close");
        assert(!recording.text.replaceAll(`CN=${name}`, "").includes("CN="), recording.text);
      }));
    }),
  );
});
