import type { Pointer } from "../ffi/types.ts";
import { library } from "./library.ts";
import { openSslError } from "./openssl_error.ts";
import { freeCertificates, readCertificates } from "./pem.ts";

/** Has the context trust these certificates, and name them to clients that it asks for one. */
export function useAuthorities(context: Pointer, pem: string, server: boolean): void {
  const { ssl, crypto } = library();
  const authorities = readCertificates("certificate authorities", pem);
  try {
    const store = ssl.SSL_CTX_get_cert_store(context);
    for (const authority of authorities) {
      if (
        crypto.X509_STORE_add_cert(store, authority) !== 1 ||
        (server && ssl.SSL_CTX_add_client_CA(context, authority) !== 1)
      ) {
        throw openSslError("Cannot trust a certificate authority");
      }
    }
  } finally {
    freeCertificates(authorities);
  }
}
