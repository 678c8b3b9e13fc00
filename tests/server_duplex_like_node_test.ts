/**
 * What a TlsDuplex says and does beside a TLSSocket of node:tls: on Node both are asked, on Deno and Bun ours alone, for
 * what Node answers.
 */

import { assert, assertEquals } from "@std/assert";
import { afterAll, beforeAll, describe, it } from "@std/testing/bdd";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { connect, type Credentials, selfSigned, SslContext, type SslContextOptions, type TlsDuplex } from "../mod.ts";
import { Authority } from "./authority.ts";
import { both, type EitherSocket, type LikeNode, listening, outcome } from "./like_node_support.ts";
import { needing, pathOf } from "./outside_programs.ts";
import { within } from "./server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { credentials, type Version, versions } from "./support.ts";

const pem = { key: credentials.privateKey, cert: credentials.certificate };

/** Both ends of a connection: the server's of the one that is asked, the client's ours. */
async function visit<T>(
  tls: LikeNode,
  version: Version,
  look: (socket: EitherSocket, client: TlsDuplex, server: EventTarget | object) => Promise<T> | T,
  options: object = {},
  clients: SslContextOptions = {},
): Promise<T> {
  let opened: (socket: EitherSocket) => void = () => {};
  const opening = new Promise<EitherSocket>((resolve) => opened = resolve);
  await using own = await listening(tls, { ...pem, ...options }, (socket) => {
    socket.on("error", () => {});
    opened(socket);
  });
  using context = SslContext.client({
    ...{ certificateAuthorities: pem.cert, minVersion: version, maxVersion: version },
    ...clients,
  });
  const client = await within(
    connect({ hostname: "127.0.0.1", serverName: "localhost", port: own.port, context }),
    "a connection",
  );
  const socket = await within(opening, "secureConnection");
  try {
    return await look(socket, client, own.server);
  } finally {
    const closed = socket.destroyed ? undefined : once(socket, "close");
    const gone = client.destroyed ? undefined : once(client, "close");
    client.resume();
    socket.resume();
    socket.end();
    client.end();
    await within(Promise.all([closed, gone]), "the connection to close");
  }
}

/** Asks both the same. */
function same<T>(name: string, expected: T, ask: (tls: LikeNode) => Promise<T>): void {
  it(
    name,
    leavingNothingLater(async () => {
      for (const tls of both) assertEquals([tls.name, await ask(tls)], [tls.name, expected]);
    }),
  );
}

for (const version of versions) {
  describe(`${version}: a TlsDuplex and a TLSSocket`, () => {
    same("have the same properties", {
      authorized: false,
      authorizationError: null,
      alpnProtocol: false,
      servername: "localhost",
      encrypted: true,
      secureConnecting: false,
      connecting: false,
      pending: false,
      readyState: "open",
      bufferSize: 0,
      bytesRead: 0,
      bytesWritten: 0,
      remoteAddress: "127.0.0.1",
      remoteFamily: "IPv4",
      localAddress: "127.0.0.1",
      localFamily: "IPv4",
      timeout: 0,
      destroyed: false,
      autoSelectFamilyAttemptedAddresses: undefined,
    } as Record<string, unknown>, (tls) =>
      visit(tls, version, (socket) => {
        const names = [
          "authorized",
          "authorizationError",
          "alpnProtocol",
          "servername",
          "encrypted",
          "secureConnecting",
        ];
        names.push("connecting", "pending", "readyState", "bufferSize", "bytesRead", "bytesWritten", "remoteAddress");
        names.push("remoteFamily", "localAddress", "localFamily", "timeout", "destroyed");
        names.push("autoSelectFamilyAttemptedAddresses");
        return Object.fromEntries(names.map((name) => [name, socket[name]]));
      }));

    same(
      "tell the same of the handshake",
      {
        protocol: version,
        reused: false,
        certificate: [{ CN: "localhost" }, "CN=localhost"],
        peer: [{}, undefined],
        ephemeral: null,
        ticket: undefined,
        finished: [true, true],
        peerFinished: [true, true],
        sigalgs: [true, true],
        server: true,
        address: [["address", "family", "port"], true],
      } as unknown,
      (tls) =>
        visit(tls, version, (socket, client, server) => ({
          protocol: socket.getProtocol(),
          reused: socket.isSessionReused(),
          certificate: [{ ...socket.getCertificate().subject }, socket.getX509Certificate().subject],
          peer: [socket.getPeerCertificate(), socket.getPeerX509Certificate()],
          ephemeral: socket.getEphemeralKeyInfo(),
          ticket: socket.getTLSTicket(),
          finished: [Buffer.isBuffer(socket.getFinished()), socket.getFinished().equals(client.getPeerFinished())],
          peerFinished: [
            Buffer.isBuffer(socket.getPeerFinished()),
            socket.getPeerFinished().equals(client.getFinished()),
          ],
          sigalgs: ["ECDSA+SHA256", "RSA-PSS+SHA256"].map((name) => socket.getSharedSigalgs().includes(name)),
          server: socket.server === server,
          address: [Object.keys(socket.address()).sort(), socket.address().port === socket.localPort],
        })),
    );

    same("do the same", {
      fragments: [true, false, true, false, "TypeError"],
      timeouts: [true, 100, true, 0, "RangeError", "TypeError", "TypeError"],
      keyingMaterial: [true, "RangeError", "TypeError", "TypeError"],
      chained: [true, true, true, true],
      refused: ["Error ERR_TLS_SNI_FROM_SERVER", "TypeError ERR_INVALID_HANDLE_TYPE"],
      renegotiation: [undefined, false, true],
    } as unknown, (tls) =>
      visit(tls, version, async (socket, client) => {
        const kind = (call: () => unknown) => outcome(call).split(" ")[0];
        const timeouts = [
          socket.setTimeout(100) === socket,
          socket.timeout,
          socket.setTimeout(0) === socket,
          socket.timeout,
          kind(() => socket.setTimeout(-1)),
          kind(() => socket.setTimeout("1")),
          kind(() => socket.setTimeout(0, 5)),
        ];
        const material = socket.exportKeyingMaterial(32, "EXPORTER-test", Buffer.from("context"));
        const fragments = [512, 511, 16_384, 16_385].map((size) => socket.setMaxSendFragment(size));
        socket.disableRenegotiation();
        let called: (error: unknown) => void;
        const calling = new Promise<unknown>((resolve) => called = resolve);
        const hasBegun = version === "TLSv1.3" ? socket.renegotiate({}, (error: unknown) => called(error)) : false;
        if (version !== "TLSv1.3") called!(new Error("Node renegotiates there, and this library never does"));
        return {
          fragments: [...fragments, kind(() => socket.setMaxSendFragment("512"))],
          timeouts,
          keyingMaterial: [
            material.equals(client.exportKeyingMaterial(32, "EXPORTER-test", Buffer.from("context"))),
            kind(() => socket.exportKeyingMaterial(0, "label")),
            kind(() => socket.exportKeyingMaterial(32, 5)),
            kind(() => socket.exportKeyingMaterial(32, "label", "context")),
          ],
          chained: [socket.setNoDelay(), socket.setKeepAlive(true, 1000), socket.unref(), socket.ref()]
            .map((answer) => answer === socket),
          refused: [outcome(() => socket.setServername("other")), outcome(() => socket.resetAndDestroy())],
          renegotiation: [socket.disableRenegotiation(), hasBegun, await calling instanceof Error],
        };
      }));

    same("answer the same when they are closed", {
      nulls: [null, null, null, null, null, null, null],
      undefineds: [undefined, undefined, undefined, undefined],
      address: {},
      state: ["closed", true, false, true, undefined],
      setTimeout: true,
      renegotiate: undefined,
    } as unknown, (tls) =>
      visit(tls, version, async (socket, client) => {
        const closed = once(socket, "close");
        client.destroy();
        socket.destroy();
        await within(closed, "the socket to close");
        const methods = ["getFinished", "getPeerFinished", "getSharedSigalgs", "getEphemeralKeyInfo", "getTLSTicket"];
        const nulls = [...methods, "getCertificate", "getSession"].map((method) => socket[method]());
        const undefineds = [socket.getX509Certificate(), socket.localAddress, socket.localPort, socket.localFamily];
        return {
          nulls,
          undefineds,
          address: socket.address(),
          state: [socket.readyState, socket.destroyed, socket.connecting, socket.pending, socket.bufferSize],
          setTimeout: socket.setTimeout(5) === socket,
          renegotiate: socket.renegotiate({}),
        };
      }));

    same(
      "see the client's certificate without its issuers where they are not asked for",
      [{ CN: "client" }, false, { CN: "client" }, false],
      (tls) => {
        const mine = selfSigned(["client"]);
        const options = { requestCert: true, ca: [mine.certificate] };
        return visit(
          tls,
          version,
          (socket) => {
            const plain = socket.getPeerCertificate();
            const detailed = socket.getPeerCertificate(true);
            const isItsOwn = detailed.issuerCertificate === detailed;
            return [{ ...plain.subject }, "issuerCertificate" in plain, { ...detailed.subject }, isItsOwn] as unknown[];
          },
          options,
          mine,
        );
      },
    );
  });

  describe(`${version}: a client's TlsDuplex`, () => {
    const groups = { X25519: ["X25519", 253], "P-256": ["prime256v1", 256] } as const;
    for (const [group, [name, size]] of Object.entries(groups)) {
      same(
        `knows the server's part of the key exchange: ${group}`,
        { type: "ECDH", name, size } as unknown,
        (tls) =>
          visit(tls, version, (_socket, client) => client.getEphemeralKeyInfo(), { ecdhCurve: "auto" }, {
            groups: group === "P-256" ? group : `${group}:P-256`,
          }),
      );
    }

    it(
      "has its ticket",
      leavingNothingLater(async () => {
        for (const tls of both) {
          await visit(tls, version, async (socket, client) => {
            socket.write("hello");
            await once(client, "data");
            const ticket = client.getTLSTicket();
            // Ours gives no ticket with TLS 1.2: its session has an id.
            if (version === "TLSv1.2" && tls === both[0]) assertEquals(ticket, undefined);
            else assert(Buffer.isBuffer(ticket) && ticket.length >= 32);
          });
        }
      }),
    );
  });
}

describe("the chain of a client's certificate", () => {
  let root: Authority;
  let middle: Authority;
  let mine: Credentials;
  let theirs: Credentials;
  beforeAll(() => {
    if (!pathOf("openssl")) return;
    root = new Authority("root");
    middle = new Authority("middle", root);
    mine = middle.issue(["client"]);
    theirs = root.issue(["localhost"]);
  });
  afterAll(() => {
    if (!pathOf("openssl")) return;
    middle[Symbol.dispose]();
    root[Symbol.dispose]();
  });

  /** The subjects from the certificate on, and whether the last one is its own issuer. */
  function subjects(certificate: { subject: { CN: string }; issuerCertificate?: unknown }): unknown[] {
    const names: unknown[] = [];
    for (let at = certificate; at;) {
      names.push(at.subject.CN);
      const issuer = at.issuerCertificate as typeof at | undefined;
      if (issuer === at) return [...names, true];
      at = issuer!;
    }
    return [...names, false];
  }

  for (const version of versions) {
    needing(["openssl"], "openssl").it(
      `${version}: is told in full, with the root that is trusted here`,
      leavingNothingLater(async () => {
        // That of a server is ours alone: node:tls tells the first there.
        const options = { requestCert: true, ca: root.chain, key: theirs.privateKey, cert: theirs.certificate };
        const clients = { ...mine, certificateAuthorities: root.chain };
        const expected = [["client", "middle", "root", true], ["localhost", "root", true]];
        const look = (socket: EitherSocket, client: TlsDuplex) =>
          [socket, client].map((stream) => subjects(stream.getPeerCertificate(true)));
        assertEquals(await visit(both[0]!, version, look, options, clients), expected);
      }),
    );
  }
});
