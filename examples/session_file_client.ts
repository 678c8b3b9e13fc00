/**
 * A client that keeps its session in a file and resumes at its next run. Run it twice:
 *
 *   deno run -A examples/session_file_client.ts
 *   bun examples/session_file_client.ts
 *   node examples/session_file_client.ts
 *
 * Give it the URL of a server whose certificate this machine trusts, and it goes there. Without one it has a server of
 * its own, which keeps its sessions in sessions.db.
 */

import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import {
  connect,
  listen,
  selfSigned,
  Session,
  SessionCache,
  SessionCacheMode,
  SqliteStore,
  SslContext,
} from "../mod.ts";

const file = "session.pem";
const url = process.argv[2] ? new URL(process.argv[2]) : undefined;
const credentials = selfSigned();

const serverContext = SslContext.server(credentials);
const store = new SqliteStore(url ? ":memory:" : "sessions.db");
new SessionCache({ store, unsealed: true }).attach(serverContext); // a trial: see https_server.ts for secrets
const server = await listen({ context: serverContext, hostname: "127.0.0.1" }, {
  data: (socket) => socket.end(new TextEncoder().encode("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nHello\n")),
});

const context = SslContext.client({
  ...(url ? {} : { certificateAuthorities: credentials.certificate }),
  sessionCacheMode: SessionCacheMode.Client | SessionCacheMode.NoInternal,
});
context.setNewSessionCallback((_connection, session) => {
  writeFileSync(file, session.toPem(), { mode: 0o600 }); // it holds the connection's keys
});

let session: Session | undefined;
try {
  session = Session.fromPem(readFileSync(file, "utf8"));
} catch {
  console.log(`No session in ${file} yet`);
}
const { promise: closed, resolve: close } = Promise.withResolvers<void>();
const socket = await connect({
  context,
  hostname: url?.hostname ?? "127.0.0.1",
  port: Number(url?.port || (url ? 443 : server.port)),
  serverName: url?.hostname ?? "localhost",
  ...(session && { session }),
}, { close: () => close() });
console.log(`${socket.protocol} ${socket.cipher}: ${socket.isResumed ? "resumed" : "a full handshake"}`);
// With TLS 1.3 the session comes after the handshake, ahead of the first answer.
socket.write(
  new TextEncoder().encode(`GET / HTTP/1.1\r\nhost: ${url?.host ?? "localhost"}\r\nconnection: close\r\n\r\n`),
);
await closed;
session?.dispose();
context.dispose();
await server.close();
serverContext.dispose();
store.close();
