// Handshakes in one process, both ends over memory BIOs: the same work as handshakes.c, with the library.
//
//   handshakes.ts certificate.pem key.pem
//
// Reads lines like "TLSv1.3 resumed 500" (milliseconds) and answers each with a line of JSON.

import process from "node:process";
import { createInterface } from "node:readline";
import {
  openLibrary,
  type ProtocolVersion,
  Session,
  SessionCacheMode,
  SslConnection,
  SslContext,
  SslOption,
} from "../mod.ts";

const [certificateFile, privateKeyFile] = process.argv.slice(2) as [string, string];
const buffer = new Uint8Array(16384);

/** The store. It is emptied now and then, as a full handshake's session is never asked for. */
const store = new Map<string, Uint8Array>();

/** The client's latest session. */
let latest: Session | undefined;

function key(id: Uint8Array): string {
  return String.fromCharCode.apply(null, id as unknown as number[]);
}

function makeServer(version: ProtocolVersion): SslContext {
  const context = SslContext.server({
    certificateFile,
    privateKeyFile,
    minVersion: version,
    maxVersion: version,
    options: SslOption.NoTicket,
    numTickets: 1,
    sessionIdContext: "bench",
    sessionCacheMode: SessionCacheMode.Server | SessionCacheMode.NoInternal | SessionCacheMode.NoAutoClear,
  });
  context.setNewSessionCallback((_connection, session) => {
    if (store.size >= 4096) store.clear();
    store.set(key(session.id), session.toDer());
  });
  const singleUse = version === "TLSv1.3";
  context.setGetSessionCallback((_connection, id, lookup) => {
    const name = key(id);
    const der = store.get(name);
    if (!der) return undefined;
    if (singleUse) store.delete(name);
    lookup.copy = false;
    return Session.fromDer(der);
  });
  return context;
}

function makeClient(): SslContext {
  const context = SslContext.client({
    verify: "none",
    sessionCacheMode: SessionCacheMode.Client | SessionCacheMode.NoInternal,
  });
  context.setNewSessionCallback((_connection, session) => {
    latest?.dispose();
    latest = session;
    return true;
  });
  return context;
}

function move(from: SslConnection, to: SslConnection): void {
  let length: number;
  do {
    length = from.pullCiphertext(buffer);
    if (length > 0) to.pushCiphertext(buffer.subarray(0, length));
  } while (length === buffer.length);
}

/** One connection from its making to its end. Answers whether it was resumed. */
function handshake(serverContext: SslContext, clientContext: SslContext, resume: boolean): boolean {
  const server = SslConnection.server(serverContext);
  const client = SslConnection.client(clientContext, resume && latest ? { session: latest } : {});
  let serverDone = false, clientDone = false;
  while (!serverDone || !clientDone) {
    if (!clientDone) clientDone = client.handshake() === "done";
    move(client, server);
    if (!serverDone) serverDone = server.handshake() === "done";
    move(server, client);
  }
  // With TLS 1.3 the ticket comes after the handshake.
  client.read(buffer);

  const resumed = server.isResumed;
  client.shutdownQuietly();
  server.shutdownQuietly();
  client.dispose();
  server.dispose();
  return resumed;
}

const servers = { "TLSv1.2": makeServer("TLSv1.2"), "TLSv1.3": makeServer("TLSv1.3") };
const client = makeClient();
console.log(JSON.stringify({ version: openLibrary().version }));

for await (const line of createInterface({ input: process.stdin })) {
  const [protocol, kind, milliseconds] = line.split(" ") as [keyof typeof servers, string, string];
  const server = servers[protocol];
  const resume = kind === "resumed";
  handshake(server, client, false); // for a session of this protocol
  let handshakes = 0, resumed = 0;
  const start = performance.now(), end = start + Number(milliseconds);
  let time = start;
  while (time < end) {
    for (let i = 0; i < 20; i++) resumed += Number(handshake(server, client, resume));
    handshakes += 20;
    time = performance.now();
  }
  if (resumed !== (resume ? handshakes : 0)) throw new Error("Not every handshake went the way that was asked for");
  console.log(JSON.stringify({ handshakes, micros: (time - start) * 1000 / handshakes }));
}
