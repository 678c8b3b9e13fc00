/**
 * The three callbacks of SSL_CTX_sess_set_get_cb(3), with a Map for a store and both ends of each connection in memory.
 *
 *   deno run -A examples/three_callbacks.ts
 *   bun examples/three_callbacks.ts
 *   node examples/three_callbacks.ts
 */

import { selfSigned, type Session, SessionCacheMode, SslConnection, SslContext, SslOption } from "../mod.ts";

const sessions = new Map<string, Session>();
const { Client, Server, NoInternal } = SessionCacheMode;

const serverContext = SslContext.server({
  ...selfSigned(),
  sessionCacheMode: Server | NoInternal, // ours is the only cache
  options: SslOption.NoTicket, // the client gets an id, the server keeps the session
});
serverContext.setNewSessionCallback((_connection, session) => {
  console.log("  new   ", session);
  sessions.set(session.id.join(), session);
  return true; // ours to dispose from now on
});
serverContext.setGetSessionCallback((_connection, id) => {
  console.log("  get   ", sessions.get(id.join()));
  return sessions.get(id.join());
});
serverContext.setRemoveSessionCallback((_context, session, reason) => {
  console.log("  remove", session, `(${reason})`);
  sessions.get(session.id.join())?.dispose();
  sessions.delete(session.id.join());
});

let ticket: Session | undefined;
const clientContext = SslContext.client({ verify: "none", sessionCacheMode: Client | NoInternal });
clientContext.setNewSessionCallback((_connection, session) => {
  ticket?.dispose();
  ticket = session;
  return true;
});

for (const visit of ["first visit", "second visit"]) {
  console.log(visit);
  using server = SslConnection.server(serverContext);
  using client = SslConnection.client(clientContext, ticket ? { session: ticket } : {});
  const buffer = new Uint8Array(20_000);
  while (client.handshake() !== "done" || server.handshake() !== "done") {
    server.pushCiphertext(buffer.slice(0, client.pullCiphertext(buffer)));
    server.handshake();
    client.pushCiphertext(buffer.slice(0, server.pullCiphertext(buffer)));
  }
  client.pushCiphertext(buffer.slice(0, server.pullCiphertext(buffer))); // TLS 1.3 sends its tickets now
  client.read(buffer);
  console.log(`  ${server.protocol}, ${server.isResumed ? "resumed" : "a full handshake"}`);
  client.shutdown(); // a connection that ends without a goodbye has its session removed
  server.shutdown();
}
console.log("the end");
for (const session of sessions.values()) serverContext.removeSession(session);
ticket?.dispose();
clientContext.dispose();
serverContext.dispose();
