import type { PrototypeTable } from "./types.ts";

/**
 * The functions of libssl that this library calls, each with its C prototype.
 *
 * What moves a connection on, ends one, or takes a session out of a cache may call back, and so may what makes or frees an
 * SSL, SSL_CTX or SSL_SESSION: other code can have libcrypto tell it of each.
 */
export const libssl = {
  // const SSL_METHOD *TLS_server_method(void)
  TLS_server_method: { parameters: [], result: "pointer" },
  // const SSL_METHOD *TLS_client_method(void)
  TLS_client_method: { parameters: [], result: "pointer" },

  // SSL_CTX *SSL_CTX_new(const SSL_METHOD *method)
  SSL_CTX_new: { parameters: ["pointer"], result: "pointer", callsBack: true },
  // int SSL_CTX_up_ref(SSL_CTX *ctx)
  SSL_CTX_up_ref: { parameters: ["pointer"], result: "i32" },
  // void SSL_CTX_free(SSL_CTX *ctx)
  SSL_CTX_free: { parameters: ["pointer"], result: "void", callsBack: true },
  // long SSL_CTX_ctrl(SSL_CTX *ctx, int cmd, long larg, void *parg)
  SSL_CTX_ctrl: { parameters: ["pointer", "i32", "long", "pointer"], result: "long" },
  // long SSL_CTX_ctrl(SSL_CTX *ctx, int cmd, long larg, void *parg)
  SSL_CTX_ctrl_buffer: { symbol: "SSL_CTX_ctrl", parameters: ["pointer", "i32", "long", "buffer"], result: "long" },
  // long SSL_CTX_callback_ctrl(SSL_CTX *ctx, int cmd, void (*fp)(void))
  SSL_CTX_callback_ctrl: { parameters: ["pointer", "i32", "pointer"], result: "long" },
  // uint64_t SSL_CTX_set_options(SSL_CTX *ctx, uint64_t options); unsigned long up to 1.1.1
  SSL_CTX_set_options: { parameters: ["pointer", "u64"], result: "u64" },
  // uint64_t SSL_CTX_clear_options(SSL_CTX *ctx, uint64_t options)
  SSL_CTX_clear_options: { parameters: ["pointer", "u64"], result: "u64" },
  // uint64_t SSL_CTX_get_options(const SSL_CTX *ctx)
  SSL_CTX_get_options: { parameters: ["pointer"], result: "u64" },
  // int SSL_CTX_set_cipher_list(SSL_CTX *ctx, const char *str)
  SSL_CTX_set_cipher_list: { parameters: ["pointer", "buffer"], result: "i32" },
  // int SSL_CTX_set_ciphersuites(SSL_CTX *ctx, const char *str)
  SSL_CTX_set_ciphersuites: { parameters: ["pointer", "buffer"], result: "i32" },
  // int SSL_CTX_use_certificate(SSL_CTX *ctx, X509 *x)
  SSL_CTX_use_certificate: { parameters: ["pointer", "pointer"], result: "i32" },
  // int SSL_CTX_use_PrivateKey(SSL_CTX *ctx, EVP_PKEY *pkey)
  SSL_CTX_use_PrivateKey: { parameters: ["pointer", "pointer"], result: "i32" },
  // void SSL_CTX_set_verify(SSL_CTX *ctx, int mode, SSL_verify_cb verify_callback)
  SSL_CTX_set_verify: { parameters: ["pointer", "i32", "pointer"], result: "void" },
  // int SSL_CTX_get_verify_mode(const SSL_CTX *ctx)
  SSL_CTX_get_verify_mode: { parameters: ["pointer"], result: "i32" },
  // int (*SSL_CTX_get_verify_callback(const SSL_CTX *ctx))(int, X509_STORE_CTX *)
  SSL_CTX_get_verify_callback: { parameters: ["pointer"], result: "pointer" },
  // void SSL_CTX_set1_cert_store(SSL_CTX *ctx, X509_STORE *store): takes a reference
  SSL_CTX_set1_cert_store: { parameters: ["pointer", "pointer"], result: "void" },
  // X509_STORE *SSL_CTX_get_cert_store(const SSL_CTX *ctx)
  SSL_CTX_get_cert_store: { parameters: ["pointer"], result: "pointer" },
  // int SSL_CTX_add_client_CA(SSL_CTX *ctx, X509 *cacert)
  SSL_CTX_add_client_CA: { parameters: ["pointer", "pointer"], result: "i32" },
  // int SSL_CTX_set_alpn_protos(SSL_CTX *ctx, const unsigned char *protos, unsigned int protos_len)
  SSL_CTX_set_alpn_protos: { parameters: ["pointer", "buffer", "u32"], result: "i32" },
  // void SSL_CTX_set_alpn_select_cb(SSL_CTX *ctx, int (*cb)(SSL *ssl, const unsigned char **out,
  //   unsigned char *outlen, const unsigned char *in, unsigned int inlen, void *arg), void *arg)
  SSL_CTX_set_alpn_select_cb: { parameters: ["pointer", "pointer", "pointer"], result: "void" },
  // int SSL_select_next_proto(unsigned char **out, unsigned char *outlen, const unsigned char *server,
  //   unsigned int server_len, const unsigned char *client, unsigned int client_len)
  SSL_select_next_proto: { parameters: ["pointer", "pointer", "pointer", "u32", "pointer", "u32"], result: "i32" },
  // void SSL_CTX_set_keylog_callback(SSL_CTX *ctx, SSL_CTX_keylog_cb_func cb)
  SSL_CTX_set_keylog_callback: { parameters: ["pointer", "pointer"], result: "void" },
  // SSL_CTX_keylog_cb_func SSL_CTX_get_keylog_callback(const SSL_CTX *ctx)
  SSL_CTX_get_keylog_callback: { parameters: ["pointer"], result: "pointer" },
  // void SSL_CTX_set_client_hello_cb(SSL_CTX *c, SSL_client_hello_cb_fn cb, void *arg)
  SSL_CTX_set_client_hello_cb: { parameters: ["pointer", "pointer", "pointer"], result: "void" },

  // int SSL_CTX_set_generate_session_id(SSL_CTX *ctx, GEN_SESSION_CB cb)
  SSL_CTX_set_generate_session_id: { parameters: ["pointer", "pointer"], result: "i32" },
  // int SSL_CTX_set_session_id_context(SSL_CTX *ctx, const unsigned char *sid_ctx, unsigned int sid_ctx_len)
  SSL_CTX_set_session_id_context: { parameters: ["pointer", "buffer", "u32"], result: "i32" },
  // long SSL_CTX_set_timeout(SSL_CTX *ctx, long t)
  SSL_CTX_set_timeout: { parameters: ["pointer", "long"], result: "long" },
  // long SSL_CTX_get_timeout(const SSL_CTX *ctx)
  SSL_CTX_get_timeout: { parameters: ["pointer"], result: "long" },
  // int SSL_CTX_set_num_tickets(SSL_CTX *ctx, size_t num_tickets)
  SSL_CTX_set_num_tickets: { parameters: ["pointer", "size"], result: "i32" },
  // size_t SSL_CTX_get_num_tickets(const SSL_CTX *ctx)
  SSL_CTX_get_num_tickets: { parameters: ["pointer"], result: "size" },
  // int SSL_CTX_add_session(SSL_CTX *ctx, SSL_SESSION *session)
  SSL_CTX_add_session: { parameters: ["pointer", "pointer"], result: "i32", callsBack: true },
  // int SSL_CTX_remove_session(SSL_CTX *ctx, SSL_SESSION *session)
  SSL_CTX_remove_session: { parameters: ["pointer", "pointer"], result: "i32", callsBack: true },
  // void SSL_CTX_flush_sessions(SSL_CTX *ctx, long tm)
  SSL_CTX_flush_sessions: { parameters: ["pointer", "long"], result: "void", callsBack: true, until: 0x30400000 },
  // void SSL_CTX_flush_sessions_ex(SSL_CTX *ctx, time_t tm)
  SSL_CTX_flush_sessions_ex: { parameters: ["pointer", "u64"], result: "void", callsBack: true, since: 0x30400000 },

  // void SSL_CTX_sess_set_new_cb(SSL_CTX *ctx, int (*new_session_cb)(SSL *, SSL_SESSION *))
  SSL_CTX_sess_set_new_cb: { parameters: ["pointer", "pointer"], result: "void" },
  // void SSL_CTX_sess_set_remove_cb(SSL_CTX *ctx, void (*remove_session_cb)(SSL_CTX *ctx, SSL_SESSION *))
  SSL_CTX_sess_set_remove_cb: { parameters: ["pointer", "pointer"], result: "void" },
  // void SSL_CTX_sess_set_get_cb(SSL_CTX *ctx,
  //   SSL_SESSION *(*get_session_cb)(SSL *, const unsigned char *, int, int *))
  SSL_CTX_sess_set_get_cb: { parameters: ["pointer", "pointer"], result: "void" },
  // int (*SSL_CTX_sess_get_new_cb(SSL_CTX *ctx))(SSL *ssl, SSL_SESSION *sess)
  SSL_CTX_sess_get_new_cb: { parameters: ["pointer"], result: "pointer" },
  // void (*SSL_CTX_sess_get_remove_cb(SSL_CTX *ctx))(SSL_CTX *ctx, SSL_SESSION *sess)
  SSL_CTX_sess_get_remove_cb: { parameters: ["pointer"], result: "pointer" },
  // SSL_SESSION *(*SSL_CTX_sess_get_get_cb(SSL_CTX *ctx))(SSL *ssl, const unsigned char *data, int len, int *copy)
  SSL_CTX_sess_get_get_cb: { parameters: ["pointer"], result: "pointer" },

  // SSL *SSL_new(SSL_CTX *ctx)
  SSL_new: { parameters: ["pointer"], result: "pointer", callsBack: true },
  // void SSL_free(SSL *ssl)
  SSL_free: { parameters: ["pointer"], result: "void", callsBack: true },
  // void SSL_set_bio(SSL *ssl, BIO *rbio, BIO *wbio): takes both
  SSL_set_bio: { parameters: ["pointer", "pointer", "pointer"], result: "void" },
  // void SSL_set_accept_state(SSL *ssl)
  SSL_set_accept_state: { parameters: ["pointer"], result: "void" },
  // void SSL_set_connect_state(SSL *ssl)
  SSL_set_connect_state: { parameters: ["pointer"], result: "void" },
  // int SSL_do_handshake(SSL *ssl)
  SSL_do_handshake: { parameters: ["pointer"], result: "i32", callsBack: true },
  // int SSL_is_init_finished(const SSL *s)
  SSL_is_init_finished: { parameters: ["pointer"], result: "i32" },
  // int SSL_read(SSL *ssl, void *buf, int num)
  SSL_read: { parameters: ["pointer", "buffer", "i32"], result: "i32", callsBack: true },
  // int SSL_write(SSL *ssl, const void *buf, int num)
  SSL_write: { parameters: ["pointer", "buffer", "i32"], result: "i32", callsBack: true },
  // int SSL_shutdown(SSL *ssl)
  SSL_shutdown: { parameters: ["pointer"], result: "i32", callsBack: true },
  // void SSL_set_shutdown(SSL *ssl, int mode)
  SSL_set_shutdown: { parameters: ["pointer", "i32"], result: "void" },
  // int SSL_get_shutdown(const SSL *ssl)
  SSL_get_shutdown: { parameters: ["pointer"], result: "i32" },
  // int SSL_get_error(const SSL *ssl, int ret)
  SSL_get_error: { parameters: ["pointer", "i32"], result: "i32" },
  // SSL_CTX *SSL_set_SSL_CTX(SSL *ssl, SSL_CTX *ctx): lent
  SSL_set_SSL_CTX: { parameters: ["pointer", "pointer"], result: "pointer", callsBack: true },
  // int SSL_set_session_id_context(SSL *ssl, const unsigned char *sid_ctx, unsigned int sid_ctx_len)
  SSL_set_session_id_context: { parameters: ["pointer", "buffer", "u32"], result: "i32" },
  // void SSL_set_verify(SSL *s, int mode, SSL_verify_cb verify_callback): NULL leaves the callback as it is
  SSL_set_verify: { parameters: ["pointer", "i32", "pointer"], result: "void" },
  // int (*SSL_get_verify_callback(const SSL *s))(int, X509_STORE_CTX *)
  SSL_get_verify_callback: { parameters: ["pointer"], result: "pointer" },
  // SSL_CTX *SSL_get_SSL_CTX(const SSL *ssl): lent
  SSL_get_SSL_CTX: { parameters: ["pointer"], result: "pointer" },

  // long SSL_ctrl(SSL *ssl, int cmd, long larg, void *parg)
  SSL_ctrl: { parameters: ["pointer", "i32", "long", "buffer"], result: "long" },
  // long SSL_ctrl(SSL *ssl, int cmd, long larg, void *parg)
  SSL_ctrl_pointer: { symbol: "SSL_ctrl", parameters: ["pointer", "i32", "long", "pointer"], result: "long" },
  // X509 *SSL_get_certificate(const SSL *ssl): lent
  SSL_get_certificate: { parameters: ["pointer"], result: "pointer" },
  // void SSL_set_info_callback(SSL *ssl, void (*callback)(const SSL *ssl, int type, int val))
  SSL_set_info_callback: { parameters: ["pointer", "pointer"], result: "void" },
  // int SSL_set1_host(SSL *s, const char *host)
  SSL_set1_host: { parameters: ["pointer", "buffer"], result: "i32" },
  // X509_VERIFY_PARAM *SSL_get0_param(SSL *ssl)
  SSL_get0_param: { parameters: ["pointer"], result: "pointer" },
  // int SSL_is_server(const SSL *ssl)
  SSL_is_server: { parameters: ["pointer"], result: "i32" },
  // int SSL_version(const SSL *ssl)
  SSL_version: { parameters: ["pointer"], result: "i32" },
  // const SSL_CIPHER *SSL_get_current_cipher(const SSL *ssl)
  SSL_get_current_cipher: { parameters: ["pointer"], result: "pointer" },
  // const char *SSL_CIPHER_get_name(const SSL_CIPHER *cipher)
  SSL_CIPHER_get_name: { parameters: ["pointer"], result: "pointer" },
  // const char *SSL_CIPHER_standard_name(const SSL_CIPHER *cipher)
  SSL_CIPHER_standard_name: { parameters: ["pointer"], result: "pointer" },
  // const char *SSL_CIPHER_get_version(const SSL_CIPHER *cipher)
  SSL_CIPHER_get_version: { parameters: ["pointer"], result: "pointer" },
  // void SSL_get0_alpn_selected(const SSL *ssl, const unsigned char **data, unsigned int *len)
  SSL_get0_alpn_selected: { parameters: ["pointer", "buffer", "buffer"], result: "void" },
  // const char *SSL_get_servername(const SSL *s, const int type)
  SSL_get_servername: { parameters: ["pointer", "i32"], result: "pointer" },
  // int SSL_session_reused(const SSL *ssl)
  SSL_session_reused: { parameters: ["pointer"], result: "i32" },
  // SSL_SESSION *SSL_get_session(const SSL *ssl): lent
  SSL_get_session: { parameters: ["pointer"], result: "pointer" },
  // SSL_SESSION *SSL_get1_session(SSL *ssl)
  SSL_get1_session: { parameters: ["pointer"], result: "pointer" },
  // int SSL_set_session(SSL *ssl, SSL_SESSION *session)
  SSL_set_session: { parameters: ["pointer", "pointer"], result: "i32", callsBack: true },
  // long SSL_get_verify_result(const SSL *ssl)
  SSL_get_verify_result: { parameters: ["pointer"], result: "long" },
  // int SSL_get_verify_mode(const SSL *ssl)
  SSL_get_verify_mode: { parameters: ["pointer"], result: "i32" },
  // int SSL_export_keying_material(SSL *s, unsigned char *out, size_t olen, const char *label, size_t llen,
  //   const unsigned char *context, size_t contextlen, int use_context)
  SSL_export_keying_material: {
    parameters: ["pointer", "buffer", "size", "buffer", "size", "buffer", "size", "i32"],
    result: "i32",
  },
  // int SSL_get_security_level(const SSL *s)
  SSL_get_security_level: { parameters: ["pointer"], result: "i32" },
  // STACK_OF(SSL_CIPHER) *SSL_get1_supported_ciphers(SSL *s): the list is the caller's, the ciphers are lent
  SSL_get1_supported_ciphers: { parameters: ["pointer"], result: "pointer" },
  // X509 *SSL_get1_peer_certificate(const SSL *ssl)
  SSL_get1_peer_certificate: { parameters: ["pointer"], result: "pointer", since: 0x30000000 },
  // X509 *SSL_get_peer_certificate(const SSL *ssl)
  SSL_get_peer_certificate: { parameters: ["pointer"], result: "pointer", until: 0x30000000 },

  // STACK_OF(X509) *SSL_get_peer_cert_chain(const SSL *ssl): lent
  SSL_get_peer_cert_chain: { parameters: ["pointer"], result: "pointer" },
  // size_t SSL_get_finished(const SSL *ssl, void *buf, size_t count)
  SSL_get_finished: { parameters: ["pointer", "buffer", "size"], result: "size" },
  // size_t SSL_get_peer_finished(const SSL *ssl, void *buf, size_t count)
  SSL_get_peer_finished: { parameters: ["pointer", "buffer", "size"], result: "size" },
  // int SSL_get_shared_sigalgs(SSL *s, int idx, int *psign, int *phash, int *psignhash, unsigned char *rsig,
  //   unsigned char *rhash)
  SSL_get_shared_sigalgs: {
    parameters: ["pointer", "i32", "buffer", "buffer", "pointer", "pointer", "pointer"],
    result: "i32",
  },

  // size_t SSL_client_hello_get0_session_id(SSL *s, const unsigned char **out)
  SSL_client_hello_get0_session_id: { parameters: ["pointer", "buffer"], result: "size" },
  // int SSL_client_hello_get0_ext(SSL *s, unsigned int type, const unsigned char **out, size_t *outlen)
  SSL_client_hello_get0_ext: { parameters: ["pointer", "u32", "buffer", "buffer"], result: "i32" },

  // int SSL_SESSION_up_ref(SSL_SESSION *ses)
  SSL_SESSION_up_ref: { parameters: ["pointer"], result: "i32" },
  // SSL_SESSION *SSL_SESSION_dup(const SSL_SESSION *src)
  SSL_SESSION_dup: { parameters: ["pointer"], result: "pointer", callsBack: true },
  // void SSL_SESSION_free(SSL_SESSION *ses)
  SSL_SESSION_free: { parameters: ["pointer"], result: "void", callsBack: true },
  // int i2d_SSL_SESSION(const SSL_SESSION *in, unsigned char **pp)
  i2d_SSL_SESSION: { parameters: ["pointer", "buffer"], result: "i32" },
  // SSL_SESSION *d2i_SSL_SESSION(SSL_SESSION **a, const unsigned char **pp, long length)
  d2i_SSL_SESSION: { parameters: ["pointer", "buffer", "long"], result: "pointer", callsBack: true },
  // SSL_SESSION *PEM_read_bio_SSL_SESSION(BIO *bp, SSL_SESSION **x, pem_password_cb *cb, void *u)
  PEM_read_bio_SSL_SESSION: {
    parameters: ["pointer", "pointer", "pointer", "buffer"],
    result: "pointer",
    callsBack: true,
  },
  // int PEM_write_bio_SSL_SESSION(BIO *bp, const SSL_SESSION *x)
  PEM_write_bio_SSL_SESSION: { parameters: ["pointer", "pointer"], result: "i32" },
  // const unsigned char *SSL_SESSION_get_id(const SSL_SESSION *s, unsigned int *len)
  SSL_SESSION_get_id: { parameters: ["pointer", "buffer"], result: "pointer" },
  // const unsigned char *SSL_SESSION_get0_id_context(const SSL_SESSION *s, unsigned int *len)
  SSL_SESSION_get0_id_context: { parameters: ["pointer", "buffer"], result: "pointer" },
  // int SSL_SESSION_get_protocol_version(const SSL_SESSION *s)
  SSL_SESSION_get_protocol_version: { parameters: ["pointer"], result: "i32" },
  // const SSL_CIPHER *SSL_SESSION_get0_cipher(const SSL_SESSION *s)
  SSL_SESSION_get0_cipher: { parameters: ["pointer"], result: "pointer" },
  // long SSL_SESSION_get_time(const SSL_SESSION *s)
  SSL_SESSION_get_time: { parameters: ["pointer"], result: "long", until: 0x30300000 },
  // time_t SSL_SESSION_get_time_ex(const SSL_SESSION *s)
  SSL_SESSION_get_time_ex: { parameters: ["pointer"], result: "u64", since: 0x30300000 },
  // long SSL_SESSION_set_time(SSL_SESSION *s, long t)
  SSL_SESSION_set_time: { parameters: ["pointer", "long"], result: "long", until: 0x30300000 },
  // time_t SSL_SESSION_set_time_ex(SSL_SESSION *s, time_t t)
  SSL_SESSION_set_time_ex: { parameters: ["pointer", "u64"], result: "u64", since: 0x30300000 },
  // long SSL_SESSION_get_timeout(const SSL_SESSION *s)
  SSL_SESSION_get_timeout: { parameters: ["pointer"], result: "long" },
  // long SSL_SESSION_set_timeout(SSL_SESSION *s, long t)
  SSL_SESSION_set_timeout: { parameters: ["pointer", "long"], result: "long" },
  // const char *SSL_SESSION_get0_hostname(const SSL_SESSION *s)
  SSL_SESSION_get0_hostname: { parameters: ["pointer"], result: "pointer" },
  // void SSL_SESSION_get0_alpn_selected(const SSL_SESSION *s, const unsigned char **alpn, size_t *len)
  SSL_SESSION_get0_alpn_selected: { parameters: ["pointer", "buffer", "buffer"], result: "void" },
  // void SSL_SESSION_get0_ticket(const SSL_SESSION *s, const unsigned char **tick, size_t *len): lent
  SSL_SESSION_get0_ticket: { parameters: ["pointer", "buffer", "buffer"], result: "void" },
  // unsigned long SSL_SESSION_get_ticket_lifetime_hint(const SSL_SESSION *s)
  SSL_SESSION_get_ticket_lifetime_hint: { parameters: ["pointer"], result: "long" },
  // uint32_t SSL_SESSION_get_max_early_data(const SSL_SESSION *s)
  SSL_SESSION_get_max_early_data: { parameters: ["pointer"], result: "u32" },
  // int SSL_SESSION_is_resumable(const SSL_SESSION *s)
  SSL_SESSION_is_resumable: { parameters: ["pointer"], result: "i32" },
  // X509 *SSL_SESSION_get0_peer(SSL_SESSION *s): lent
  SSL_SESSION_get0_peer: { parameters: ["pointer"], result: "pointer" },
} as const satisfies PrototypeTable;
