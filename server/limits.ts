/** What a server puts up with. Each limit that ends or refuses connections has a counter in {@linkcode ServerStats}. */
export interface ConnectionLimits {
  /** For how long a client may take for its handshake, in milliseconds; by default 10,000. */
  handshakeTimeout?: number;
  /**
   * After how long without a byte in either direction a connection is ended, in milliseconds; by default 120,000. 0 for
   * never. What a client sends does not count while it takes nothing of what waits for it. Raise it for WebSockets and
   * event streams that are silent for longer, or have them ping.
   */
  idleTimeout?: number;
  /** How many connections there may be at once; by default 10,000. Those beyond are closed at once. */
  maxConnections?: number;
  /**
   * How many of them may come from one IP address; by default as many as there may be in all, since behind a load
   * balancer all come from one.
   */
  maxConnectionsPerAddress?: number;
  /** How many handshakes may be under way at once; by default 1,000. Connections beyond are closed at once. */
  maxHandshakes?: number;
  /**
   * How many bytes may wait for one client that does not read, in bytes; by default 16 MiB. Whoever heeds what `write`
   * answers never gets there. A connection with more is closed.
   */
  maxBufferedBytes?: number;
}

/** The names of the limits, to tell them from other options. */
export const limitNames: readonly string[] = [
  "handshakeTimeout",
  "idleTimeout",
  "maxConnections",
  "maxConnectionsPerAddress",
  "maxHandshakes",
  "maxBufferedBytes",
] satisfies (keyof ConnectionLimits)[];

/** The limits with their defaults. Throws a RangeError for a number that is none. */
export function limitsOf(options: ConnectionLimits): Required<ConnectionLimits> {
  const { handshakeTimeout = 10_000, idleTimeout = 120_000, maxConnections = 10_000, maxHandshakes = 1_000 } = options;
  const { maxConnectionsPerAddress = Infinity, maxBufferedBytes = 16 * 1024 * 1024 } = options;
  requireMilliseconds("a handshake", handshakeTimeout);
  if (idleTimeout !== 0) requireMilliseconds("bytes on a connection", idleTimeout);
  const counts = { maxConnections, maxConnectionsPerAddress, maxHandshakes, maxBufferedBytes };
  for (const [name, count] of Object.entries(counts)) {
    if (!(count >= 1)) throw new RangeError(`Cannot use ${count} for ${name}: it takes numbers from 1 on`);
  }
  return { handshakeTimeout, idleTimeout, ...counts };
}

/** Throws a RangeError for what no timer can wait for. */
export function requireMilliseconds(what: string, milliseconds: number): void {
  if (milliseconds > 0 && milliseconds <= 0x7fffffff) return;
  throw new RangeError(`Cannot wait ${milliseconds} ms for ${what}: it takes 1 to 2147483647`);
}
