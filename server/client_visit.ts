import { offerSession, type SslConnection } from "../ssl/connection.ts";
import type { Session } from "../ssl/session.ts";
import {
  type ClientSessions,
  dropSession,
  keepClientSession,
  type KeptSession,
  sevenDays,
  takeSession,
} from "./client_sessions.ts";

/** One connection to a server, as the sessions see it that are kept of the server. */
export class ClientVisit {
  readonly #sessions: ClientSessions;
  readonly #server: string;
  readonly #connection: SslConnection;
  #offered: KeptSession | undefined;
  #verifiedUntil: number | undefined;

  /** @param server all that decides what the server is, and whether it is believed */
  constructor(sessions: ClientSessions, server: string, connection: SslConnection) {
    this.#sessions = sessions;
    this.#server = server;
    this.#connection = connection;
  }

  /** Offers a session if there is one, as late as can be: whoever cannot reach the server spends none. */
  offer(): void {
    const kept = takeSession(this.#sessions, this.#server);
    if (!kept) return;
    try {
      offerSession(this.#connection, kept.session);
      this.#offered = kept;
    } catch {
      // libssl would not have it: the handshake is a full one.
      dropSession(this.#sessions, this.#server, kept);
    } finally {
      if (kept.isSingleUse) kept.session.dispose();
    }
  }

  /** Keeps a session that the server gave. Answers whether it does. */
  keep(session: Session): boolean {
    try {
      return keepClientSession(this.#sessions, this.#server, session, this.#trust());
    } catch {
      // Its certificate cannot be read, say. It is no more than a session that is not there the next time.
      return false;
    }
  }

  /** Until when the verification may be relied on. A resumed connection's was made at an earlier one. */
  #trust(): number {
    if (this.#connection.isResumed) return this.#offered?.verifiedUntil ?? 0;
    return this.#verifiedUntil ??= trustedUntil(this.#connection);
  }

  /** The handshake is done. */
  established(): void {
    if (this.#offered && !this.#connection.isResumed) dropSession(this.#sessions, this.#server, this.#offered);
  }

  /** The handshake failed, perhaps for the session that was offered: the next one is to be a full one. */
  failed(): void {
    if (this.#offered) dropSession(this.#sessions, this.#server, "all");
  }
}

/** Each ticket begins its life anew, so that a line of them would outlive the certificate. */
function trustedUntil(connection: SslConnection): number {
  const certificate = connection.peerCertificate;
  return Math.min(Date.now() + sevenDays, certificate ? Date.parse(certificate.validTo) : Infinity);
}
