import type { SslConnection } from "../ssl/connection.ts";
import { acceptsAnyCertificate, requiresCertificate, verifyClientAgain } from "../ssl/client_certificate.ts";
import { nameOfPeer } from "../ssl/names.ts";
import type { Session } from "../ssl/session.ts";
import { peerCertificateEnd, verifyResultIn } from "../ssl/session_peer.ts";
import { supportsCipherOf } from "../ssl/supported_ciphers.ts";
import { sameBytes } from "./hex.ts";
import type { Lookup } from "./lookup.ts";
import type { RefusalReason } from "./session_cache_options.ts";
import type { StoredSession } from "./vault.ts";

/** How far the clocks of servers that share a store may be apart, in milliseconds. */
const clockTolerance = 300_000;

/** Which sessions resume: those that give no more than a full handshake would give today. */
export class ResumptionPolicy {
  readonly #maxSessionAge: number;
  readonly #maxLineageAge: number;

  /** The longest times in milliseconds. */
  constructor(maxSessionAge: number, maxLineageAge: number) {
    this.#maxSessionAge = maxSessionAge;
    this.#maxLineageAge = maxLineageAge;
  }

  /** When a session ends: with its own time, its line's, or the client certificate that it vouches for. */
  expiry(session: Session, firstHandshake: number): number {
    const created = session.created.getTime();
    return Math.min(
      created + session.timeout * 1000,
      created + this.#maxSessionAge,
      firstHandshake + this.#maxLineageAge,
      peerCertificateEnd(session) ?? Infinity,
    );
  }

  /**
   * Why a session that was found does not resume; undefined where it does.
   *
   * @param stored what the store has of it
   * @param lookup of the handshake, whose version and context are chosen
   * @param id what the client has offered
   */
  refusal(session: Session, stored: StoredSession, lookup: Lookup, id: Uint8Array): RefusalReason | undefined {
    const { connection } = lookup;
    // Any other session would end the handshake.
    if (!sameBytes(session.id, id)) return "another session";
    if (session.protocol !== connection.protocol) return "another protocol version";
    if (!isSameName(session.serverName, lookup.serverName)) return "another server name";
    const idContext = connection.sessionIdContext;
    if (idContext.length > 0 && !sameBytes(session.idContext, idContext)) return "another context";
    // With TLS 1.3 the cipher is negotiated anew.
    if (session.protocol !== "TLSv1.3" && !supportsCipherOf(connection, session)) return "another cipher";
    const now = Date.now();
    const latest = now + clockTolerance;
    if (session.created.getTime() > latest || stored.firstHandshake > latest) return "from the future";
    // Also where it is no time at all.
    if (!(this.expiry(session, stored.firstHandshake) > now)) return "too old";
    if (!isClientAcceptable(connection, session, stored)) return "the client's certificate";
    return undefined;
  }
}

/** Whether it is one name, in whatever form the client has sent it. What is no name is the same only as it is. */
function isSameName(one: string | undefined, other: string | undefined): boolean {
  if (one === other) return true;
  const name = nameOfPeer(one);
  return name !== undefined && name === nameOfPeer(other);
}

/** Whether the client would be let in, and taken for as trusted, by what it showed when the session was made. */
function isClientAcceptable(connection: SslConnection, session: Session, { der, chain }: StoredSession): boolean {
  const hasCertificate = peerCertificateEnd(session) !== undefined;
  if (!connection.asksForCertificate) return !hasCertificate;
  if (!hasCertificate) return !requiresCertificate(connection);
  // Another server, or this one before it was reloaded, may have let in clients that are not let in here.
  const wasVerified = verifyResultIn(der) === 0;
  if (!wasVerified && !acceptsAnyCertificate(connection)) return false;
  // One that lets in unverified clients goes on with what it was told of them; libssl may have gone on to other errors.
  return (verifyClientAgain(connection, session, chain) === 0) === wasVerified;
}
