import type { X509Certificate } from "node:crypto";
import { shortId } from "../cache/hex.ts";
import type { CipherNames, SslConnection } from "../ssl/connection.ts";
import type { ProtocolVersion } from "../ssl/protocol.ts";
import { connectionOf, type TlsSocket } from "./tls_socket.ts";

/** What a handshake led to, to be asked for also when the connection is gone. */
export interface TlsFacts {
  /** The protocol: `TLSv1.3`. */
  readonly protocol: ProtocolVersion;
  /** The cipher suite. */
  readonly cipher: CipherNames;
  /** The application protocol (ALPN) that was agreed on: `h2`. */
  readonly alpnProtocol: string | undefined;
  /** The server name (SNI) that the client asked for. */
  readonly serverName: string | undefined;
  /** Whether a session was resumed. */
  readonly isResumed: boolean;
  /**
   * The first four bytes of the session's id in hexadecimal, as a {@linkcode SessionCacheEvent} has them: enough to find
   * it in a log, and not to resume it. Empty where there is none.
   */
  readonly sessionId: string;
  /**
   * The same of the session that was resumed; undefined where none was. It is for logs: the whole id, by which to tell
   * whether it was a certain session, is {@linkcode TlsSocket.resumedSessionId} and {@linkcode TlsDuplex.resumedSessionId}.
   */
  readonly resumedSessionId: string | undefined;
  /** The certificate that the other side showed. */
  readonly peerCertificate: X509Certificate | undefined;
  /** Whether that certificate was verified. */
  readonly authorized: boolean;
  /** Why it was not, by OpenSSL's name; null also where none was asked for. */
  readonly authorizationError: string | null;
}

// There are a few, and asking for their names is what costs most.
const ciphers = new Map<string, CipherNames>();

/** The ids of a connection's sessions, whole. */
export interface SessionIds {
  readonly sessionId: Uint8Array;
  readonly resumedSessionId: Uint8Array | undefined;
}

/** Notes what there is to know of a connection whose handshake is over. */
export function tlsFacts(socket: TlsSocket, ids: SessionIds = sessionIds(socket)): TlsFacts {
  const connection = connectionOf(socket);
  const { sessionId, resumedSessionId } = ids;
  return {
    protocol: connection.protocol,
    cipher: cipherOf(connection),
    alpnProtocol: connection.alpnProtocol,
    serverName: connection.serverName,
    isResumed: connection.isResumed,
    sessionId: shortId(sessionId),
    resumedSessionId: resumedSessionId && shortId(resumedSessionId),
    ...authorization(connection),
  };
}

/** Notes the ids of a connection whose handshake is over. */
export function sessionIds(socket: TlsSocket): SessionIds {
  const { sessionId, resumedSessionId } = connectionOf(socket);
  return { sessionId, resumedSessionId };
}

function cipherOf(connection: SslConnection): CipherNames {
  const name = connection.cipher!;
  let names = ciphers.get(name);
  if (!names) ciphers.set(name, names = connection.cipherNames!);
  return names;
}

function authorization(
  connection: SslConnection,
): Pick<TlsFacts, "peerCertificate" | "authorized" | "authorizationError"> {
  const peerCertificate = connection.peerCertificate;
  if (!peerCertificate) {
    // As node:tls has it.
    const authorizationError = connection.asksForCertificate ? "UNABLE_TO_GET_ISSUER_CERT" : null;
    return { peerCertificate, authorized: false, authorizationError };
  }
  const { code, name } = connection.verifyResult;
  return { peerCertificate, authorized: code === 0, authorizationError: code === 0 ? null : name };
}
