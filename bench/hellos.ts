// How long a server's thread is held by one ClientHello: hellos.ts
//
// Answers each line, a number of rounds, with a line of JSON: the milliseconds by the hello's name.

import process from "node:process";
import { createInterface } from "node:readline";
import {
  MemoryStore,
  openLibrary,
  selfSigned,
  Session,
  SessionCache,
  SessionCacheMode,
  SslConnection,
  SslContext,
} from "../mod.ts";
import { RawHello } from "../tests/hello.ts";
import { worstHellos } from "../tests/worst_hellos.ts";

const buffer = new Uint8Array(100_000);
const identity = selfSigned(["client"]);

/** A server that asks for certificates and seals its sessions, and a client of it with some of them. */
class Pair {
  readonly server: SslContext;
  readonly client: SslContext;
  readonly sessions: Session[] = [];

  constructor(asksForAnotherHello: boolean) {
    this.server = SslContext.server({
      ...selfSigned(),
      verify: "require",
      certificateAuthorities: identity.certificate,
      ...(asksForAnotherHello && { groups: "P-384" }),
    });
    new SessionCache({ store: new MemoryStore(), secrets: ["sixteen bytes are enough"] }).attach(this.server);
    const sessionCacheMode = SessionCacheMode.Client | SessionCacheMode.NoInternal;
    this.client = SslContext.client({ ...identity, verify: "none", sessionCacheMode, groups: "X25519:P-384" });
    this.client.setNewSessionCallback((_connection, session) => this.sessions.push(session) > 0);
    for (let n = 0; n < 10; n++) this.#visit();
  }

  #visit(): void {
    const [server, client] = [SslConnection.server(this.server), SslConnection.client(this.client)];
    for (let turn = 0; turn < 6; turn++) {
      client.handshake();
      server.pushCiphertext(buffer.subarray(0, client.pullCiphertext(buffer)));
      server.handshake();
      client.pushCiphertext(buffer.subarray(0, server.pullCiphertext(buffer)));
    }
    client.read(buffer);
    for (const connection of [server, client]) {
      connection.shutdownQuietly();
      connection.dispose();
    }
  }

  /** The hello of a client that offers a session. */
  hello(session: Session): RawHello {
    const copy = Session.fromDer(session.toDer());
    const client = SslConnection.client(this.client, { session: copy });
    client.handshake();
    const hello = new RawHello(buffer.slice(0, client.pullCiphertext(buffer)));
    client.dispose();
    copy.dispose();
    return hello;
  }

  /** For how long the server is held by this, in milliseconds. */
  time(records: Uint8Array, hellos: number): number {
    const server = SslConnection.server(this.server);
    const began = performance.now();
    for (let n = 0; n < hellos; n++) {
      server.pushCiphertext(records);
      try {
        server.handshake();
      } catch {
        // Most fail in the end.
      }
    }
    const milliseconds = performance.now() - began;
    server.dispose();
    return milliseconds;
  }

  dispose(): void {
    for (const session of this.sessions) session.dispose();
    this.server.dispose();
    this.client.dispose();
  }
}

/** The median of so many rounds, each with a session that was not used before. */
function measure(rounds: number, change: (hello: RawHello, ids: readonly Uint8Array[]) => void, hellos = 1): number {
  const times = Array.from({ length: rounds }, () => {
    const pair = new Pair(hellos > 1);
    const ids = pair.sessions.map((session) => pair.hello(session).offered);
    const hello = pair.hello(pair.sessions[0]!);
    change(hello, ids);
    const time = pair.time(hello.write(), hellos);
    pair.dispose();
    return time;
  });
  return times.sort((a, b) => a - b)[rounds >> 1]!;
}

console.log(JSON.stringify({ version: openLibrary().version }));
for await (const line of createInterface({ input: process.stdin })) {
  const rounds = Number(line);
  const all = { "an ordinary one, which resumes": { change: () => {}, hellos: 1 }, ...worstHellos };
  const times = Object.entries(all).map(([name, { change, hellos }]) => [name, measure(rounds, change, hellos)]);
  console.log(JSON.stringify(Object.fromEntries(times)));
}
