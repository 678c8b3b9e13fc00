import type { Pointer } from "../ffi/types.ts";
import type { ClientHello } from "./client_hello.ts";
import type { SslConnection } from "./connection.ts";
import type { SslContext } from "./context.ts";
import type { Session } from "./session.ts";

/**
 * Called when a session has been negotiated: during the handshake up to TLS 1.2; after it, once for each ticket, with
 * TLS 1.3. The session is lent. Return `true` to keep it: it is then yours to dispose. Anything else and it ends when
 * the callback returns.
 *
 * @see SSL_CTX_sess_set_new_cb(3)
 */
export type NewSessionCallback = (connection: SslConnection, session: Session) => boolean | void;

/**
 * Called when libssl removes a session: it expired, its connection ended without a clean shutdown, it was removed or
 * flushed, the internal cache overflowed, or the context is being freed. The session is lent; `clone()` takes a
 * reference. libssl may hold the context's lock: do not call back into the context or its connections, but remember
 * the id and act afterwards.
 *
 * @see SSL_CTX_sess_set_remove_cb(3)
 */
export type RemoveSessionCallback = (context: SslContext, session: Session, reason: RemovalReason) => void;

/**
 * Why libssl removed a session. libssl itself does not say: it follows from the call that was under way.
 *
 * - `expired`: its time was over
 * - `unclean close`: its connection was freed without having been shut down
 * - `fatal alert`: its connection failed
 * - `evicted`: the internal cache was full
 * - `flushed`: `flushSessions()`
 * - `context freed`: the context's end, for every session in the internal cache
 * - `application`: `removeSession()`
 */
export type RemovalReason =
  | "expired"
  | "unclean close"
  | "fatal alert"
  | "evicted"
  | "flushed"
  | "context freed"
  | "application";

/**
 * Called on a server that makes a new session, for its id: 1 to 32 bytes, unlike any other. Return nothing and it gets
 * 32 random bytes. With TLS 1.3 and {@linkcode SslOption.NoTicket} the id is the client's ticket and has 32 bytes.
 *
 * @see SSL_CTX_set_generate_session_id(3)
 */
export type GenerateSessionIdCallback = (connection: SslConnection) => Uint8Array | undefined;

/**
 * Called on a server when a client proposes a session id that the internal cache does not have, also where caching is
 * off. Return the session, or nothing if there is none.
 *
 * With `lookup.copy` as it comes, `true`, libssl takes a reference of its own and the session you return stays yours.
 * Set it to `false` to give yours away: the session is then spent, and costs one reference less to count.
 *
 * @see SSL_CTX_sess_set_get_cb(3)
 */
export type GetSessionCallback = (
  connection: SslConnection,
  id: Uint8Array,
  lookup: SessionLookup,
) => Session | null | undefined;

/** The `int *copy` of the get callback. */
export interface SessionLookup {
  /** Whether libssl takes a reference of its own (`true`, as it comes) or takes yours (`false`). */
  copy: boolean;
}

/**
 * Called when a server has read the ClientHello, before it looks for a session. Return `"continue"` to go on,
 * `"suspend"` to have {@linkcode SslConnection.handshake} answer `"wants-lookup"` (the next `handshake()` calls again),
 * or `"refuse"` to end the handshake.
 *
 * @see SSL_CTX_set_client_hello_cb(3)
 */
export type ClientHelloCallback = (
  connection: SslConnection,
  hello: ClientHello,
) => "continue" | "suspend" | "refuse";

/**
 * Chooses among the protocols that a client offers (ALPN): answers one of them, or undefined to end its handshake with the
 * alert for it. `servername` is the name that the client asks for, false for none. It is called within a call into
 * libssl: it must answer at once, and not use the connection.
 *
 * @see SSL_CTX_set_alpn_select_cb(3)
 */
export type AlpnCallback = (offer: {
  readonly servername: string | false;
  readonly protocols: readonly string[];
}) => string | undefined;

/**
 * Called for each secret of a connection, with a line in the NSS key log format that Wireshark reads. Whoever has the
 * line can decrypt the connection.
 *
 * @see SSL_CTX_set_keylog_callback(3)
 */
export type KeylogCallback = (connection: SslConnection, line: string) => void;

/** What the getters answer: the C function pointer that libssl holds, and the TypeScript function behind it. */
export interface SetCallback<F> {
  /** The C function pointer. */
  readonly pointer: Pointer;
  /** The TypeScript function, where the pointer is this library's. */
  readonly callback: F | undefined;
}
