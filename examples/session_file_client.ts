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
import { connect, listen, selfSigned, Session, SessionCache, SqliteStore } from "../mod.ts";

const file = "session.pem";
const url = process.argv[2] ? new URL(process.argv[2]) : undefined;
const credentials = selfSigned();

const store = new SqliteStore(url ? ":memory:" : "sessions.db");
const server = await listen({
  ...credentials,
  hostname: "127.0.0.1",
  sessions: new SessionCache({ store, unsealed: true }), // a trial: see https_server.ts for secrets
}, {
  data: (socket) => socket.end(new TextEncoder().encode("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nHello\n")),
});

let session: Session | undefined;
try {
  session = Session.fromPem(readFileSync(file, "utf8"));
} catch {
  console.log(`No session in ${file} yet`);
}
const options = {
  hostname: url?.hostname ?? "127.0.0.1",
  port: Number(url?.port || (url ? 443 : server.port)),
  serverName: url?.hostname ?? "localhost",
  ...(url ? {} : { certificateAuthorities: credentials.certificate }),
  sessions: false as const, // the file takes their place
  ...(session && { session }),
};
let latest: Session | undefined;
const closed = Promise.withResolvers<void>();
const socket = await connect(options, {
  // With TLS 1.3 the session comes after the handshake, ahead of the first answer.
  data: (socket) => void (latest ??= socket.session()),
  close: (_socket, error) => error ? closed.reject(error) : closed.resolve(),
});
const { protocol, cipher, isResumed } = socket;
console.log(`${protocol} ${cipher}: ${isResumed ? "resumed" : "a full handshake"}`);
socket.write(new TextEncoder().encode(
  `GET / HTTP/1.1\r\nhost: ${url?.host ?? "localhost"}\r\nconnection: close\r\n\r\n`,
));
await closed.promise;
if (latest?.isResumable) writeFileSync(file, latest.toPem(), { mode: 0o600 }); // it holds the connection's keys
latest?.dispose();
session?.dispose();
await server.close();
store.close();
