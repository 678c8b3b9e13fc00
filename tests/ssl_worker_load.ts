import { closeLibrary, MemoryStore, selfSigned, SessionCache, SslConnection, SslContext } from "../mod.ts";

/** Handshakes with contexts made and freed all the time. Answers how many new session callbacks were called. */
export function handshakesOfAThread(): number {
  const credentials = selfSigned();
  const buffer = new Uint8Array(20_000);
  let stored = 0;
  for (let round = 0; round < 100; round++) {
    using serverContext = SslContext.server(credentials);
    using clientContext = SslContext.client({ verify: "none" });
    const cache = new SessionCache({ store: new MemoryStore() });
    cache.attach(serverContext);
    using server = SslConnection.server(serverContext);
    using client = SslConnection.client(clientContext);
    while (client.handshake() !== "done" || server.handshake() !== "done") {
      server.pushCiphertext(buffer.slice(0, client.pullCiphertext(buffer)));
      server.handshake();
      client.pushCiphertext(buffer.slice(0, server.pullCiphertext(buffer)));
    }
    server.shutdown();
    stored += cache.stats().stored;
  }
  closeLibrary();
  return stored;
}
