import type { OpenSslErrorEntry } from "./openssl_error.ts";

/** What node:tls calls the parts of OpenSSL, by what OpenSSL itself calls them. */
const libraries: Readonly<Record<string, string>> = {
  "system library": "SYS",
  "bignum routines": "BN",
  "rsa routines": "RSA",
  "Diffie-Hellman routines": "DH",
  "digital envelope routines": "EVP",
  "memory buffer routines": "BUF",
  "object identifier routines": "OBJ",
  "PEM routines": "PEM",
  "dsa routines": "DSA",
  "x509 certificate routines": "X509",
  "asn1 encoding routines": "ASN1",
  "configuration file routines": "CONF",
  "common libcrypto routines": "CRYPTO",
  "elliptic curve routines": "EC",
  "BIO routines": "BIO",
  "PKCS7 routines": "PKCS7",
  "X509 V3 routines": "X509V3",
  "PKCS12 routines": "PKCS12",
  "random number generator": "RAND",
  "OCSP routines": "OCSP",
  "STORE routines": "OSSL_STORE",
};

/**
 * The code that node:tls makes of an entry: `ERR_SSL_` and the reason for those of libssl, `ERR_OSSL_`, the part of
 * libcrypto where it has a short name, and the reason for the others.
 */
export function errorCode({ library, reason }: Pick<OpenSslErrorEntry, "library" | "reason">): string {
  const name = reason.toUpperCase().replaceAll(" ", "_");
  if (/^SSL routines/i.test(library)) return `ERR_SSL_${name}`;
  const part = libraries[library];
  return part ? `ERR_OSSL_${part}_${name}` : `ERR_OSSL_${name}`;
}
