import type { SslConnection } from "../ssl/connection.ts";
import type { ProtocolVersion } from "../ssl/protocol.ts";
import type { Question } from "./question.ts";

/** A session that a client offers, and where the store would have it. */
export interface OfferedSession {
  readonly id: Uint8Array;
  readonly key: string;
}

/** What the store has under a key, as it stands for one handshake. */
export interface FoundValue extends OfferedSession {
  readonly value: Uint8Array;
}

/**
 * One handshake's question to the store. It is kept until the handshake ends: a HelloRetryRequest makes libssl ask
 * twice, and a store that gave the session away at the first would not have it at the second.
 */
export class Lookup {
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
  /** When the line of the session that is resumed began, in milliseconds since 1970. */
  firstHandshake: number | undefined;
  /** What the store is asked for at the moment. */
  asked: { readonly session: OfferedSession; readonly question: Question } | undefined;

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
}
