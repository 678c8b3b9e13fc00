/**
 * Handshakes for several threads at once. Not by way of support.ts: what it has libcrypto tell of objects comes to every
 * thread that asked, also of other threads' objects.
 */

import { selfSigned, type Session, SslConnection, SslContext } from "../mod.ts";

const credentials = selfSigned();
const buffer = new Uint8Array(20_000);

/** Contexts with callbacks, and connections of theirs; one is left without a goodbye. */
export function shakeHands(maxVersion: "TLSv1.2" | "TLSv1.3", onNewSession: () => void = () => {}): void {
  const sessions: Session[] = [];
  const serverContext = SslContext.server({ ...credentials, maxVersion });
  serverContext.setNewSessionCallback(() => {
    onNewSession();
    return false;
  });
  serverContext.setGetSessionCallback(() => undefined);
  serverContext.setClientHelloCallback(() => "continue");
  serverContext.setRemoveSessionCallback(() => {});
  const clientContext = SslContext.client({ verify: "none", maxVersion });
  clientContext.setNewSessionCallback((_connection, session) => sessions.push(session) > 0);
  for (let n = 0; n < 10; n++) {
    const [session] = sessions.slice(-1);
    const server = SslConnection.server(serverContext);
    const client = SslConnection.client(clientContext, session ? { session } : {});
    while (client.handshake() !== "done" || server.handshake() !== "done") {
      server.pushCiphertext(buffer.subarray(0, client.pullCiphertext(buffer)));
      server.handshake();
      client.pushCiphertext(buffer.subarray(0, server.pullCiphertext(buffer)));
    }
    if (n % 2) server.shutdown();
    server.dispose();
    client.dispose();
  }
  for (const session of sessions) session.dispose();
  serverContext.dispose();
  clientContext.dispose();
}
