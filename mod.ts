/**
 * External TLS session caching for Deno, Bun and Node, on the system's libssl.
 *
 * @module
 */

export { closeLibrary, type LibraryInfo, openLibrary } from "./ssl/library.ts";
export { LibraryNotFoundError, UnsupportedLibraryError } from "./ffi/errors.ts";
export type { Pointer } from "./ffi/types.ts";
export type {
  AlpnCallback,
  ClientHelloCallback,
  GenerateSessionIdCallback,
  GetSessionCallback,
  KeylogCallback,
  NewSessionCallback,
  RemovalReason,
  RemoveSessionCallback,
  SessionLookup,
  SetCallback,
} from "./ssl/callback_types.ts";
export type { ClientHello } from "./ssl/client_hello.ts";
export {
  type CipherNames,
  type ClientConnectionOptions,
  type HandshakeState,
  SslConnection,
  type VerifyResult,
} from "./ssl/connection.ts";
export { SessionCacheMode, SslOption } from "./ssl/constants.ts";
export { SslContext } from "./ssl/context.ts";
export type { SessionCounters } from "./ssl/session_counters.ts";
export type { CertificateOptions, SslContextOptions, VerifyMode } from "./ssl/context_options.ts";
export { OpenSslError, type OpenSslErrorEntry } from "./ssl/openssl_error.ts";
export type { ProtocolVersion } from "./ssl/protocol.ts";
export { ReleasedError, SessionReleasedError } from "./ssl/released_error.ts";
export { type Credentials, selfSigned } from "./ssl/self_signed.ts";
export { Session } from "./ssl/session.ts";
export { type KeyvInstance, KeyvStore } from "./cache/keyv_store.ts";
export { MemoryStore, type MemoryStoreOptions } from "./cache/memory_store.ts";
export { type RedisCommand, RedisStore, type RedisStoreOptions } from "./cache/redis_store.ts";
export { SessionCache } from "./cache/session_cache.ts";
export type { LatencyHistogram } from "./cache/histogram.ts";
export type {
  DeletionReason,
  NotStoredReason,
  RefusalReason,
  SessionCacheEvent,
  SessionCacheOptions,
  SessionCacheStats,
} from "./cache/session_cache_options.ts";
export type { MaybePromise, SessionStore, StoreLookup } from "./cache/session_store.ts";
export { SessionStoreError, type StoreOperation } from "./cache/session_store_error.ts";
export { SqliteStore, type SqliteStoreOptions } from "./cache/sqlite_store.ts";
export { type NearStore, TieredStore, type TieredStoreOptions } from "./cache/tiered_store.ts";
export type { CertificateFor } from "./server/certificates_on_demand.ts";
export type { ClientContextOptions } from "./server/client_contexts.ts";
export { ClientSessions } from "./server/client_sessions.ts";
export { connect, type ConnectOptions } from "./server/connect.ts";
export type { AddressList } from "./server/block_list.ts";
export { createSecureContext, SecureContext } from "./server/secure_context.ts";
export type { SniCallback } from "./server/sni_questions.ts";
export { createServer, NodeTlsServer } from "./server/create_server.ts";
export { type ConnectionEmitter, httpConnections } from "./server/http_connections.ts";
export type { ErrorKind, ErrorReport, ReportError } from "./server/error_report.ts";
export type { ConnectionLimits } from "./server/limits.ts";
export { listen, type ListenHandlers, type ListenServerOptions } from "./server/listen.ts";
export { type BunUpgrader, type FetchHandler, ServeInfo } from "./server/fetch_handler.ts";
export type { RequestCounts } from "./server/http_server.ts";
export { type HttpsServer, serve, type ServeOptions, type ServeStats } from "./server/serve.ts";
export type { Server } from "./server/server.ts";
export type { ListenOptions } from "./server/listen_parameters.ts";
export type { DroppedConnection, NodeTlsServerEvents } from "./server/node_tls_events.ts";
export type { NodeTlsContextOptions, NodeTlsServerOptions, Pem, PfxWithPassphrase } from "./server/node_tls_options.ts";
export type { ServerStats } from "./server/server_stats.ts";
export type { TlsFacts } from "./server/tls_facts.ts";
export type { ServerCertificates, TlsServerOptions } from "./server/tls_server_options.ts";
export { NodeTlsSocket } from "./server/node_tls_socket.ts";
export type { EphemeralKey } from "./ssl/connection_details.ts";
export { TlsDuplex } from "./server/tls_duplex.ts";
export type { ConnectionHandler, TlsSocket, TlsSocketHandlers } from "./server/tls_socket.ts";
export type { WebStreams } from "./server/web_streams.ts";
