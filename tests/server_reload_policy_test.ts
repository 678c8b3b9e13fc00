import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import {
  connect,
  listen,
  MemoryStore,
  selfSigned,
  type ServerCertificates,
  type Session,
  SessionCache,
  SessionCacheMode,
  SslContext,
  type SslContextOptions,
  type TlsServerOptions,
} from "../mod.ts";
import { within } from "./server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { versions } from "./support.ts";

const alice = selfSigned(["alice"]);
const bob = selfSigned(["bob"]);

/** Visits a server, which is told something else in between, with the session of the first visit. */
async function visitTwice(
  options: TlsServerOptions,
  changes: ServerCertificates,
  client: SslContextOptions,
): Promise<{ resumed: (boolean | undefined)[]; ciphers: (string | undefined)[]; cache: SessionCache }> {
  const cache = new SessionCache({ store: new MemoryStore() });
  const resumed: (boolean | undefined)[] = [];
  const ciphers: (string | undefined)[] = [];
  const server = await listen({ ...selfSigned(), ...options, hostname: "127.0.0.1", sessions: cache }, {
    open(socket) {
      resumed.push(socket.isResumed);
      ciphers.push(socket.cipher);
      socket.end();
    },
  });
  const sessionCacheMode = SessionCacheMode.Client | SessionCacheMode.NoInternal;
  using context = SslContext.client({ verify: "none", sessionCacheMode, ...client });
  const sessions: Session[] = [];
  context.setNewSessionCallback((_connection, session) => sessions.push(session) > 0);
  const visit = async (session: Session | undefined) => {
    const ended = Promise.withResolvers<void>();
    const parameters = { context, hostname: "127.0.0.1", port: server.port, serverName: "localhost" };
    try {
      await connect({ ...parameters, ...(session && { session }) }, { close: () => ended.resolve() });
      await within(ended.promise, "the connection to end");
    } catch {
      // The server does not let it in. With TLS 1.3 a client learns of it later.
    }
  };
  await visit(undefined);
  await server.reload(changes);
  await visit(sessions[0]);
  await within(server.close(), "the server to close");
  for (const session of sessions) session.dispose();
  return { resumed, ciphers, cache };
}

describe("TLSv1.2: Server.reload() with other ciphers", () => {
  const old = { maxVersion: "TLSv1.2", cipherList: "ECDHE-ECDSA-AES128-SHA" } as const;

  it(
    "has no session resume with one that has gone",
    leavingNothingLater(async () => {
      const { resumed, ciphers, cache } = await visitTwice(old, { cipherList: "ECDHE+AESGCM" }, {});
      assertEquals(resumed, [false, false]);
      assertEquals(ciphers, ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-GCM-SHA384"]);
      assertEquals(cache.stats().otherCipher, 1);
    }),
  );

  it(
    "has sessions resume with those that stay",
    leavingNothingLater(async () => {
      const { resumed } = await visitTwice(old, { cipherList: "ECDHE+AESGCM:ECDHE-ECDSA-AES128-SHA" }, {});
      assertEquals(resumed, [false, true]);
    }),
  );
});

for (const version of versions) {
  describe(`${version}: Server.reload() with other authorities`, () => {
    const trusting = (certificateAuthorities: string) =>
      ({ verify: "require", certificateAuthorities, sessionIdContext: "people", maxVersion: version }) as const;

    it(
      "lets no session of a client in whose authority is trusted no more",
      leavingNothingLater(async () => {
        const both = trusting(alice.certificate + bob.certificate);
        const { resumed, cache } = await visitTwice(both, trusting(bob.certificate), alice);
        assertEquals(resumed, [false]);
        assertEquals(cache.stats().certificateRefused, 1);
      }),
    );

    it(
      "has those resume whose authority stays",
      leavingNothingLater(async () => {
        const both = trusting(alice.certificate + bob.certificate);
        const { resumed } = await visitTwice(both, trusting(alice.certificate), alice);
        assertEquals(resumed, [false, true]);
      }),
    );

    it(
      "lets none in that was made without a certificate where one is demanded now",
      leavingNothingLater(async () => {
        const open = { sessionIdContext: "people", maxVersion: version } as const;
        const { resumed, cache } = await visitTwice(open, trusting(alice.certificate), {});
        assertEquals(resumed, [false]);
        assertEquals(cache.stats().certificateRefused, 1);
      }),
    );
  });
}
