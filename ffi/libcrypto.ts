import type { PrototypeTable } from "./types.ts";

/** The functions of libcrypto that this library calls, each with its C prototype. */
export const libcrypto = {
  // unsigned long OpenSSL_version_num(void)
  OpenSSL_version_num: { parameters: [], result: "long" },
  // const char *OpenSSL_version(int type)
  OpenSSL_version: { parameters: ["i32"], result: "pointer" },

  // int OPENSSL_init_crypto(uint64_t opts, const OPENSSL_INIT_SETTINGS *settings)
  OPENSSL_init_crypto: { parameters: ["u64", "pointer"], result: "i32" },

  // void *CRYPTO_malloc(size_t num, const char *file, int line)
  CRYPTO_malloc: { parameters: ["size", "pointer", "i32"], result: "pointer" },
  // void CRYPTO_free(void *ptr, const char *file, int line)
  CRYPTO_free: { parameters: ["pointer", "pointer", "i32"], result: "void" },
  // void CRYPTO_clear_free(void *ptr, size_t num, const char *file, int line)
  CRYPTO_clear_free: { parameters: ["pointer", "size", "pointer", "i32"], result: "void" },

  // unsigned long ERR_peek_error(void): the code has 32 bits
  ERR_peek_error: { parameters: [], result: "u32" },
  // void ERR_clear_error(void)
  ERR_clear_error: { parameters: [], result: "void" },
  // unsigned long ERR_get_error_all(const char **file, int *line, const char **func, const char **data, int *flags)
  ERR_get_error_all: {
    parameters: ["buffer", "buffer", "buffer", "buffer", "buffer"],
    result: "u32",
    since: 0x30000000,
  },
  // unsigned long ERR_get_error_line_data(const char **file, int *line, const char **data, int *flags)
  ERR_get_error_line_data: { parameters: ["buffer", "buffer", "buffer", "buffer"], result: "u32", until: 0x30000000 },
  // const char *ERR_lib_error_string(unsigned long e)
  ERR_lib_error_string: { parameters: ["long"], result: "pointer" },
  // const char *ERR_reason_error_string(unsigned long e)
  ERR_reason_error_string: { parameters: ["long"], result: "pointer" },

  // const BIO_METHOD *BIO_s_mem(void)
  BIO_s_mem: { parameters: [], result: "pointer" },
  // BIO *BIO_new(const BIO_METHOD *type)
  BIO_new: { parameters: ["pointer"], result: "pointer" },
  // int BIO_free(BIO *a)
  BIO_free: { parameters: ["pointer"], result: "i32" },
  // int BIO_read(BIO *b, void *data, int dlen)
  BIO_read: { parameters: ["pointer", "buffer", "i32"], result: "i32" },
  // int BIO_write(BIO *b, const void *data, int dlen)
  BIO_write: { parameters: ["pointer", "buffer", "i32"], result: "i32" },

  // EVP_PKEY_CTX *EVP_PKEY_CTX_new_id(int id, ENGINE *e)
  EVP_PKEY_CTX_new_id: { parameters: ["i32", "pointer"], result: "pointer" },
  // void EVP_PKEY_CTX_free(EVP_PKEY_CTX *ctx)
  EVP_PKEY_CTX_free: { parameters: ["pointer"], result: "void" },
  // int EVP_PKEY_CTX_ctrl_str(EVP_PKEY_CTX *ctx, const char *type, const char *value)
  EVP_PKEY_CTX_ctrl_str: { parameters: ["pointer", "buffer", "buffer"], result: "i32" },
  // int EVP_PKEY_keygen_init(EVP_PKEY_CTX *ctx)
  EVP_PKEY_keygen_init: { parameters: ["pointer"], result: "i32" },
  // int EVP_PKEY_keygen(EVP_PKEY_CTX *ctx, EVP_PKEY **ppkey)
  EVP_PKEY_keygen: { parameters: ["pointer", "buffer"], result: "i32" },
  // void EVP_PKEY_free(EVP_PKEY *key)
  EVP_PKEY_free: { parameters: ["pointer"], result: "void" },
  // int EVP_PKEY_id(const EVP_PKEY *pkey)
  EVP_PKEY_id: { parameters: ["pointer"], result: "i32", until: 0x30000000 },
  // int EVP_PKEY_get_id(const EVP_PKEY *pkey)
  EVP_PKEY_get_id: { parameters: ["pointer"], result: "i32", since: 0x30000000 },
  // int EVP_PKEY_bits(const EVP_PKEY *pkey)
  EVP_PKEY_bits: { parameters: ["pointer"], result: "i32", until: 0x30000000 },
  // int EVP_PKEY_get_bits(const EVP_PKEY *pkey)
  EVP_PKEY_get_bits: { parameters: ["pointer"], result: "i32", since: 0x30000000 },
  // const char *OBJ_nid2sn(int n)
  OBJ_nid2sn: { parameters: ["i32"], result: "pointer" },
  // int OPENSSL_sk_num(const OPENSSL_STACK *st)
  OPENSSL_sk_num: { parameters: ["pointer"], result: "i32" },
  // void *OPENSSL_sk_value(const OPENSSL_STACK *st, int i)
  OPENSSL_sk_value: { parameters: ["pointer", "i32"], result: "pointer" },
  // PKCS12 *d2i_PKCS12_bio(BIO *bp, PKCS12 **p12)
  d2i_PKCS12_bio: { parameters: ["pointer", "pointer"], result: "pointer" },
  // int PKCS12_parse(PKCS12 *p12, const char *pass, EVP_PKEY **pkey, X509 **cert, STACK_OF(X509) **ca)
  PKCS12_parse: { parameters: ["pointer", "buffer", "buffer", "buffer", "buffer"], result: "i32" },
  // void PKCS12_free(PKCS12 *p12)
  PKCS12_free: { parameters: ["pointer"], result: "void" },
  // const EVP_MD *EVP_sha256(void)
  EVP_sha256: { parameters: [], result: "pointer" },

  // EVP_PKEY *PEM_read_bio_PrivateKey(BIO *bp, EVP_PKEY **x, pem_password_cb *cb, void *u)
  PEM_read_bio_PrivateKey: { parameters: ["pointer", "pointer", "pointer", "buffer"], result: "pointer" },
  // int PEM_write_bio_PrivateKey(BIO *bp, const EVP_PKEY *x, const EVP_CIPHER *enc, const unsigned char *kstr,
  //   int klen, pem_password_cb *cb, void *u)
  PEM_write_bio_PrivateKey: {
    parameters: ["pointer", "pointer", "pointer", "pointer", "i32", "pointer", "pointer"],
    result: "i32",
  },
  // X509 *PEM_read_bio_X509(BIO *bp, X509 **x, pem_password_cb *cb, void *u)
  PEM_read_bio_X509: { parameters: ["pointer", "pointer", "pointer", "buffer"], result: "pointer" },
  // int PEM_write_bio_X509(BIO *bp, const X509 *x)
  PEM_write_bio_X509: { parameters: ["pointer", "pointer"], result: "i32" },

  // X509 *X509_new(void)
  X509_new: { parameters: [], result: "pointer" },
  // void X509_free(X509 *a)
  X509_free: { parameters: ["pointer"], result: "void" },
  // int i2d_X509(const X509 *a, unsigned char **ppout)
  i2d_X509: { parameters: ["pointer", "buffer"], result: "i32" },
  // int X509_set_version(X509 *x, long version)
  X509_set_version: { parameters: ["pointer", "long"], result: "i32" },
  // ASN1_INTEGER *X509_get_serialNumber(X509 *x)
  X509_get_serialNumber: { parameters: ["pointer"], result: "pointer" },
  // int ASN1_INTEGER_set(ASN1_INTEGER *a, long v)
  ASN1_INTEGER_set: { parameters: ["pointer", "long"], result: "i32" },
  // ASN1_TIME *X509_getm_notBefore(const X509 *x)
  X509_getm_notBefore: { parameters: ["pointer"], result: "pointer" },
  // ASN1_TIME *X509_getm_notAfter(const X509 *x)
  X509_getm_notAfter: { parameters: ["pointer"], result: "pointer" },
  // ASN1_TIME *X509_gmtime_adj(ASN1_TIME *s, long adj)
  X509_gmtime_adj: { parameters: ["pointer", "long"], result: "pointer" },
  // int X509_set_pubkey(X509 *x, EVP_PKEY *pkey)
  X509_set_pubkey: { parameters: ["pointer", "pointer"], result: "i32" },
  // int X509_check_private_key(const X509 *x, const EVP_PKEY *k)
  X509_check_private_key: { parameters: ["pointer", "pointer"], result: "i32" },
  // X509_NAME *X509_get_subject_name(const X509 *a)
  X509_get_subject_name: { parameters: ["pointer"], result: "pointer" },
  // int X509_get_ext_by_NID(const X509 *x, int nid, int lastpos)
  X509_get_ext_by_NID: { parameters: ["pointer", "i32", "i32"], result: "i32" },
  // X509_EXTENSION *X509_get_ext(const X509 *x, int loc): lent
  X509_get_ext: { parameters: ["pointer", "i32"], result: "pointer" },
  // ASN1_OCTET_STRING *X509_EXTENSION_get_data(X509_EXTENSION *ne): lent
  X509_EXTENSION_get_data: { parameters: ["pointer"], result: "pointer" },
  // const unsigned char *ASN1_STRING_get0_data(const ASN1_STRING *x): lent
  ASN1_STRING_get0_data: { parameters: ["pointer"], result: "pointer" },
  // int ASN1_STRING_length(const ASN1_STRING *x)
  ASN1_STRING_length: { parameters: ["pointer"], result: "i32" },
  // int i2d_X509_NAME(const X509_NAME *a, unsigned char **ppout)
  i2d_X509_NAME: { parameters: ["pointer", "buffer"], result: "i32" },
  // int X509_set_issuer_name(X509 *x, const X509_NAME *name)
  X509_set_issuer_name: { parameters: ["pointer", "pointer"], result: "i32" },
  // int X509_NAME_add_entry_by_txt(X509_NAME *name, const char *field, int type, const unsigned char *bytes,
  //   int len, int loc, int set)
  X509_NAME_add_entry_by_txt: {
    parameters: ["pointer", "buffer", "i32", "buffer", "i32", "i32", "i32"],
    result: "i32",
  },
  // X509_EXTENSION *X509V3_EXT_conf_nid(LHASH_OF(CONF_VALUE) *conf, X509V3_CTX *ctx, int ext_nid, const char *value)
  X509V3_EXT_conf_nid: { parameters: ["pointer", "pointer", "i32", "buffer"], result: "pointer" },
  // void X509_EXTENSION_free(X509_EXTENSION *a)
  X509_EXTENSION_free: { parameters: ["pointer"], result: "void" },
  // int X509_add_ext(X509 *x, const X509_EXTENSION *ex, int loc)
  X509_add_ext: { parameters: ["pointer", "pointer", "i32"], result: "i32" },
  // int X509_sign(X509 *x, EVP_PKEY *pkey, const EVP_MD *md)
  X509_sign: { parameters: ["pointer", "pointer", "pointer"], result: "i32" },

  // OPENSSL_STACK *OPENSSL_sk_new_null(void)
  OPENSSL_sk_new_null: { parameters: [], result: "pointer" },
  // int OPENSSL_sk_push(OPENSSL_STACK *st, const void *data): lends it
  OPENSSL_sk_push: { parameters: ["pointer", "pointer"], result: "i32" },
  // void OPENSSL_sk_free(OPENSSL_STACK *): the list alone
  OPENSSL_sk_free: { parameters: ["pointer"], result: "void" },

  // X509 *d2i_X509_bio(BIO *bp, X509 **x509)
  d2i_X509_bio: { parameters: ["pointer", "pointer"], result: "pointer" },
  // int X509_STORE_CTX_set_default(X509_STORE_CTX *ctx, const char *name)
  X509_STORE_CTX_set_default: { parameters: ["pointer", "buffer"], result: "i32" },
  // X509_VERIFY_PARAM *X509_STORE_CTX_get0_param(const X509_STORE_CTX *ctx): lent
  X509_STORE_CTX_get0_param: { parameters: ["pointer"], result: "pointer" },
  // int X509_STORE_CTX_get_error(const X509_STORE_CTX *ctx)
  X509_STORE_CTX_get_error: { parameters: ["pointer"], result: "i32" },
  // int X509_verify_cert(X509_STORE_CTX *ctx)
  X509_verify_cert: { parameters: ["pointer"], result: "i32" },
  // int X509_VERIFY_PARAM_set1(X509_VERIFY_PARAM *to, const X509_VERIFY_PARAM *from)
  X509_VERIFY_PARAM_set1: { parameters: ["pointer", "pointer"], result: "i32" },
  // void X509_VERIFY_PARAM_set_auth_level(X509_VERIFY_PARAM *param, int auth_level)
  X509_VERIFY_PARAM_set_auth_level: { parameters: ["pointer", "i32"], result: "void" },
  // X509_STORE *X509_STORE_new(void)
  X509_STORE_new: { parameters: [], result: "pointer" },
  // void X509_STORE_free(X509_STORE *v)
  X509_STORE_free: { parameters: ["pointer"], result: "void" },
  // int X509_STORE_set_default_paths(X509_STORE *ctx)
  X509_STORE_set_default_paths: { parameters: ["pointer"], result: "i32" },
  // const char *X509_get_default_cert_file(void)
  X509_get_default_cert_file: { parameters: [], result: "pointer" },
  // const char *X509_get_default_cert_file_env(void)
  X509_get_default_cert_file_env: { parameters: [], result: "pointer" },
  // const char *X509_get_default_cert_dir(void)
  X509_get_default_cert_dir: { parameters: [], result: "pointer" },
  // const char *X509_get_default_cert_dir_env(void)
  X509_get_default_cert_dir_env: { parameters: [], result: "pointer" },
  // int X509_STORE_add_cert(X509_STORE *store, X509 *x)
  X509_STORE_add_cert: { parameters: ["pointer", "pointer"], result: "i32" },
  // int X509_STORE_set_flags(X509_STORE *xs, unsigned long flags)
  X509_STORE_set_flags: { parameters: ["pointer", "long"], result: "i32" },
  // int X509_STORE_add_crl(X509_STORE *xs, X509_CRL *x)
  X509_STORE_add_crl: { parameters: ["pointer", "pointer"], result: "i32" },
  // X509_CRL *PEM_read_bio_X509_CRL(BIO *bp, X509_CRL **x, pem_password_cb *cb, void *u)
  PEM_read_bio_X509_CRL: { parameters: ["pointer", "pointer", "pointer", "buffer"], result: "pointer" },
  // void X509_CRL_free(X509_CRL *a)
  X509_CRL_free: { parameters: ["pointer"], result: "void" },
  // X509_STORE_CTX *X509_STORE_CTX_new(void)
  X509_STORE_CTX_new: { parameters: [], result: "pointer" },
  // void X509_STORE_CTX_free(X509_STORE_CTX *ctx)
  X509_STORE_CTX_free: { parameters: ["pointer"], result: "void" },
  // int X509_STORE_CTX_init(X509_STORE_CTX *ctx, X509_STORE *trust_store, X509 *target, STACK_OF(X509) *untrusted)
  X509_STORE_CTX_init: { parameters: ["pointer", "pointer", "pointer", "pointer"], result: "i32" },
  // int X509_STORE_CTX_get1_issuer(X509 **issuer, X509_STORE_CTX *ctx, X509 *x)
  X509_STORE_CTX_get1_issuer: { parameters: ["buffer", "pointer", "pointer"], result: "i32" },
  // int X509_VERIFY_PARAM_set1_ip_asc(X509_VERIFY_PARAM *param, const char *ipasc)
  X509_VERIFY_PARAM_set1_ip_asc: { parameters: ["pointer", "buffer"], result: "i32" },
  // void X509_STORE_CTX_set_error(X509_STORE_CTX *ctx, int s)
  X509_STORE_CTX_set_error: { parameters: ["pointer", "i32"], result: "void" },
  // const char *X509_verify_cert_error_string(long n)
  X509_verify_cert_error_string: { parameters: ["long"], result: "pointer" },
} as const satisfies PrototypeTable;

/** The two that tell which library this is. They are looked at before any other is asked for. */
export const identity = {
  OpenSSL_version_num: libcrypto.OpenSSL_version_num,
  OpenSSL_version: libcrypto.OpenSSL_version,
} as const satisfies PrototypeTable;

/** The C library's own: the fastest way, in every runtime, to move bytes between C's memory and a typed array. */
export const libc = {
  // void *memcpy(void *dest, const void *src, size_t n)
  copyFromC: { symbol: "memcpy", parameters: ["buffer", "pointer", "size"], result: "pointer" },
  // void *memcpy(void *dest, const void *src, size_t n)
  copyToC: { symbol: "memcpy", parameters: ["pointer", "buffer", "size"], result: "pointer" },
  // size_t strlen(const char *s)
  strlen: { parameters: ["pointer"], result: "size" },
} as const satisfies PrototypeTable;
