/** What options mean to clients: nobody gets in, and no ticket is missing, because of how an option was written. */

import { assertEquals, assertMatch, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import {
  ClientSessions,
  connect,
  type ConnectOptions,
  createServer,
  listen,
  MemoryStore,
  type NodeTlsContextOptions,
  RedisStore,
  selfSigned,
  serve,
  SessionCache,
  SessionCacheMode,
  SqliteStore,
  SslContext,
  type SslContextOptions,
  SslOption,
  type TlsDuplex,
} from "../mod.ts";
import { visit } from "./client_support.ts";
import { TemporaryFolder, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording } from "./socket_support.ts";
import { bytes, Contexts, credentials, thrownBy, type Version, versions } from "./support.ts";

const known = selfSigned(["known-client"]);
const pem = { key: credentials.privateKey, cert: credentials.certificate };
const here = { ...credentials, hostname: "127.0.0.1" };
const echo = (stream: TlsDuplex) => {
  stream.on("error", () => {});
  stream.pipe(stream);
};

/** A server of createServer() that listens. */
async function started(server: ReturnType<typeof createServer>): Promise<number> {
  server.listen(0, "127.0.0.1");
  await within(once(server, "listening"), "the server to listen");
  return server.address()!.port;
}

/** Whether a client without a certificate is refused, and one with the right one is not. */
async function assertAsksForCertificate(port: number, options: SslContextOptions = {}): Promise<void> {
  using stranger = new Client({ version: "TLSv1.2", ...options });
  await assertRejects(() => stranger.visit(port));
  using guest = new Client({ version: "TLSv1.2", ...options, ...known });
  assertEquals((await guest.visit(port)).resumed, false);
}

describe("an option that is undefined", () => {
  it(
    "is left out by reload(), which goes on asking for certificates",
    leavingNothingLater(async () => {
      await using server = await listen({
        ...here,
        verify: "require",
        certificateAuthorities: known.certificate,
      }, echo);
      server.reload({ verify: undefined } as never);
      await assertAsksForCertificate(server.port);
      server.reload({ ...credentials, certificateAuthorities: undefined, rejectUnauthorized: undefined } as never);
      await assertAsksForCertificate(server.port);
    }),
  );

  it(
    "is left out by setSecureContext() and addContext(), which go on asking for certificates",
    leavingNothingLater(async () => {
      const mutual = { ca: known.certificate, requestCert: true };
      await using server = createServer({ ...pem, ...mutual }, echo);
      const left = { requestCert: undefined, rejectUnauthorized: undefined, verify: undefined };
      const other = selfSigned(["other.example"]);
      const added = { key: other.privateKey, cert: other.certificate, ca: known.certificate, ...left };
      server.addContext("other.example", added as unknown as NodeTlsContextOptions);
      server.setSecureContext({ ...pem, ca: known.certificate, ...left } as unknown as NodeTlsContextOptions);
      const port = await started(server);
      await assertAsksForCertificate(port);
      using sessions = new ClientSessions();
      const to: Partial<ConnectOptions> = {
        serverName: "other.example",
        certificateAuthorities: other.certificate,
        maxVersion: "TLSv1.2",
        sessions,
      };
      await assertRejects(() => visit(port, to));
      assertEquals((await visit(port, { ...to, ...known })).protocol, "TLSv1.2");
    }),
  );

  it(
    "is left out by connect(), which goes on verifying",
    leavingNothingLater(async () => {
      await using server = await listen(here, echo);
      using sessions = new ClientSessions();
      const options = { hostname: "127.0.0.1", port: server.port, sessions };
      const left = { verify: undefined, rejectUnauthorized: undefined, certificateAuthorities: undefined };
      await assertRejects(
        () => connect({ ...options, ...left } as never),
        Error,
        "no authority that is trusted here signed the certificate",
      );
      await visit(server.port, { ...options, ...left, certificateAuthorities: credentials.certificate } as never);
    }),
  );
});

describe("reload() with a certificate", () => {
  it(
    "changes nothing of the options beside certificates, the log of keys among them",
    leavingNothingLater(async () => {
      using folder = new TemporaryFolder();
      const keylogFile = folder.file("keys.log");
      const renewed = selfSigned();
      await using server = await listen(
        {
          ...here,
          keylogFile,
          numTickets: 2,
          maxVersion: "TLSv1.2",
          verify: "require",
          certificateAuthorities: known.certificate,
        },
        echo,
      );
      server.reload(renewed);
      assertEquals(existsSync(keylogFile), false);
      await assertAsksForCertificate(server.port, { certificateAuthorities: renewed.certificate });
      assertMatch(readFileSync(keylogFile, "utf8"), /^CLIENT_RANDOM /);
    }),
  );
});

describe("verification", () => {
  for (const wrong of [null, 0, "", "false", NaN, []]) {
    it(`is not turned off by ${JSON.stringify(wrong)}`, async () => {
      const off = { rejectUnauthorized: wrong as never };
      const required = { ...here, ...off, verify: "require", certificateAuthorities: known.certificate } as const;
      const named = "Cannot use the option rejectUnauthorized with";
      await assertRejects(() => listen(required, echo), TypeError, named);
      await assertRejects(() => serve(required, () => new Response()), TypeError, named);
      await assertRejects(() => connect({ hostname: "127.0.0.1", port: 1, ...off }), TypeError, named);
      assertThrows(() => SslContext.client(off), TypeError, named);
      assertThrows(() => SslContext.server({ ...credentials, verify: "require", ...off }), TypeError, named);
      const verify = { verify: wrong as never };
      const error = thrownBy(() => SslContext.client(verify));
      assertStringIncludes(String(error), "Cannot use the option verify with SslContext.client()");
      if (wrong === null) return;
      await using server = createServer(pem);
      assertThrows(() => server.setSecureContext({ ...pem, requestCert: true, ...off }), TypeError, named);
      assertThrows(() => server.addContext("a.example", { ...pem, requestCert: true, ...off }), TypeError, named);
    });
  }

  it(
    "is not turned off by null in createServer(), where null is not given, as in node:tls",
    leavingNothingLater(async () => {
      const nothing = { rejectUnauthorized: null, requestCert: null } as unknown as NodeTlsContextOptions;
      await using server = createServer({ ...pem, ...nothing, requestCert: true, ca: known.certificate }, echo);
      const port = await started(server);
      await assertAsksForCertificate(port);
      server.setSecureContext({ ...pem, ...nothing, ca: known.certificate });
      await assertAsksForCertificate(port);
    }),
  );

  it(
    "is not turned off by what was put into Object.prototype",
    leavingNothingLater(async () => {
      const polluted = Object.prototype as { rejectUnauthorized?: unknown; verify?: unknown; requestCert?: unknown };
      Object.assign(polluted, { rejectUnauthorized: false, verify: "none", requestCert: false });
      try {
        await using server = await listen(
          { ...here, verify: "require", certificateAuthorities: known.certificate },
          echo,
        );
        await assertAsksForCertificate(server.port);
        server.reload();
        await assertAsksForCertificate(server.port);
        using sessions = new ClientSessions();
        await using facade = createServer({ ...pem, requestCert: true, ca: known.certificate }, echo);
        await assertAsksForCertificate(await started(facade));
        await assertRejects(
          () => connect({ hostname: "127.0.0.1", port: server.port, sessions }),
          Error,
          "no authority that is trusted here signed the certificate",
        );
      } finally {
        for (const name of ["rejectUnauthorized", "verify", "requestCert"] as const) delete polluted[name];
      }
    }),
  );

  it(
    "is what both names of an option say, or is refused where they differ",
    leavingNothingLater(async () => {
      const differing: [string, NodeTlsContextOptions][] = [
        ["requestCert and verify", { requestCert: false, verify: "require" }],
        ["requestCert and verify", { requestCert: true, verify: "none" }],
        ["ca and certificateAuthorities", { ca: known.certificate, certificateAuthorities: credentials.certificate }],
        ["ciphers and cipherList", { ciphers: "ECDHE+AESGCM", cipherList: "DEFAULT" }],
      ];
      for (const [names, options] of differing) {
        assertThrows(() => createServer({ ...pem, ...options }), TypeError, `Cannot use ${names}, which differ`);
      }
      // Of what stays and what is said anew, the latter counts, by either name.
      await using server = createServer({ ...pem, verify: "none" }, echo);
      server.setSecureContext({ ...pem, requestCert: true, ca: known.certificate });
      await assertAsksForCertificate(await started(server));
    }),
  );
});

describe("numTickets", () => {
  /** How many sessions a client gets in one visit, at its first and as one that resumes. */
  async function counted(port: number): Promise<number[]> {
    using client = new Client({ version: "TLSv1.3", alpnProtocols: ["http/1.1"] });
    const counts: number[] = [];
    for (let turn = 0; turn < 2; turn++) {
      const before = client.sessions.length;
      const recording = new Recording();
      const session = client.sessions.at(-1);
      const socket = await client.connect(port, recording.handlers, session ? { session } : {});
      socket.write(bytes("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"));
      // Tickets come before the first answer.
      await recording.bytes(1);
      socket.end();
      await within(recording.closed, "the connection to close");
      counts.push(client.sessions.length - before);
    }
    return counts;
  }

  for (const [numTickets, first] of [[undefined, 1], [0, 0], [2, 2], [64, 64]] as const) {
    it(
      `${numTickets} is ${first} after a full handshake, in listen(), serve() and createServer()`,
      leavingNothingLater(async () => {
        const tickets = numTickets === undefined ? {} : { numTickets };
        const expected = first === 0 ? [0, 0] : [first, 1];
        await using listening = await listen({ ...here, ...tickets }, echo);
        assertEquals(await counted(listening.port), expected);
        await listening.reload();
        assertEquals(await counted(listening.port), expected);
        const options = { ...here, ...tickets, alpnProtocols: ["http/1.1"] };
        await using serving = await serve(options, () => new Response("answer"));
        assertEquals(await counted(serving.port), expected);
        await using facade = createServer({ ...pem, ...tickets }, echo);
        assertEquals(await counted(await started(facade)), expected);
      }),
    );
  }

  it("stays as it was given, also by the setter, where a cache is attached, and is 1 where it was not", () => {
    const cache = new SessionCache({ store: new MemoryStore() });
    using told = SslContext.server({ ...credentials, numTickets: 3 });
    using set = SslContext.server(credentials);
    set.numTickets = 2;
    using untold = SslContext.server(credentials);
    for (const context of [told, set, untold]) cache.attach(context);
    assertEquals([told, set, untold].map((context) => context.numTickets), [3, 2, 1]);
  });

  it("is refused above 64 wherever it is given", async () => {
    const tooMany = { ...here, numTickets: 65 };
    const message = "it takes whole numbers from 0 to 64";
    assertThrows(() => SslContext.server({ ...credentials, numTickets: 65 }), RangeError, message);
    using context = SslContext.server(credentials);
    for (const count of [65, 2 ** 32, -1]) assertThrows(() => context.numTickets = count, RangeError, message);
    assertEquals(context.numTickets, 2);
    await assertRejects(async () => await listen(tooMany, echo), RangeError, message);
    await assertRejects(async () => await serve(tooMany, () => new Response()), RangeError, message);
    assertThrows(() => createServer({ ...pem, numTickets: 65 }), RangeError, message);
    assertThrows(() => createServer(pem).addContext("a.example", { ...pem, numTickets: 65 }), RangeError, message);
  });
});

describe("what is given in the place of something else", () => {
  it("an option that is only refused is not proposed", () => {
    for (const name of ["enableTracing", "highWaterMork", "ticketKey", "dhparams"]) {
      const error = assertThrows(() => createServer({ ...pem, [name]: 1 } as object), TypeError, name);
      for (const refused of ["enableTrace", "highWaterMark", "ticketKeys", "dhparam"]) {
        assertEquals(new RegExp(`\\b${refused}\\b`).test(error.message.replace(name, "")), false, error.message);
      }
    }
  });

  it("a store alone, no path, and options for a callback are refused with what to give", () => {
    assertThrows(() => new SessionCache(new MemoryStore() as never), TypeError, "give { store }");
    for (const path of [undefined, "", 5]) {
      assertThrows(() => new SqliteStore(path as never), TypeError, "without a path");
    }
    assertThrows(() => createServer(pem).close({ grace: 0 } as never), TypeError, "give a function");
  });

  it("ciphers of the other list, which OpenSSL would pass over, are refused", async () => {
    const stray = {
      cipherList: "ECDHE+AESGCM:TLS_AES_128_GCM_SHA256",
      cipherSuites: "TLS_AES_128_GCM_SHA256:ECDHE+AESGCM",
    };
    const { cipherList, cipherSuites } = stray;
    const [list, suites] = [
      "such as TLS_AES_128_GCM_SHA256, go into cipherSuites",
      "such as ECDHE+AESGCM, go into cipherList",
    ];
    await assertRejects(async () => await listen({ ...here, cipherList }, echo), RangeError, list);
    await assertRejects(async () => await serve({ ...here, cipherSuites }, () => new Response()), RangeError, suites);
    for (const [options, message] of [[{ cipherList }, list], [{ cipherSuites }, suites]] as const) {
      assertThrows(() => SslContext.server(options), RangeError, message);
      assertThrows(() => SslContext.client(options), RangeError, message);
      assertThrows(() => createServer({ ...pem, ...options }), RangeError, message);
    }
    for (
      const list of ["TLS_AES_128_GCM_SHA256", "ALL:-TLS_CHACHA20_POLY1305_SHA256", "ALL, !TLS_AES_128_CCM_SHA256"]
    ) {
      assertThrows(() => SslContext.server({ cipherList: list }), RangeError, "go into cipherSuites");
    }
    // What OpenSSL knows by two names, and what it takes in a list beside names.
    for (const list of ["ECDHE-RSA-AES128-GCM-SHA256:!aNULL:@STRENGTH", "DEFAULT@SECLEVEL=1", "ALL;!eNULL -PSK,+RSA"]) {
      SslContext.server({ cipherList: list }).dispose();
    }
    SslContext.server({ cipherSuites: "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256" }).dispose();
  });

  it("a name that stands for itself is no list of names", () => {
    assertThrows(() => selfSigned("localhost" as never), TypeError, "give names in an array");
  });

  it("a time that may be 0 says so", () => {
    for (const idleTimeout of ["10s", -1, 2 ** 31]) {
      assertThrows(
        () => createServer({ ...pem, idleTimeout } as object),
        Error,
        "milliseconds up to 2147483647, or 0 for no limit",
      );
    }
  });
});

describe("values that libssl takes for something else", () => {
  it("a sessionTimeout of 0 is refused, for libssl would take its default", () => {
    assertThrows(
      () => SslContext.server({ ...credentials, sessionTimeout: 0 }),
      RangeError,
      "Cannot use the option sessionTimeout with SslContext.server(): it takes whole seconds from 1 to 2147483647, not 0",
    );
    using context = SslContext.server({ ...credentials, sessionTimeout: 1 });
    assertThrows(() => context.sessionTimeout = 0, RangeError, "Cannot set the session timeout to 0");
    assertEquals(context.sessionTimeout, 1);
  });

  it("numbers below 0 are refused", () => {
    for (const name of ["sessionCacheSize", "sessionCacheMode", "sessionTimeout", "numTickets", "options"]) {
      assertThrows(
        () => SslContext.server({ ...credentials, [name]: -1 }),
        RangeError,
        `Cannot use the option ${name} with SslContext.server()`,
      );
    }
  });

  for (const version of versions satisfies readonly Version[]) {
    it(`${version}: a sessionCacheSize of 0 is any number, and flushing by 1970 flushes nothing`, () => {
      using contexts = new Contexts(version, {
        sessionCacheSize: 0,
        sessionCacheMode: SessionCacheMode.Server,
        options: SslOption.NoTicket,
        numTickets: 1,
      });
      for (let count = 0; count < 5; count++) contexts.visit();
      assertEquals(contexts.server.counters().number, 5);
      contexts.server.flushSessions(new Date(0));
      assertEquals(contexts.server.counters().number, 5);
      contexts.server.flushSessions("all");
      assertEquals(contexts.server.counters().number, 0);
    });
  }
});

describe("a port from the environment", () => {
  it("is text, and the error says how to write it", async () => {
    const port = "8443" as unknown as number;
    const say = "(write port: 8443, or Number() of it), not text";
    await assertRejects(() => listen({ ...here, port }, echo), TypeError, say);
    await assertRejects(() => serve({ ...here, port }, () => new Response()), TypeError, say);
    await assertRejects(() => connect({ hostname: "127.0.0.1", port }), TypeError, say);
  });
});

describe("the names of other servers' options", () => {
  const notHere: [of: string, name: string, says: string, take: (options: object) => unknown][] = [];
  const add = (of: string, take: (options: object) => unknown, names: Record<string, string>) => {
    for (const [name, says] of Object.entries(names)) notHere.push([of, name, says, take]);
  };
  add("listen()", (options) => listen({ ...here, ...options }, echo), {
    requestCert: 'it is called verify here, "request" or "require"',
    ca: "it is called certificateAuthorities and certificateAuthoritiesFile here",
    cert: "it is called certificate and certificateFile here",
    key: "it is called privateKey and privateKeyFile here",
    ciphers: "it is called cipherList and cipherSuites here",
    host: "it is called hostname here",
    path: "TLS is spoken over TCP only",
    ticketKeys: "there are no tickets that need keys",
    crl: "it is called certificateRevocationLists and certificateRevocationListsFile here",
    verfiy: "did you mean verify?",
    ssl_certificate: "it is called certificateFile here",
    ssl_verify_client: "it is called verify here",
    serverName: "there is none of that name",
  });
  add("serve()", (options) => serve({ ...here, ...options }, () => new Response()), {
    fetch: "give the handler as serve()'s second parameter",
    tls: "give what is in it as options themselves",
    onListen: "the server listens once its Promise is kept",
    error: "it is called onError here",
    unix: "TLS is spoken over TCP only",
    headersTimeout: "it is called headerTimeout here",
    keepalive_timeout: "it is called idleTimeout here, in milliseconds",
  });
  add("connect()", (options) => connect({ hostname: "127.0.0.1", port: 1, ...options }), {
    servername: "it is called serverName here",
    pfx: "openssl pkcs12",
    caCerts: "it is called certificateAuthorities here",
    ALPNProtocols: "it is called alpnProtocols here",
    timeout: "it is called handshakeTimeout here",
    sessionTimeout: "there is none of that name",
  });
  add("createServer()", (options) => createServer({ ...pem, ...options }), {
    requestCret: "did you mean requestCert?",
    // Too many names to be read.
    somethingElse: "there is none of that name among the ",
  });
  add("new RedisStore()", (options) => new RedisStore({ url: "redis://localhost", ...options }), {
    path: "there are url, sendCommand, prefix, timeout, onError",
    client: "it is called sendCommand here",
  });

  for (const [of, name, says, take] of notHere) {
    it(`${of}: ${name}`, async () => {
      const error = await assertRejects(
        async () => await take({ [name]: {} }),
        TypeError,
        `Cannot use the option ${name} with ${of}`,
      );
      assertStringIncludes(error.message, says);
    });
  }
});
