import { assert, assertEquals, assertInstanceOf, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { OpenSslError, SessionCacheMode, SslContext, type SslContextOptions, SslOption } from "../mod.ts";
import { library } from "../ssl/library.ts";
import { leavingNothing } from "./counts.ts";
import { Contexts, credentials, Link, thrownBy, versions } from "./support.ts";

/** What two contexts with these options agree on, by what the server's end tells; the error if they do not. */
function agree(server: SslContextOptions, client: SslContextOptions = {}): Record<string, unknown> | string {
  using serverContext = SslContext.server({ ...credentials, ...server });
  using clientContext = SslContext.client({ verify: "none", ...client });
  using link = new Link({ server: serverContext, client: clientContext }, undefined, "localhost");
  try {
    link.connect();
  } catch (error) {
    library().crypto.ERR_clear_error();
    return (error as Error).message;
  }
  const { protocol, cipher, alpnProtocol } = link.server;
  link.close();
  return { protocol, cipher, alpnProtocol };
}

function member(agreed: Record<string, unknown> | string, name: string): unknown {
  return typeof agreed === "string" ? agreed : agreed[name];
}

describe("SslContext's options for protocols and ciphers", () => {
  it(
    "minVersion and maxVersion bound the protocol",
    leavingNothing(() => {
      assertEquals(member(agree({}), "protocol"), "TLSv1.3");
      assertEquals(member(agree({ maxVersion: "TLSv1.2" }), "protocol"), "TLSv1.2");
      assertEquals(member(agree({}, { maxVersion: "TLSv1.2" }), "protocol"), "TLSv1.2");
      assertMatch(String(agree({ minVersion: "TLSv1.3" }, { maxVersion: "TLSv1.2" })), /version|protocol/);
      assertMatch(String(agree({ maxVersion: "TLSv1.2" }, { minVersion: "TLSv1.3" })), /version|protocol/);
      assertThrows(
        () => SslContext.server({ minVersion: "TLSv1.4" as "TLSv1.3" }),
        RangeError,
        'it takes one of "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3", not "TLSv1.4"',
      );
    }),
  );

  it(
    "cipherList chooses the ciphers up to TLS 1.2",
    leavingNothing(() => {
      const maxVersion = "TLSv1.2";
      for (const cipherList of ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"]) {
        assertEquals(member(agree({ maxVersion, cipherList }), "cipher"), cipherList);
        assertEquals(member(agree({ maxVersion }, { cipherList }), "cipher"), cipherList);
      }
      assertMatch(
        String(agree({ maxVersion, cipherList: "ECDHE+CHACHA20" }, { cipherList: "ECDHE+AESGCM" })),
        /no shared cipher/,
      );
      assertThrows(
        () => SslContext.server({ cipherList: "NO-SUCH-CIPHER" }),
        OpenSslError,
        'Cannot set the cipher list to "NO-SUCH-CIPHER": no cipher match',
      );
    }),
  );

  it(
    "cipherSuites chooses those of TLS 1.3",
    leavingNothing(() => {
      for (const cipherSuites of ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"]) {
        assertEquals(member(agree({ cipherSuites }), "cipher"), cipherSuites);
        assertEquals(member(agree({}, { cipherSuites }), "cipher"), cipherSuites);
      }
      assertThrows(() => SslContext.server({ cipherSuites: "TLS_NONE" }), OpenSslError, "Cannot set the cipher suites");
    }),
  );

  it(
    "groups chooses the key exchange",
    leavingNothing(() => {
      assertEquals(member(agree({ groups: "P-384" }, { groups: "X25519:P-384" }), "protocol"), "TLSv1.3");
      assertMatch(String(agree({ groups: "P-384" }, { groups: "X25519" })), /no suitable key share|handshake failure/);
      assertThrows(() => SslContext.server({ groups: "P-1" }), OpenSslError, 'Cannot set the groups to "P-1"');
    }),
  );

  it(
    "options go on and off; CipherServerPreference, which is on, has the server choose",
    leavingNothing(() => {
      using context = SslContext.server({ options: SslOption.NoTicket });
      assertEquals(context.options & SslOption.NoTicket, SslOption.NoTicket);
      context.setOptions(SslOption.NoRenegotiation);
      assertEquals(context.options & SslOption.NoTicket, SslOption.NoTicket);
      context.clearOptions(SslOption.NoTicket);
      assertEquals(context.options & SslOption.NoTicket, 0);
      assertEquals(context.options & SslOption.NoRenegotiation, SslOption.NoRenegotiation);
      const cipherSuites = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256";
      const client = { cipherSuites: "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384" };
      assertEquals(context.options & SslOption.CipherServerPreference, SslOption.CipherServerPreference);
      assertEquals(member(agree({ cipherSuites }, client), "cipher"), "TLS_AES_256_GCM_SHA384");
      const own = { cipherSuites, honorCipherOrder: false };
      assertEquals(member(agree(own, client), "cipher"), "TLS_AES_128_GCM_SHA256");
      const options = SslOption.CipherServerPreference;
      assertEquals(member(agree({ ...own, options }, client), "cipher"), "TLS_AES_256_GCM_SHA384");
    }),
  );
});

describe("SslContext's option alpnProtocols", () => {
  it(
    "chooses by the server's order, and nothing where one side has none",
    leavingNothing(() => {
      const both = ["h2", "http/1.1"];
      assertEquals(member(agree({ alpnProtocols: both }, { alpnProtocols: both.toReversed() }), "alpnProtocol"), "h2");
      assertEquals(member(agree({ alpnProtocols: both }), "alpnProtocol"), undefined);
      assertEquals(member(agree({}, { alpnProtocols: both }), "alpnProtocol"), undefined);
      assertEquals(member(agree({ alpnProtocols: ["x"] }, { alpnProtocols: ["y", "x"] }), "alpnProtocol"), "x");
      const long = "p".repeat(255);
      assertEquals(member(agree({ alpnProtocols: [long] }, { alpnProtocols: [long] }), "alpnProtocol"), long);
    }),
  );

  it(
    "ends the handshake where both have some and none in common",
    leavingNothing(() => {
      const error = String(agree({ alpnProtocols: ["h2"] }, { alpnProtocols: ["http/1.1"] }));
      assertMatch(error, /no application protocol/);
    }),
  );

  it("refuses what no name can be", () => {
    for (const role of ["server", "client"] as const) {
      assertThrows(() => SslContext[role]({ alpnProtocols: [] }), RangeError, "empty list");
      assertThrows(() => SslContext[role]({ alpnProtocols: ["h2", ""] }), RangeError, "1 to 255 bytes");
      assertThrows(() => SslContext[role]({ alpnProtocols: ["p".repeat(256)] }), RangeError, "1 to 255 bytes");
    }
  });
});

describe("SslContext's options for sessions", () => {
  it(
    "sessionIdContext takes 1 to 32 bytes, as text or bytes",
    leavingNothing(() => {
      for (const good of ["x", "x".repeat(32), new Uint8Array(1), new Uint8Array(32), "é".repeat(16)]) {
        SslContext.server({ sessionIdContext: good }).dispose();
      }
      for (const bad of ["", "x".repeat(33), new Uint8Array(0), new Uint8Array(33), "é".repeat(17)]) {
        assertThrows(() => SslContext.server({ sessionIdContext: bad }), RangeError, "it takes 1 to 32");
      }
    }),
  );

  for (const version of versions) {
    it(
      `${version}: a session resumes with client certificates too, as an id context is always set`,
      leavingNothing(() => {
        using contexts = new Contexts(version, {
          verify: "require",
          certificateAuthorities: credentials.certificate,
        }, credentials);
        assertEquals(contexts.visit(contexts.resumable()), { resumed: true });
      }),
    );
  }

  it(
    "sessionTimeout bounds new sessions",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.2", { sessionTimeout: 99 });
      assertEquals(contexts.server.sessionTimeout, 99);
      using link = contexts.link().connect();
      using session = link.server.session();
      assertEquals(session!.timeout, 99);
      link.close();
      for (const wrong of [-1, 0.5, NaN, 2 ** 31]) {
        assertThrows(() => contexts.server.sessionTimeout = wrong, RangeError, "Cannot set the session timeout");
      }
    }),
  );

  it(
    "sessionCacheSize, sessionCacheMode and numTickets are as they were set, with OpenSSL's defaults before",
    leavingNothing(() => {
      using context = SslContext.server();
      assertEquals(context.sessionCacheMode, SessionCacheMode.Server);
      assertEquals(context.sessionCacheSize, 20_480);
      assertEquals(context.numTickets, 2);
      context.sessionCacheMode = SessionCacheMode.Both | SessionCacheMode.NoInternal;
      assertEquals(context.sessionCacheMode, 0x303);
      context.sessionCacheSize = 0;
      assertEquals(context.sessionCacheSize, 0);
      context.numTickets = 5;
      assertEquals(context.numTickets, 5);
      for (const wrong of [-1, 1.5, NaN, 2 ** 31]) {
        assertThrows(() => context.sessionCacheSize = wrong, RangeError, "it takes whole numbers from 0");
        assertThrows(() => context.numTickets = wrong, RangeError, "it takes whole numbers from 0");
      }
    }),
  );
});

describe("SslContext's counters", () => {
  for (const version of versions) {
    it(
      `${version}: count what happens`,
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1, sessionCacheSize: 2 });
        const { server, client } = contexts;
        const none = Object.fromEntries(Object.keys(server.counters()).map((name) => [name, 0]));
        assertEquals(Object.keys(none).length, 12);
        assertEquals({ ...server.counters() }, none as never);
        const session = contexts.resumable();
        assertEquals({ ...server.counters() }, { ...none, number: 1, accept: 1, acceptGood: 1 } as never);
        assertEquals({ ...client.counters() }, { ...none, connect: 1, connectGood: 1 } as never);
        contexts.visit(session);
        assertEquals(server.counters().hits, 1);
        assertEquals(client.counters().hits, 1);
        server.flushSessions("all");
        contexts.visit(session);
        assertEquals(server.counters().misses, 1);
        for (let n = 0; n < 3; n++) contexts.visit();
        // Some releases count the one that is coming in.
        assert([1, 2].includes(server.counters().number));
        assert(server.counters().cacheFull >= 2);
        server.flushSessions("all");
        using kept = session.clone();
        server.setGetSessionCallback((connection) => {
          assert(connection.isEstablished === false);
          return version === "TLSv1.2" ? kept : undefined;
        });
        contexts.visit(session);
        assertEquals(server.counters().callbackHits, version === "TLSv1.2" ? 1 : 0);
        // One that does not come to its end.
        using link = contexts.link();
        link.half();
        assertEquals(server.counters().accept, server.counters().acceptGood + 1);
      }),
    );
  }
});

describe("SslContext's option keylog", () => {
  for (const version of versions) {
    it(
      `${version}: is called with the lines that Wireshark reads, the same on both sides`,
      leavingNothing(() => {
        const lines = { server: new Set<string>(), client: new Set<string>() };
        using contexts = new Contexts(
          version,
          { keylog: (_connection, line) => lines.server.add(line) as unknown as void },
          { keylog: (_connection, line) => lines.client.add(line) as unknown as void },
        );
        contexts.visit();
        assertEquals([...lines.server].toSorted(), [...lines.client].toSorted());
        const labels = [...lines.server].map((line) => line.split(" ")[0]);
        assert(labels.includes(version === "TLSv1.3" ? "SERVER_TRAFFIC_SECRET_0" : "CLIENT_RANDOM"));
        for (const line of lines.server) assertMatch(line, /^[A-Z_0-9]+ [0-9a-f]{64} [0-9a-f]{64,96}$/);
        contexts.server.setKeylogCallback(null);
        lines.server.clear();
        contexts.visit();
        assertEquals(lines.server.size, 0);
      }),
    );
  }
});

describe("OpenSslError", () => {
  it(
    "holds the whole error queue, oldest first, and leaves it empty",
    leavingNothing(() => {
      const error = thrownBy(() => SslContext.server({ cipherList: "none such" }));
      assertInstanceOf(error, OpenSslError);
      const { errors, message } = error as OpenSslError;
      assert(errors.length > 0);
      for (const { code, library, reason, data } of errors) {
        assert(code > 0);
        assertEquals(library, "SSL routines");
        assert(reason.length > 0);
        assertEquals(typeof data, "string");
        assertStringIncludes(message, reason);
      }
      assertEquals(library().crypto.ERR_peek_error(), 0);
      assertEquals((error as OpenSslError).name, "OpenSslError");
    }),
  );

  it("says what OpenSSL added, and every reason of several", () => {
    const { errors, message } = thrownBy(() => SslContext.client({ groups: "P-256:P-nonsense" })) as OpenSslError;
    assertEquals(message.startsWith('Cannot set the groups to "P-256:P-nonsense": '), true);
    for (const { reason, data } of errors) {
      assertStringIncludes(message, reason);
      assertStringIncludes(message, data);
    }
  });
});
