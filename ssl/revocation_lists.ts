import { cString } from "../ffi/memory.ts";
import type { Pointer } from "../ffi/types.ts";
import { library } from "./library.ts";
import { clearErrors, openSslError } from "./openssl_error.ts";
import { readPem } from "./pem.ts";

const crlCheck = 0x4, crlCheckAll = 0x8; // X509_V_FLAG_CRL_CHECK, X509_V_FLAG_CRL_CHECK_ALL

/**
 * Has the context look for the other side's certificates, each of the chain, in these lists: one that is on the list of its
 * issuer is refused, and so is one whose issuer has no list here.
 *
 * @param pem the lists as PEM text, one at least
 * @see X509_STORE_add_crl(3)
 */
export function useRevocationLists(context: Pointer, pem: string): void {
  const { ssl, crypto } = library();
  const store = ssl.SSL_CTX_get_cert_store(context);
  const lists = readRevocationLists(pem);
  try {
    for (const list of lists) {
      if (crypto.X509_STORE_add_crl(store, list) !== 1) throw openSslError("Cannot use a certificate revocation list");
    }
    if (crypto.X509_STORE_set_flags(store, crlCheck | crlCheckAll) !== 1) {
      throw openSslError("Cannot have certificate revocation lists looked at");
    }
  } finally {
    for (const list of lists) crypto.X509_CRL_free(list);
  }
}

function readRevocationLists(pem: string): Pointer[] {
  const { crypto } = library();
  const lists: Pointer[] = [];
  const noPassphrase = cString("");
  readPem(pem, (bio) => {
    const next = () => crypto.PEM_read_bio_X509_CRL(bio, null, null, noPassphrase);
    for (let list = next(); list; list = next()) lists.push(list);
  });
  const missing = (pem.match(/-----BEGIN X509 CRL-----/g)?.length ?? 0) - lists.length;
  if (lists.length === 0 || missing > 0) {
    for (const list of lists) crypto.X509_CRL_free(list);
    throw openSslError(
      lists.length === 0
        ? "Cannot read the certificate revocation lists from PEM"
        : `Cannot read the certificate revocation lists from PEM: number ${lists.length + 1} is damaged`,
    );
  }
  // Reading stops at the end of the text, which libcrypto counts as an error.
  clearErrors();
  return lists;
}
