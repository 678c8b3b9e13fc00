import { cString } from "../ffi/memory.ts";
import type { Pointer } from "../ffi/types.ts";
import { library } from "./library.ts";
import type { Loaded } from "./loaded_options.ts";
import { clearErrors, openSslError } from "./openssl_error.ts";
import { pemError, readPem, sourceName } from "./pem.ts";

const crlCheck = 0x4, crlCheckAll = 0x8; // X509_V_FLAG_CRL_CHECK, X509_V_FLAG_CRL_CHECK_ALL

/**
 * Has a store of trusted certificates look for the other side's certificates, each of the chain, in these lists: one that is on the list of its
 * issuer is refused, and so is one whose issuer has no list here.
 *
 * @param source the lists in PEM, one at least
 * @see X509_STORE_add_crl(3)
 */
export function useRevocationLists(store: Pointer, source: Loaded): void {
  const { crypto } = library();
  const lists = readRevocationLists(source);
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

function readRevocationLists(source: Loaded): Pointer[] {
  const { crypto } = library();
  const what = "certificate revocation lists";
  const lists: Pointer[] = [];
  const noPassphrase = cString("");
  readPem(source.bytes, (bio) => {
    const next = () => crypto.PEM_read_bio_X509_CRL(bio, null, null, noPassphrase);
    for (let list = next(); list; list = next()) lists.push(list);
  });
  const count = new TextDecoder().decode(source.bytes).match(/-----BEGIN X509 CRL-----/g)?.length ?? 0;
  if (lists.length === 0 && count <= 1) throw pemError(what, source, "certificateRevocationListsFile");
  if (count > lists.length) {
    for (const list of lists) crypto.X509_CRL_free(list);
    throw openSslError(`Cannot read ${sourceName(what, source)}: number ${lists.length + 1} of ${count} is damaged`);
  }
  // Reading stops at the end of the text, which libcrypto counts as an error.
  clearErrors();
  return lists;
}
