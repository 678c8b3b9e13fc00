/**
 * TLS in memory for the tests: pairs of contexts, pairs of connections, and the way bytes go between them. The library
 * is opened here, when the file is loaded, so that what it opens does not count as a test's.
 */

import process from "node:process";
import {
  type HandshakeState,
  openLibrary,
  selfSigned,
  Session,
  SessionCacheMode,
  SslConnection,
  SslContext,
  type SslContextOptions,
  SslOption,
} from "../mod.ts";

openLibrary();

/** The versions that the statements of the manual page are tried with. */
export type Version = "TLSv1.2" | "TLSv1.3";
export const versions: readonly Version[] = ["TLSv1.2", "TLSv1.3"];

/** A certificate for localhost and its key. */
export const credentials: { certificate: string; privateKey: string } = selfSigned();

/** A server's context and a client's. All sessions that the client gets are kept until the end. */
export class Contexts {
  readonly server: SslContext;
  readonly client: SslContext;
  /** What the client was given, oldest first. */
  readonly sessions: Session[] = [];

  constructor(version: Version, server: SslContextOptions = {}, client: SslContextOptions = {}) {
    const versions = { minVersion: version, maxVersion: version };
    // One context for both ends, so that tests can hand a client's session to the server.
    const sessionIdContext = "openssl-sessions";
    const common = { ...versions, sessionIdContext };
    this.server = SslContext.server({ ...credentials, options: SslOption.NoTicket, ...common, ...server });
    try {
      this.client = SslContext.client({
        verify: "none",
        sessionCacheMode: SessionCacheMode.Client | SessionCacheMode.NoInternal,
        ...common,
        ...client,
      });
    } catch (error) {
      this.server.dispose();
      throw error;
    }
    this.client.setNewSessionCallback((_connection, session) => this.sessions.push(session) > 0);
  }

  /**
   * Two connections that have not spoken yet. The client offers a copy of the session: libssl marks the one it has
   * resumed with TLS 1.3 as used up, and a test may want to offer it again. An empty server name is none.
   */
  link(session?: Session, serverName = "localhost"): Link {
    if (!session) return new Link(this, undefined, serverName);
    using copy = Session.fromDer(session.toDer());
    return new Link(this, copy, serverName);
  }

  /** A connection made and cleanly ended. */
  visit(session?: Session): { resumed: boolean } {
    using link = this.link(session);
    link.connect();
    const resumed = link.client.isResumed;
    link.close();
    return { resumed };
  }

  /** A session that the client can resume: the newest that it got from a full handshake. */
  resumable(): Session {
    this.visit();
    return this.sessions.at(-1)!;
  }

  [Symbol.dispose](): void {
    for (const session of this.sessions) session.dispose();
    this.server.dispose();
    this.client.dispose();
  }
}

const chunk = new Uint8Array(20_000);

/** A server's connection and a client's, whose bytes go over when they are told to. */
export class Link {
  readonly server: SslConnection;
  readonly client: SslConnection;

  constructor(contexts: { server: SslContext; client: SslContext }, session?: Session, serverName?: string) {
    this.server = SslConnection.server(contexts.server);
    this.client = SslConnection.client(contexts.client, {
      ...(serverName ? { serverName } : {}),
      ...(session === undefined ? {} : { session }),
    });
  }

  /** Carries over what the client has to send. Answers how many bytes that was. */
  toServer(): number {
    return carry(this.client, this.server);
  }

  /** Carries over what the server has to send. Answers how many bytes that was. */
  toClient(): number {
    return carry(this.server, this.client);
  }

  /** Shakes hands to the end, and gives the client what the server sends after it, such as tickets. */
  connect(): this {
    for (let turn = 0; turn < 20; turn++) {
      const client = this.client.handshake();
      this.toServer();
      const server = this.server.handshake();
      this.toClient();
      if (client === "done" && server === "done") {
        this.deliver();
        return this;
      }
    }
    throw new Error("The handshake does not end");
  }

  /** One half turn each: what the handshakes answer. The client's hello is out and the server has seen it. */
  half(): HandshakeState {
    this.client.handshake();
    this.toServer();
    return this.server.handshake();
  }

  /** Has the client take in what the server has sent after the handshake. */
  deliver(): void {
    this.toClient();
    if (this.client.read(new Uint8Array(1)) !== 0) throw new Error("There was data where only tickets were expected");
  }

  /** Says goodbye on both sides and disposes both. */
  close(): void {
    this.client.shutdown();
    this.toServer();
    this.server.shutdown();
    this.dispose();
  }

  /** Disposes both without a goodbye. */
  dispose(): void {
    this.client.dispose();
    this.server.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function carry(from: SslConnection, to: SslConnection): number {
  let carried = 0;
  for (let length = from.pullCiphertext(chunk); length > 0; length = from.pullCiphertext(chunk)) {
    to.pushCiphertext(chunk.subarray(0, length));
    carried += length;
  }
  return carried;
}

/** What a function throws; an Error of its own if it throws nothing. */
export function thrownBy(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  return new Error("Nothing was thrown");
}

/** Text as bytes. */
export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Bytes in hexadecimal. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The same session as if it had been made this many seconds earlier. Answers the session. */
export function aged(session: Session, seconds: number): Session {
  session.created = new Date(session.created.getTime() - seconds * 1000);
  return session;
}

// libcrypto and libssl make some objects once, at first use, and keep them.
for (const version of versions) {
  using contexts = new Contexts(version);
  contexts.visit(contexts.resumable());
}
// Programs that tests start have use for the rest alone.
if (process.argv[1]?.endsWith("_test.ts")) (await import("./ledger.ts")).openLedger();
