import type { Buffer } from "node:buffer";
import type { TlsDuplex } from "./tls_duplex.ts";
import type { TlsSocket } from "./tls_socket.ts";

/** Whose connection was turned away, for the event `drop`. */
export interface DroppedConnection {
  /** This side's IP address. */
  localAddress: string;
  /** This side's port. */
  localPort: number;
  /** `IPv4` or `IPv6`: what `localAddress` is. */
  localFamily: "IPv4" | "IPv6";
  /** The other side's IP address. */
  remoteAddress: string;
  /** The other side's port. */
  remotePort: number;
  /** `IPv4` or `IPv6`: what `remoteAddress` is. */
  remoteFamily: "IPv4" | "IPv6";
}

/** What a {@linkcode NodeTlsServer} emits. */
export interface NodeTlsServerEvents {
  /** It listens. */
  listening: [];
  /** It no longer listens, and the last connection has ended. */
  close: [];
  /** It cannot listen: `code` says why, as in `EADDRINUSE`. */
  error: [error: Error];
  /** A connection, its handshake done. */
  secureConnection: [socket: TlsDuplex];
  /** A session to be stored. The client is told of it, by its ticket, once `callback` is called. */
  newSession: [sessionId: Buffer, sessionData: Buffer, callback: () => void];
  /** A client offers a session: `callback` takes what was stored of it, or null. Until then the handshake waits. */
  resumeSession: [
    sessionId: Buffer,
    callback: (error?: Error | null, sessionData?: Uint8Array | null) => void,
  ];
  /**
   * What went wrong: a handshake that failed; later what a listener threw; and what went wrong with sessions, where the
   * socket is undefined.
   */
  tlsClientError: [error: Error, socket: TlsSocket | undefined];
  /** A connection was closed at once, as there are `maxConnections` or as many as another limit allows. */
  drop: [addresses: DroppedConnection];
  /** A secret of a connection, a line in the format that Wireshark reads. They come when the handshake is over. */
  keylog: [line: Buffer, socket: TlsDuplex | TlsSocket];
}
