import { beforeClosing } from "../ssl/library.ts";
import { integer } from "../ssl/option_kinds.ts";
import { type OptionKinds, readOptions } from "../ssl/options.ts";
import { ReleasedError } from "../ssl/released_error.ts";
import type { Session } from "../ssl/session.ts";
import { ClientContexts } from "./client_contexts.ts";

/** A session that is kept. */
export interface KeptSession {
  readonly session: Session;
  /** TLS 1.3: it is offered once, so that nobody can tell two connections to be the same client's. */
  readonly isSingleUse: boolean;
  /** When it can no longer be resumed, in milliseconds since 1970. */
  readonly expires: number;
  /** Until when the verification that it rests on may be relied on, in milliseconds since 1970. */
  readonly verifiedUntil: number;
}

/** The longest life of a ticket, in milliseconds. @see RFC 8446, section 4.6.1 */
export const sevenDays: number = 7 * 24 * 3600 * 1000;

const kinds: OptionKinds<{ maxServers?: number; maxSessionsPerServer?: number }> = {
  maxServers: integer(1, Number.MAX_SAFE_INTEGER),
  maxSessionsPerServer: integer(1, Number.MAX_SAFE_INTEGER),
};

/** How often expired sessions are looked for on all servers, in milliseconds. */
const sweepInterval = 60_000;

// What connect() does with the sessions and a user must not.

/** The contexts that connections are made with. */
export let contextsOf: (sessions: ClientSessions) => ClientContexts;
/** Takes the newest session for a server. One that is not single-use stays the store's. */
export let takeSession: (sessions: ClientSessions, server: string) => KeptSession | undefined;
/** Keeps a session, which becomes the store's. False if it is not worth keeping. It does not throw. */
export let keepClientSession: (
  sessions: ClientSessions,
  server: string,
  session: Session,
  verifiedUntil: number,
) => boolean;
/** Gives back a session that is kept, or all of a server. */
export let dropSession: (sessions: ClientSessions, server: string, which: KeptSession | "all") => void;

/**
 * Where {@linkcode connect} keeps the sessions it is given, to resume them at the next connection to the same server. If
 * nothing else is said there is one for the whole program.
 *
 * A session is only ever offered to the server it came from: the same `hostname`, `port` and `serverName`, with equal
 * options for the context, ALPN, certificate authorities and the own certificate among them. TLS 1.3's are used once, the newest
 * first. TLS 1.2's are used until they expire or are replaced. None is used after the server's certificate has expired,
 * nor for more than seven days after the certificate was last verified.
 *
 * It also keeps the contexts that `connect` makes of its options, as the system's certificate authorities take some
 * 20 ms to load.
 *
 * @example
 * ```ts
 * import { ClientSessions, connect, listen, selfSigned, SslContext } from "@openssl-sessions/openssl-sessions";
 *
 * const credentials = selfSigned();
 * using context = SslContext.server(credentials);
 * await using server = await listen({ context, hostname: "127.0.0.1" }, {
 *   data: (socket, bytes) => void socket.end(bytes),
 * });
 *
 * using sessions = new ClientSessions({ maxServers: 10 });
 * for (const resumed of [false, true]) {
 *   const socket = await connect({
 *     hostname: "localhost",
 *     port: server.port,
 *     certificateAuthorities: credentials.certificate,
 *     sessions,
 *   });
 *   socket.write("Hello");
 *   for await (const bytes of socket) console.log(String(bytes), socket.tls.isResumed === resumed); // Hello true
 * }
 * ```
 */
export class ClientSessions {
  /** The most servers that it keeps sessions of. */
  readonly maxServers: number;
  /** The most sessions that it keeps of one server. */
  readonly maxSessionsPerServer: number;
  readonly #contexts = new ClientContexts();
  // A Map remembers the order of insertion; a server that is used is inserted anew. The newest session is the last.
  readonly #servers = new Map<string, KeptSession[]>();
  #nextSweep = 0;
  #disposed = false;

  /**
   * Keeps nothing yet.
   *
   * @param options `maxServers`: the most servers that sessions are kept of, by default 1,000; beyond that those of the
   *   server that was used the longest ago are given up. `maxSessionsPerServer`: by default 4
   * @throws {TypeError} for an option that is not known, or of another type
   * @throws {RangeError} if either is not a whole number above 0
   */
  constructor(options: { maxServers?: number; maxSessionsPerServer?: number } = {}) {
    const { maxServers = 1000, maxSessionsPerServer = 4 } = readOptions("new ClientSessions()", kinds, options);
    this.maxServers = maxServers;
    this.maxSessionsPerServer = maxSessionsPerServer;
  }

  static {
    contextsOf = (sessions) => {
      if (sessions.#disposed) throw new ReleasedError("ClientSessions", "dispose()");
      return sessions.#contexts;
    };
    takeSession = (sessions, server) => sessions.#take(server);
    keepClientSession = (sessions, server, session, verifiedUntil) => sessions.#keep(server, session, verifiedUntil);
    dropSession = (sessions, server, which) => sessions.#retain(server, (kept) => which !== "all" && kept !== which);
  }

  /** How many sessions it keeps, expired ones that nobody has asked for in the last minute among them. */
  get size(): number {
    let size = 0;
    for (const kept of this.#servers.values()) size += kept.length;
    return size;
  }

  /** Gives back all sessions, and the contexts. Connections that are there go on, and what they are given is kept. */
  clear(): void {
    for (const server of [...this.#servers.keys()]) this.#retain(server, () => false);
    this.#contexts.clear();
  }

  /** Gives back all that it keeps, for good: connections that are there go on, and `connect` refuses it. */
  dispose(): void {
    this.#disposed = true;
    this.clear();
  }

  /** The same as {@linkcode ClientSessions.dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  #take(server: string): KeptSession | undefined {
    this.#retain(server, isGood);
    const sessions = this.#servers.get(server);
    const newest = sessions?.at(-1);
    if (!sessions || !newest) return undefined;
    if (newest.isSingleUse) sessions.pop();
    this.#servers.delete(server);
    if (sessions.length > 0) this.#servers.set(server, sessions);
    return newest;
  }

  #keep(server: string, session: Session, verifiedUntil: number): boolean {
    if (this.#disposed) return false;
    this.#sweep();
    const kept: KeptSession = {
      session,
      isSingleUse: session.protocol === "TLSv1.3",
      expires: expiry(session),
      verifiedUntil,
    };
    if (!isGood(kept)) return false;
    // TLS 1.2's replaces what is there, and is replaced by what comes.
    this.#retain(server, (other) => kept.isSingleUse && other.isSingleUse);
    const sessions = this.#servers.get(server) ?? [];
    this.#servers.delete(server);
    while (sessions.length >= this.maxSessionsPerServer) sessions.shift()!.session.dispose();
    while (this.#servers.size >= this.maxServers) this.#retain(this.#servers.keys().next().value!, () => false);
    sessions.push(kept);
    this.#servers.set(server, sessions);
    return true;
  }

  #sweep(): void {
    const now = Date.now();
    if (now < this.#nextSweep) return;
    this.#nextSweep = now + sweepInterval;
    for (const server of [...this.#servers.keys()]) this.#retain(server, isGood);
  }

  /** Gives back the sessions of a server that are not wanted. */
  #retain(server: string, isWanted: (kept: KeptSession) => boolean): void {
    const all = this.#servers.get(server);
    if (!all) return;
    const wanted = all.filter(isWanted);
    if (wanted.length === all.length) return;
    if (wanted.length > 0) this.#servers.set(server, wanted);
    else this.#servers.delete(server);
    for (const kept of all) if (!wanted.includes(kept)) kept.session.dispose();
  }
}

function isGood({ session, expires, verifiedUntil }: KeptSession): boolean {
  // libssl marks the session of a connection that has failed.
  return Math.min(expires, verifiedUntil) > Date.now() && session.isResumable;
}

/** When the server forgets it, as far as it said so. */
function expiry(session: Session): number {
  const hint = session.ticketLifetimeHint * 1000;
  // TLS 1.3's 0 says: not at all.
  const lifetime = hint > 0 || session.protocol === "TLSv1.3" ? Math.min(hint, sevenDays) : session.timeout * 1000;
  return session.created.getTime() + lifetime;
}

let wholeProgram: ClientSessions | undefined;

/** Where sessions are kept if nothing else is said. */
export function sessionsOfWholeProgram(): ClientSessions {
  return wholeProgram ??= new ClientSessions();
}

beforeClosing(() => wholeProgram?.clear());
