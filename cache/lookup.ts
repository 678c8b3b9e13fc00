import type { SslConnection } from "../ssl/connection.ts";
import type { ProtocolVersion } from "../ssl/protocol.ts";
import type { Session } from "../ssl/session.ts";
import type { Question } from "./question.ts";
import type { Lineage } from "./vault.ts";

/** A session that a client offers, and where the store would have it. */
export interface OfferedSession {
  readonly id: Uint8Array;
  readonly key: string;
}

/** What the store has under a key, as it stands for one handshake. */
export interface FoundValue extends OfferedSession {
  readonly value: Uint8Array;
}

/** What came of opening the value that was found, for as long as the client asks for the same. */
export interface Opened {
  /** Undefined where it may not resume. */
  readonly session: Session | undefined;
  /** What the next session of its line goes on with. */
  readonly lineage: Lineage | undefined;
  /** What it was opened for. */
  readonly serverName: string | undefined;
  readonly idContext: Uint8Array;
}

/**
 * One handshake's question to the store, and what came of it. It is kept until the handshake ends: libssl asks for a
 * session as often as a client offers it, and once more after a HelloRetryRequest. A store that gave the session away at
 * the first would not have it at the second, and opening it again would cost more than a handshake.
 */
export class Lookup {
  /** For those who are not to keep it alive. */
  readonly reference: WeakRef<Lookup> = new WeakRef(this);
  readonly connection: SslConnection;
  /** The protocol that a session would be resumed with. */
  readonly protocol: ProtocolVersion;
  /** Whether the store is to give the session away, or to keep it. */
  readonly operation: "get" | "take";
  /** The server name that the client asks for. */
  serverName: string | undefined;
  /** Whether the question is answered, or no longer waited for. */
  isOver = false;
  found: FoundValue | undefined;
  opened: Opened | undefined;
  /** The session was deleted after libssl had been given it. */
  isRevoked = false;
  /** What the store was asked for last. */
  asked: { readonly session: OfferedSession; readonly question: Question; isRevoked: boolean } | undefined;

  constructor(
    connection: SslConnection,
    protocol: ProtocolVersion,
    operation: "get" | "take",
    serverName: string | undefined,
  ) {
    this.connection = connection;
    this.protocol = protocol;
    this.operation = operation;
    this.serverName = serverName;
  }

  /** Ends the waiting; `reason` says why there is no answer. */
  end(reason?: Error): void {
    this.isOver = true;
    this.asked?.question.leave(this, reason);
  }

  /** Forgets what was opened: for another name, say, it may be another matter. */
  close(): void {
    this.opened?.session?.dispose();
    this.opened = undefined;
  }

  /** The session is being deleted: neither what was found counts any more, nor what is being asked for. */
  revoke(): void {
    if (this.opened?.session) this.isRevoked = true;
    this.close();
    this.found = undefined;
    if (this.asked) this.asked.isRevoked = true;
  }
}
