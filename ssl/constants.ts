/**
 * What a context caches, to be combined with `|`.
 *
 * @see SSL_CTX_set_session_cache_mode(3)
 */
export const SessionCacheMode: {
  readonly Off: 0;
  readonly Client: 1;
  readonly Server: 2;
  readonly Both: 3;
  readonly NoAutoClear: 0x80;
  readonly NoInternalLookup: 0x100;
  readonly NoInternalStore: 0x200;
  readonly NoInternal: 0x300;
  readonly UpdateTime: 0x400;
} = {
  /** No session is cached. The get callback is called all the same. */
  Off: 0,
  /** Sessions of clients. */
  Client: 1,
  /** Sessions of servers: the default. */
  Server: 2,
  /** Both. */
  Both: 3,
  /** Do not look for expired sessions at every 255th connection. */
  NoAutoClear: 0x80,
  /** Do not look in the internal cache. */
  NoInternalLookup: 0x100,
  /** Do not store in the internal cache. */
  NoInternalStore: 0x200,
  /** Neither. */
  NoInternal: 0x300,
  /** Restart a session's lifetime when it is used. OpenSSL 3.0 and later. */
  UpdateTime: 0x400,
};

/**
 * Options of a context that matter to sessions, to be combined with `|`. Any other of OpenSSL's goes too, by its
 * number.
 *
 * @see SSL_CTX_set_options(3)
 */
export const SslOption: {
  readonly IgnoreUnexpectedEof: 0x80;
  readonly NoTicket: 0x4000;
  readonly CipherServerPreference: 0x400000;
  readonly NoAntiReplay: 0x1000000;
  readonly NoRenegotiation: 0x40000000;
} = {
  /** Take an end without close_notify for a clean one. OpenSSL 3.0 and later. */
  IgnoreUnexpectedEof: 0x80,
  /** No stateless tickets: TLS 1.2 resumes by session id, TLS 1.3 by tickets that only name a session. */
  NoTicket: 0x4000,
  /** Choose by the server's order of ciphers. */
  CipherServerPreference: 0x400000,
  /** Leave the protection against replayed early data to the application. */
  NoAntiReplay: 0x1000000,
  /** Refuse renegotiation up to TLS 1.2. */
  NoRenegotiation: 0x40000000,
};
