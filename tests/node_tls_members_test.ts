/** Nothing of node:tls's Server and TLSSocket is missing in silence: it is here, or NODE_TLS.md says that it is not. */

import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createServer, NodeTlsServer, NodeTlsSocket, TlsDuplex } from "../mod.ts";
import { nodeServerKinds } from "../server/node_tls_options.ts";
import { outcome } from "./like_node_support.ts";
import { root, thisRuntime, within } from "./server_support.ts";
import { credentials, thrownBy } from "./support.ts";

const page = readFileSync(join(root, "NODE_TLS.md"), "utf8");

/** Whether the page says something of it. */
function isDocumented(name: string): boolean {
  return page.includes(`\`${name}\``) || page.includes(`\`${name}(`);
}

/** The members of TLSSocket and of net.Socket, and the properties that a TLSSocket has, of Node 24 and 26. */
const ofSocket = `disableRenegotiation renegotiate exportKeyingMaterial setMaxSendFragment setServername setSession
  getSession getPeerCertificate getCertificate getPeerX509Certificate getX509Certificate setKeyCert getCipher
  getSharedSigalgs getEphemeralKeyInfo getFinished getPeerFinished getProtocol getTLSTicket isSessionReused enableTrace
  setTimeout setNoDelay setKeepAlive setTypeOfService getTypeOfService address pending readyState bufferSize end
  resetAndDestroy pause resume read destroySoon bytesRead remoteAddress remoteFamily remotePort localAddress localPort
  localFamily bytesWritten connect ref unref
  secureConnecting servername alpnProtocol authorized authorizationError encrypted connecting allowHalfOpen server ssl
  timeout`.split(/\s+/);

/** The same of tls.Server and of net.Server. */
const ofServer =
  `setSecureContext getTicketKeys setTicketKeys addContext listen listening address getConnections close ref
  unref`.split(/\s+/);

/** The options of tls.createServer(), tls.createSecureContext() and net.createServer(), as Node's documentation has them. */
const options = `ALPNProtocols ALPNCallback clientCertEngine enableTrace handshakeTimeout rejectUnauthorized requestCert
  sessionTimeout SNICallback ticketKeys pskCallback pskIdentityHint allowPartialTrustChain ca cert sigalgs ciphers crl
  dhparam ecdhCurve honorCipherOrder key privateKeyEngine privateKeyIdentifier maxVersion minVersion passphrase pfx
  secureOptions secureProtocol sessionIdContext certificateCompression allowHalfOpen highWaterMark keepAlive
  keepAliveInitialDelay noDelay pauseOnConnect blockList`.split(/\s+/);

/** The events of tls.Server, net.Server, tls.TLSSocket and net.Socket, as Node's documentation has them. */
const events = {
  server:
    `connection keylog newSession OCSPRequest resumeSession secureConnection tlsClientError close error listening drop`
      .split(/\s+/),
  socket: `keylog OCSPResponse secure secureConnect session close connect data drain end error lookup ready timeout`
    .split(/\s+/),
};
const emitted = ["close", "data", "drain", "end", "error", "timeout"];

/** Which of these an object has neither itself nor from its prototypes, and the page says nothing of. */
function missing(names: readonly string[], object: object): string[] {
  return names.filter((name) => !(name in object) && !isDocumented(name));
}

describe("what node:tls has", () => {
  it("is on a TlsDuplex, or said to be different", () => {
    // The properties that an instance has of its own.
    const own = { server: undefined, remoteAddress: "", remotePort: 0, timeout: 0, allowHalfOpen: true };
    assertEquals(missing(ofSocket, Object.assign(Object.create(TlsDuplex.prototype), own)), []);
    assert(TlsDuplex.prototype instanceof NodeTlsSocket);
  });

  it("is on a server, or said to be different", () => {
    assertEquals(missing(ofServer, NodeTlsServer.prototype), []);
  });

  it("is an option of createServer(), or refused by name and said to be", () => {
    const unknown = options.filter((name) => !(name in nodeServerKinds));
    assertEquals(unknown, []);
    for (const name of options) {
      const refusal = ["TypeError", "true"];
      const error = thrownBy(() => nodeServerKinds[name as "ca"](Symbol(), name, "createServer()"));
      if (error instanceof TypeError && !/it takes/.test(error.message)) {
        assert(isDocumented(name), `${name} ${refusal}`);
      }
    }
  });

  it("is an event, or its listeners are refused and it is said to be different", () => {
    for (const event of events.server) {
      const server = createServer({ key: credentials.privateKey, cert: credentials.certificate });
      const isRefused = outcome(() => server.on(event as "close", () => {})) !== "ok";
      assertEquals(isRefused, ["connection", "OCSPRequest"].includes(event), event);
      if (isRefused) assert(isDocumented(event), event);
    }
    const different = events.socket.filter((event) => !emitted.includes(event) && !isDocumented(event));
    assertEquals(different, []);
  });

  it("and throws, is said to do so", () => {
    const throwing = ["setKeyCert", "setServername", "setSession", "enableTrace", "connect"] as const;
    const others = ["setTypeOfService", "getTypeOfService"] as const;
    const stream = Object.create(TlsDuplex.prototype, { tls: { value: { isClosed: true } } });
    for (const method of [...throwing, ...others]) {
      assert(outcome(() => stream[method]()) !== "ok", method);
      assert(isDocumented(method), method);
    }
    for (const method of ["getTicketKeys", "setTicketKeys"] as const) {
      assert(outcome(() => createServer()[method]()) !== "ok", method);
      assert(isDocumented(method), method);
    }
  });

  if (thisRuntime !== "node") return;
  it("is known to this test: on Node it is looked up", async () => {
    const tls = await import("node:tls");
    const net = await import("node:net");
    const publicOnes = (names: string[]) => names.filter((name) => !name.startsWith("_") && name !== "constructor");
    const membersOf = (...prototypes: object[]) => publicOnes(prototypes.flatMap(Object.getOwnPropertyNames));
    const pem = { key: credentials.privateKey, cert: credentials.certificate };
    const server = tls.createServer(pem);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const connecting = once(server, "secureConnection");
    const client = tls.connect({
      ...{ port: (server.address() as { port: number }).port, host: "127.0.0.1" },
      ca: pem.cert,
    });
    const [socket] = await within(connecting, "a connection");
    const properties = publicOnes(Object.keys(socket));
    const closed = once(client, "close");
    client.resume().end();
    socket.resume();
    await within(closed, "the connection to close");
    await new Promise((resolve) => server.close(resolve));
    const sockets = [...membersOf(tls.TLSSocket.prototype, net.Socket.prototype), ...properties];
    assertEquals(sockets.filter((name) => !ofSocket.includes(name)), []);
    const servers = membersOf(tls.Server.prototype, net.Server.prototype);
    assertEquals(servers.filter((name) => !ofServer.includes(name)), []);
  });
});
