/**
 * The options of createServer() and of node:tls's: on Node both are asked, on Deno and Bun ours alone, for what Node
 * answers.
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { afterAll, beforeAll, describe, it } from "@std/testing/bdd";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { BlockList, connect as connectTcp } from "node:net";
import {
  createServer,
  type Credentials,
  type NodeTlsServerOptions,
  selfSigned,
  type SslContextOptions,
  type TlsDuplex,
} from "../mod.ts";
import { Authority } from "./authority.ts";
import { both, type EitherSocket, type LikeNode, listening, outcome, same, visit } from "./like_node_support.ts";
import { needing, pathOf } from "./outside_programs.ts";
import { within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording } from "./socket_support.ts";
import { credentials, thrownBy, type Version, versions } from "./support.ts";

const pem = { key: credentials.privateKey, cert: credentials.certificate };

describe("createServer() and node:tls's take the same for not given", () => {
  const ignored: Record<string, unknown[]> = {
    ca: [null, [], undefined],
    crl: [null],
    pfx: [null],
    passphrase: [null],
    ciphers: [null, ""],
    sigalgs: [null],
    dhparam: [null],
    minVersion: [null],
    maxVersion: [null],
    secureProtocol: [null],
    secureOptions: [null, 0],
    sessionIdContext: [null],
    sessionTimeout: [null, 0],
    ticketKeys: [null],
    ALPNProtocols: [null, []],
    handshakeTimeout: [null, 0],
    requestCert: [null, undefined, false],
    rejectUnauthorized: [null, undefined],
    clientCertEngine: [null],
    privateKeyIdentifier: [null],
    privateKeyEngine: [null],
    allowPartialTrustChain: [false],
    enableTrace: [false],
    pauseOnConnect: [false],
    allowHalfOpen: [null, false],
    keepAlive: [false, true],
  };
  for (const [name, values] of Object.entries(ignored)) {
    same(name, values.map(() => ["ok", "in"]), async (tls) => {
      const seen = [];
      for (const value of values) {
        const options = { [name]: value };
        seen.push([outcome(() => tls.createServer({ ...pem, ...options })), await visit(tls, options)]);
      }
      return seen;
    });
  }
});

describe("createServer() and node:tls's refuse the same, with the same code", () => {
  const cases: [name: string, options: object, expected: string][] = [
    ["an unknown cipher", { ciphers: "NOPE" }, "Error ERR_SSL_NO_CIPHER_MATCH"],
    ["an unknown cipher of TLS 1.3", { ciphers: "TLS_NOPE" }, "Error ERR_SSL_NO_CIPHER_MATCH"],
    ["no cipher", { ciphers: ":" }, "TypeError ERR_INVALID_ARG_VALUE"],
    ["an unknown version", { minVersion: "TLSv9" }, "TypeError ERR_TLS_INVALID_PROTOCOL_VERSION"],
    ["an unknown version at most", { maxVersion: 1.3 }, "TypeError ERR_TLS_INVALID_PROTOCOL_VERSION"],
    ["an unknown method", { secureProtocol: "NOPE" }, "TypeError ERR_TLS_INVALID_PROTOCOL_METHOD"],
    ["a method that is gone", { secureProtocol: "SSLv3_method" }, "TypeError ERR_TLS_INVALID_PROTOCOL_METHOD"],
    [
      "a version and a method",
      { minVersion: "TLSv1.2", secureProtocol: "TLS_method" },
      "TypeError ERR_TLS_PROTOCOL_VERSION_CONFLICT",
    ],
    ["a certificate that is none", { cert: "nope" }, "Error ERR_OSSL_PEM_NO_START_LINE"],
  ];
  for (const [name, options, expected] of cases) {
    same(name, expected, (tls) => outcome(() => tls.createServer({ ...pem, ...options })));
  }

  const kinds: Record<string, unknown> = {
    key: { pem: pem.key },
    cert: 5,
    ciphers: 5,
    sigalgs: 5,
    ecdhCurve: null,
    dhparam: 5,
    crl: 5,
    sessionIdContext: 5,
    SNICallback: 5,
    handshakeTimeout: "x",
    secureProtocol: "x",
    passphrase: 5,
  };
  for (const [name, value] of Object.entries(kinds)) {
    same(`${name} of another type`, "TypeError", (tls) => {
      const options = { ...pem, [name]: value };
      return outcome(() => tls.createServer(options)).split(" ")[0];
    });
  }
  same(
    "a negative time",
    "RangeError",
    (tls) => outcome(() => tls.createServer({ ...pem, sessionTimeout: -1 })).split(" ")[0],
  );
  same(
    "no name for a context",
    "Error ERR_TLS_REQUIRED_SERVER_NAME",
    (tls) => outcome(() => tls.createServer(pem).addContext("", pem)),
  );
  same(
    "no options for a context",
    "TypeError",
    (tls) => outcome(() => tls.createServer(pem).setSecureContext(undefined)).split(" ")[0],
  );
});

describe("createServer() and node:tls's speak the same protocols", () => {
  const cases: [options: object, expected: Record<Version, boolean>][] = [
    [{}, { "TLSv1.2": true, "TLSv1.3": true }],
    [{ ciphers: "TLS_AES_128_GCM_SHA256" }, { "TLSv1.2": false, "TLSv1.3": true }],
    [{ ciphers: "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256", minVersion: "TLSv1.2" }, {
      "TLSv1.2": false,
      "TLSv1.3": true,
    }],
    [{ ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" }, { "TLSv1.2": true, "TLSv1.3": true }],
    [{ minVersion: "TLSv1.3" }, { "TLSv1.2": false, "TLSv1.3": true }],
    [{ maxVersion: "TLSv1.2" }, { "TLSv1.2": true, "TLSv1.3": false }],
    [{ secureProtocol: "TLSv1_2_method" }, { "TLSv1.2": true, "TLSv1.3": false }],
    [{ secureProtocol: "TLSv1_2_server_method" }, { "TLSv1.2": true, "TLSv1.3": false }],
    [{ secureProtocol: "SSLv23_method" }, { "TLSv1.2": true, "TLSv1.3": false }],
    [{ secureProtocol: "TLS_method" }, { "TLSv1.2": true, "TLSv1.3": true }],
  ];
  for (const [options, expected] of cases) {
    same(JSON.stringify(options), expected, async (tls) => {
      const seen: Record<string, boolean> = {};
      for (const version of versions) {
        seen[version] = await visit(tls, options, { minVersion: version, maxVersion: version }) === "in";
      }
      return seen;
    });
  }

  it("and ours refuses ciphers of TLS 1.3 where it is not spoken, with which nobody could connect", () => {
    for (const options of [{ maxVersion: "TLSv1.2" }, { secureProtocol: "TLSv1_2_method" }]) {
      const all = { ...pem, ...options, ciphers: "TLS_AES_128_GCM_SHA256" } as NodeTlsServerOptions;
      assertThrows(() => createServer(all), TypeError, "ciphers");
    }
  });
});

for (const version of versions) {
  const only = { minVersion: version, maxVersion: version };
  describe(`${version}: createServer() and node:tls's do the same by`, () => {
    same(
      "ciphers",
      version === "TLSv1.3" ? "TLS_AES_128_GCM_SHA256" : "ECDHE-ECDSA-AES256-GCM-SHA384",
      (tls) =>
        visit(
          tls,
          { ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384:TLS_AES_128_GCM_SHA256" },
          only,
          (socket) => socket.getCipher().name,
        ),
    );

    same(
      "ecdhCurve",
      "prime256v1",
      (tls) => visit(tls, { ecdhCurve: "P-256" }, only, (_socket, client) => client.getEphemeralKeyInfo()!.name),
    );

    same("sigalgs", ["in", "out"], async (tls) => [
      await visit(tls, { sigalgs: "ECDSA+SHA256" }, only),
      String(await visit(tls, { sigalgs: "RSA-PSS+SHA256" }, only)).split(":")[0],
    ]);

    same("ALPNProtocols, as text and as bytes", ["h2", "h2", false], async (tls) => {
      const look = (socket: EitherSocket) => socket.alpnProtocol;
      const offered = { ...only, alpnProtocols: ["http/1.1", "h2"] };
      const wire = Buffer.from("\x02h2\x08http/1.1");
      return [
        await visit(tls, { ALPNProtocols: ["h2", "http/1.1"] }, offered, look),
        await visit(tls, { ALPNProtocols: wire }, offered, look),
        await visit(tls, { ALPNProtocols: [] }, offered, look),
      ];
    });

    same(
      "key and cert as bytes, in arrays, and with a passphrase that is not needed",
      ["in", "in", "in"],
      async (tls) => [
        await visit(tls, { key: Buffer.from(pem.key), cert: Buffer.from(pem.cert) }, only),
        await visit(tls, { key: [pem.key], cert: [Buffer.from(pem.cert)] }, only),
        await visit(tls, { key: [{ pem: pem.key, passphrase: "unused" }], cert: [pem.cert] }, only),
      ],
    );

    same(
      "requestCert and rejectUnauthorized, of which only true and only false change anything",
      [[false, null], [true, null], "out", "out", "out", [false, "DEPTH_ZERO_SELF_SIGNED_CERT"]],
      async (tls) => {
        const mine = selfSigned(["client"]);
        const look = (socket: EitherSocket) => [socket.authorized, socket.authorizationError];
        const ask = async (options: object, clients: Partial<Credentials> = mine) => {
          const seen = await visit(tls, options, { ...only, ...clients }, look);
          return typeof seen === "string" ? seen.split(":")[0] : seen;
        };
        return [
          await ask({ requestCert: null, ca: mine.certificate }),
          await ask({ requestCert: true, ca: [Buffer.from(mine.certificate)] }),
          await ask({ requestCert: true, rejectUnauthorized: undefined, ca: pem.cert }),
          await ask({ requestCert: true, rejectUnauthorized: null, ca: pem.cert }),
          await ask({ requestCert: true, ca: pem.cert }, {}),
          await ask({ requestCert: true, rejectUnauthorized: false, ca: pem.cert }),
        ];
      },
    );

    same("setSecureContext(), which keeps requestCert", ["out", "out"], async (tls) => {
      const seen = [];
      for (const options of [pem, { ...pem, requestCert: undefined }]) {
        const answer = await visit(tls, { requestCert: true, ca: pem.cert }, only, undefined, (server) => {
          server.setSecureContext({ ...options, ca: pem.cert });
        });
        seen.push(String(answer).split(":")[0]);
      }
      return seen;
    });

    same(
      "pauseOnConnect",
      [true, "hello"],
      (tls) =>
        visit(tls, { pauseOnConnect: true }, only, async (socket, client) => {
          let text = "";
          socket.on("data", (bytes: Buffer) => text += bytes);
          const isPaused = socket.isPaused();
          client.end("hello");
          const ended = once(socket, "end");
          socket.resume();
          await within(ended, "the end");
          return [isPaused, text];
        }),
    );
  });
}

describe("createServer() and node:tls's", () => {
  same(
    "turn away addresses of a blockList, also where they come in the form of IPv6",
    [true, true, false],
    async (tls) => {
      const isGone = async (host: string | undefined, blocked: string) => {
        const blockList = new BlockList();
        blockList.addAddress(blocked);
        const server = tls.createServer({ ...pem, blockList });
        // Who is let in causes an error, as this is no TLS.
        const letIn = new Promise<boolean>((resolve) => server.once("tlsClientError", () => resolve(false)));
        server.listen({ port: 0, host });
        await within(once(server, "listening"), "the server to listen");
        const socket = connectTcp({ port: server.address()!.port, host: "127.0.0.1" }).on("error", () => {}).resume();
        const closed = new Promise<boolean>((resolve) => socket.once("close", () => resolve(true)));
        socket.write("no TLS at all\n");
        const isClosed = await within(Promise.race([closed, letIn]), "an end or an error");
        socket.destroy();
        await within(new Promise<void>((resolve) => server.close(() => resolve())), "the server to close");
        return isClosed;
      };
      return [
        await isGone("127.0.0.1", "127.0.0.1"),
        await isGone(undefined, "127.0.0.1"),
        await isGone(undefined, "127.0.0.2"),
      ];
    },
  );

  it(
    "but ours resumes a TLS 1.3 session once where nobody listens for resumeSession",
    leavingNothingLater(async () => {
      await using own = await listening(both[0]!, pem);
      using client = new Client({ version: "TLSv1.3" });
      await client.visit(own.port);
      const [ticket] = client.sessions;
      const resumed = [];
      for (let turn = 0; turn < 3; turn++) resumed.push((await client.visit(own.port, ticket)).resumed);
      assertEquals(resumed, [true, false, false]);
    }),
  );

  it("but ours refuses an empty ca where clients are asked for a certificate, as nobody could get in", () => {
    assertThrows(() => createServer({ ...pem, requestCert: true, ca: [] }), TypeError, "ca");
  });
});

describe("createServer() refuses, with the reason, what node:tls takes", () => {
  const refused = {
    allowPartialTrustChain: true,
    certificateCompression: ["zlib"],
    clientCertEngine: "engine",
    dhparam: "auto",
    enableTrace: true,
    highWaterMark: 1024,
    noDelay: false,
    privateKeyEngine: "engine",
    privateKeyIdentifier: "id",
    pskCallback: () => null,
    pskIdentityHint: "hint",
    requestCert: 1,
    ticketKeys: Buffer.alloc(48),
  };
  for (const [name, value] of Object.entries(refused)) {
    it(name, () => {
      const error = thrownBy(() => createServer({ ...pem, [name]: value } as NodeTlsServerOptions));
      assert(
        error instanceof TypeError && error.message.includes(`the option ${name} with createServer(): `),
        `${error}`,
      );
    });
  }
});

describe("revocation lists and PKCS#12", () => {
  const { it } = needing(["openssl"], "openssl");
  let root: Authority;
  let mine: Credentials;
  let revoked: Credentials;
  beforeAll(() => {
    if (!pathOf("openssl")) return;
    root = new Authority("root");
    mine = root.issue(["client"]);
    revoked = root.issue(["revoked"]);
  });
  afterAll(() => {
    if (pathOf("openssl")) root[Symbol.dispose]();
  });

  /** Asks both the same, for each version. */
  function forBoth(name: string, expected: unknown, ask: (tls: LikeNode, only: SslContextOptions) => unknown): void {
    for (const version of versions) {
      it(
        `${version}: ${name}`,
        leavingNothingLater(async () => {
          for (const tls of both) {
            const seen = await ask(tls, { minVersion: version, maxVersion: version });
            assertEquals([tls.name, seen], [tls.name, expected]);
          }
        }),
      );
    }
  }

  const look = (socket: EitherSocket) => [socket.authorized, socket.authorizationError];

  forBoth(
    "crl says who is not let in any more",
    [[true, null], [false, "CERT_REVOKED"], [false, "UNABLE_TO_GET_CRL"], [false, "CERT_REVOKED"]],
    async (tls, only) => {
      const crl = root.revocationList([revoked.certificate]);
      const options = { requestCert: true, rejectUnauthorized: false, ca: root.chain, crl };
      using other = new Authority("other");
      return [
        await visit(tls, options, { ...only, ...mine }, look),
        await visit(tls, options, { ...only, ...revoked }, look),
        await visit(tls, { ...options, crl: other.revocationList() }, { ...only, ...mine }, look),
        await visit(
          tls,
          { ...options, crl: [Buffer.from(other.revocationList()), crl] },
          { ...only, ...revoked },
          look,
        ),
      ];
    },
  );

  forBoth("crl keeps the revoked out", ["in", "out"], async (tls, only) => {
    const crl = root.revocationList([revoked.certificate]);
    const options = { requestCert: true, ca: root.chain, crl };
    return [
      await visit(tls, options, { ...only, ...mine }),
      String(await visit(tls, options, { ...only, ...revoked })).split(":")[0],
    ];
  });

  it(
    "a session does not outlive a list that its client is on",
    leavingNothingLater(async () => {
      for (const version of versions) {
        const ask = { requestCert: true, ca: root.chain };
        await using own = await listening(both[0]!, { ...pem, ...ask, crl: root.revocationList() });
        using client = new Client({ version, ...revoked });
        await client.visit(own.port);
        const [session] = client.sessions;
        own.server.setSecureContext({ ...pem, ...ask, crl: root.revocationList([revoked.certificate]) });
        const recording = new Recording();
        const answer = await client.connect(own.port, recording.handlers, { session: session! })
          .catch((error: Error) => error);
        // With TLS 1.3 a client learns of it after its own handshake.
        const end = answer instanceof Error ? answer : await within(recording.closed, "the connection to close");
        assert(end instanceof Error, `${version}: it was let in`);
      }
    }),
  );

  it("lists that are none are refused", () => {
    const error = thrownBy(() => createServer({ ...pem, crl: "nope" }));
    assert(error instanceof Error && error.message.includes("revocation lists"), `${error}`);
    const list = root.revocationList();
    const damaged = list.replace(/(BEGIN X509 CRL-----\n.{20})./, "$1!");
    assert(thrownBy(() => createServer({ ...pem, crl: list + damaged })) instanceof Error);
  });

  forBoth("pfx has certificate, key and issuers", ["localhost", "localhost", [true, null]], async (tls, only) => {
    const middle = new Authority("middle", root);
    using _middle = middle;
    const theirs = middle.issue(["localhost"]);
    const pfx = Buffer.from(Authority.pkcs12(theirs, "secret"));
    const options = { key: undefined, cert: undefined };
    const clients = { ...only, certificateAuthorities: root.chain };
    const name = (_socket: EitherSocket, client: TlsDuplex) => client.getPeerCertificate().subject.CN;
    const full = Buffer.from(Authority.pkcs12({ ...theirs, certificate: theirs.certificate + root.chain }, "secret"));
    return [
      await visit(tls, { ...options, pfx, passphrase: "secret" }, clients, name),
      await visit(tls, { ...options, pfx: [{ buf: pfx, passphrase: "secret" }] }, clients, name),
      await visit(
        tls,
        { ...options, pfx: full, passphrase: "secret", requestCert: true },
        { ...clients, ...mine },
        look,
      ),
    ];
  });

  it("PKCS#12 that cannot be read is refused, as is one beside key and cert", () => {
    const pfx = Authority.pkcs12(mine, "secret");
    for (
      const options of [{ pfx, passphrase: "wrong" }, { pfx }, { pfx: pfx.subarray(0, 50) }, { pfx: new Uint8Array() }]
    ) {
      const error = thrownBy(() => createServer(options));
      assert(error instanceof Error && error.message.includes("PKCS#12"), `${error}`);
      assert(!error.message.includes("wrong,"), "the passphrase is told");
    }
    assertThrows(() => createServer({ ...pem, pfx, passphrase: "secret" }), TypeError, "pfx");
  });
});
