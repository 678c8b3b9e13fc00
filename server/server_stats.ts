/** What a server has counted since it listens; `connections` and `handshaking` are as of now. */
export interface ServerStats {
  /** Connections now, those in their handshake among them. */
  connections: number;
  /** Connections in their handshake now. */
  handshaking: number;
  /** Connections that came. */
  accepted: number;
  /**
   * How often connections could not be accepted, for want of file descriptors mostly. It is tried, and counted, about
   * once a second while that lasts.
   */
  acceptFailures: number;
  /** Handshakes that were completed. */
  handshakes: number;
  /** Those of them that resumed a session. */
  resumed: number;
  /** Handshakes that failed, those that took too long among them. */
  failedHandshakes: number;
  /** Plaintext bytes received. */
  bytesRead: number;
  /** Plaintext bytes sent. */
  bytesWritten: number;
  /** Connections closed at once because there were `maxConnections`. */
  refusedConnections: number;
  /** Connections closed at once because their address had `maxConnectionsPerAddress`. */
  refusedPerAddress: number;
  /** Connections closed at once because `maxHandshakes` were under way. */
  refusedHandshakes: number;
  /** Connections whose handshake took longer than `handshakeTimeout`. */
  handshakeTimeouts: number;
  /** Connections that were silent for `idleTimeout`. */
  idleTimeouts: number;
  /** Connections of clients that did not read, for whom more than `maxBufferedBytes` waited. */
  bufferOverflows: number;
  /** Connections of clients that sent one TLS control message after the other: KeyUpdates, renegotiations. */
  controlFloods: number;
  /** Connections whose client `authorize` refused. */
  unauthorized: number;
}

/** All at zero. */
export function emptyStats(): ServerStats {
  return {
    connections: 0,
    handshaking: 0,
    accepted: 0,
    acceptFailures: 0,
    handshakes: 0,
    resumed: 0,
    failedHandshakes: 0,
    bytesRead: 0,
    bytesWritten: 0,
    refusedConnections: 0,
    refusedPerAddress: 0,
    refusedHandshakes: 0,
    handshakeTimeouts: 0,
    idleTimeouts: 0,
    bufferOverflows: 0,
    controlFloods: 0,
    unauthorized: 0,
  };
}
