import { milliseconds, millisecondsOrNever, number } from "../ssl/option_kinds.ts";
import type { OptionKinds } from "../ssl/options.ts";

/** What a server puts up with. Each limit that ends or refuses connections has a counter in {@linkcode ServerStats}. */
export interface ConnectionLimits {
  /** For how long a client may take for its handshake, in milliseconds; by default 10,000. */
  handshakeTimeout?: number;
  /**
   * After how long without a byte in either direction a connection is ended, in milliseconds (and not in seconds, as
   * Bun.serve's); by default 120,000. 0 for never. What a client sends does not count while it takes nothing of what waits
   * for it. Over HTTP/2, requests and answers count, and no PING. Raise it for WebSockets and event streams that are
   * silent for longer, or have them ping.
   */
  idleTimeout?: number;
  /** How many connections there may be at once; by default 10,000. Those beyond are closed at once. */
  maxConnections?: number;
  /**
   * How many of them may come from one IP address, with IPv6 from one network of 64 bits, as who has one has all of its
   * addresses; by default as many as there may be in all, since behind a load balancer all come from one.
   */
  maxConnectionsPerAddress?: number;
  /** How many handshakes may be under way at once; by default 1,000. Connections beyond are closed at once. */
  maxHandshakes?: number;
  /**
   * How many bytes may wait for one client that does not read, in bytes; by default 16 MiB. What waits in a stream counts,
   * but for the write that is being sent, however large it is. Whoever heeds what `write` answers never gets there. A
   * connection with more is closed. Over HTTP/2, requests to {@linkcode serve} wait while the answers to those before
   * them come to more; those answers, of which one may be larger by itself, count beside what else waits.
   */
  maxBufferedBytes?: number;
}

/** The kinds of the limits. */
export const limitKinds: OptionKinds<ConnectionLimits> = {
  handshakeTimeout: milliseconds,
  idleTimeout: millisecondsOrNever,
  maxConnections: number(1, Infinity),
  maxConnectionsPerAddress: number(1, Infinity),
  maxHandshakes: number(1, Infinity),
  maxBufferedBytes: number(1, Infinity),
};

/** The limits with their defaults. */
export function limitsOf(options: ConnectionLimits): Required<ConnectionLimits> {
  const { handshakeTimeout = 10_000, idleTimeout = 120_000, maxConnections = 10_000, maxHandshakes = 1_000 } = options;
  const { maxConnectionsPerAddress = Infinity, maxBufferedBytes = 16 * 1024 * 1024 } = options;
  return { handshakeTimeout, idleTimeout, maxConnections, maxConnectionsPerAddress, maxHandshakes, maxBufferedBytes };
}
