import type { CallbackPrototype } from "./types.ts";

/** The C function pointer types that libssl and libcrypto call back through. */
export const callbacks = {
  // int (*new_session_cb)(SSL *, SSL_SESSION *)
  newSession: { parameters: ["pointer", "pointer"], result: "i32" },
  // void (*remove_session_cb)(SSL_CTX *ctx, SSL_SESSION *)
  removeSession: { parameters: ["pointer", "pointer"], result: "void" },
  // SSL_SESSION *(*get_session_cb)(SSL *, const unsigned char *data, int len, int *copy)
  getSession: { parameters: ["pointer", "pointer", "i32", "pointer"], result: "pointer" },
  // int (*SSL_client_hello_cb_fn)(SSL *s, int *al, void *arg)
  clientHello: { parameters: ["pointer", "pointer", "pointer"], result: "i32" },
  // int (*tlsext_servername_callback)(SSL *ssl, int *al, void *arg)
  serverName: { parameters: ["pointer", "pointer", "pointer"], result: "i32" },
  // int (*GEN_SESSION_CB)(SSL *ssl, unsigned char *id, unsigned int *id_len)
  generateSessionId: { parameters: ["pointer", "pointer", "pointer"], result: "i32" },
  // int (*SSL_CTX_alpn_select_cb_func)(SSL *ssl, const unsigned char **out, unsigned char *outlen,
  //   const unsigned char *in, unsigned int inlen, void *arg)
  alpnSelect: { parameters: ["pointer", "pointer", "pointer", "pointer", "u32", "pointer"], result: "i32" },
  // void (*SSL_CTX_keylog_cb_func)(const SSL *ssl, const char *line)
  keylog: { parameters: ["pointer", "pointer"], result: "void" },
  // int (*SSL_verify_cb)(int preverify_ok, X509_STORE_CTX *x509_ctx)
  acceptAnyCertificate: { parameters: ["i32", "pointer"], result: "i32" },
  // int (*SSL_verify_cb)(int preverify_ok, X509_STORE_CTX *x509_ctx)
  acceptVerifiedCertificate: { parameters: ["i32", "pointer"], result: "i32" },
  // int (*tlsextStatusCb)(SSL *s, void *arg)
  certificateStatus: { parameters: ["pointer", "pointer"], result: "i32" },
  // void (*callback)(const SSL *ssl, int type, int val)
  info: { parameters: ["pointer", "i32", "i32"], result: "void" },
} as const satisfies Record<string, CallbackPrototype>;
