import { cString } from "../ffi/memory.ts";
import type { Pointer } from "../ffi/types.ts";
import { memoryBio } from "./bio.ts";
import { library } from "./library.ts";
import { copyOf } from "./bytes.ts";
import { clearErrors, openSslError } from "./openssl_error.ts";
import { writePem } from "./pem.ts";

/** What a PKCS#12 file holds, as PEM text. */
export interface Pkcs12 {
  /** The certificate. */
  readonly certificate: string;
  /** Its private key, not encrypted. */
  readonly privateKey: string;
  /** The certificates beside it: its issuers. */
  readonly others: readonly string[];
}

/**
 * Reads a PKCS#12 file (`.p12`, `.pfx`).
 *
 * @param bytes what the file holds
 * @param passphrase its passphrase, if it has one
 * @see PKCS12_parse(3)
 */
export function readPkcs12(bytes: Uint8Array, passphrase = ""): Pkcs12 {
  const { crypto, memory } = library();
  const secret = cString(passphrase);
  const file = readFile(bytes);
  const key = new BigUint64Array(1);
  const certificate = new BigUint64Array(1);
  const others = new BigUint64Array(1);
  try {
    if (crypto.PKCS12_parse(file, secret, key, certificate, others) !== 1) {
      throw openSslError("Cannot read the PKCS#12 file, perhaps for a wrong passphrase");
    }
  } finally {
    secret.fill(0);
    crypto.PKCS12_free(file);
  }
  // They are this function's from here on.
  const [keyPointer, certificatePointer, stack] = [key, certificate, others].map((of) => memory.pointerIn(of));
  const issuers = stack ? certificatesIn(stack) : [];
  try {
    if (!keyPointer || !certificatePointer) {
      throw new TypeError("Cannot use this PKCS#12 file: it has no private key with a certificate");
    }
    return {
      certificate: pemOfCertificate(certificatePointer),
      privateKey: writePem(
        "a private key",
        (bio) => crypto.PEM_write_bio_PrivateKey(bio, keyPointer, null, null, 0, null, null),
      ),
      others: issuers.map(pemOfCertificate),
    };
  } finally {
    if (keyPointer) crypto.EVP_PKEY_free(keyPointer);
    if (certificatePointer) crypto.X509_free(certificatePointer);
    for (const issuer of issuers) crypto.X509_free(issuer);
    if (stack) crypto.OPENSSL_sk_free(stack);
    // Up to 1.1.1 a file that can be read leaves some behind.
    clearErrors();
  }
}

function readFile(bytes: Uint8Array): Pointer {
  const { crypto } = library();
  const bio = memoryBio();
  try {
    // C sees a copy, which cannot be taken away from under it.
    const copy = copyOf("this PKCS#12 file", bytes);
    const written = copy.length > 0 ? crypto.BIO_write(bio, copy, copy.length) : 0;
    copy.fill(0);
    if (written !== copy.length) throw openSslError(`Cannot take in ${copy.length} bytes of PKCS#12`);
    const file = crypto.d2i_PKCS12_bio(bio, null);
    if (!file) throw openSslError("Cannot read the PKCS#12 file");
    return file;
  } finally {
    crypto.BIO_free(bio);
  }
}

function certificatesIn(stack: Pointer): Pointer[] {
  const { crypto } = library();
  const length = Math.max(0, crypto.OPENSSL_sk_num(stack));
  return Array.from({ length }, (_, index) => crypto.OPENSSL_sk_value(stack, index) as Pointer);
}

function pemOfCertificate(certificate: Pointer): string {
  return writePem("a certificate", (bio) => library().crypto.PEM_write_bio_X509(bio, certificate));
}
