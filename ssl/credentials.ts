import { readFileSync } from "node:fs";
import { cString } from "../ffi/memory.ts";
import type { Pointer } from "../ffi/types.ts";
import { namesOf } from "./certificate.ts";
import { readPem } from "./bio.ts";
import { library } from "./library.ts";
import { clearErrors, openSslError } from "./openssl_error.ts";

/** PEM text from an option or from the file that another option names. */
export function pemOf(what: string, text: string | undefined, file: string | URL | undefined): string | undefined {
  if (file === undefined) return text;
  if (text !== undefined) throw new TypeError(`Cannot use both a ${what} and a ${what} file: give one`);
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new Error(`Cannot read the ${what} file ${file}: ${(cause as Error).message}`, { cause });
  }
}

/**
 * Gives the context a certificate, the chain that follows it in the text, and its private key.
 *
 * @returns the certificate's names, in DER
 */
export function useCredentials(
  context: Pointer,
  certificate: string,
  privateKey: string | undefined,
  passphrase: string | undefined,
): Uint8Array {
  const { ssl } = library();
  const [leaf, ...chain] = readCertificates("certificate", certificate);
  let names: Uint8Array;
  try {
    names = namesOf(leaf!);
    if (ssl.SSL_CTX_use_certificate(context, leaf!) !== 1) throw openSslError("Cannot use the certificate");
    for (const issuer of chain) {
      const addToChain = 89, countReference = 1; // SSL_CTRL_CHAIN_CERT
      if (Number(ssl.SSL_CTX_ctrl(context, addToChain, countReference, issuer)) !== 1) {
        throw openSslError("Cannot use a certificate of the chain");
      }
    }
  } finally {
    freeCertificates([leaf!, ...chain]);
  }
  // A file that holds both is common.
  usePrivateKey(context, privateKey ?? certificate, passphrase);
  return names;
}

function usePrivateKey(context: Pointer, pem: string, passphrase: string | undefined): void {
  const { ssl, crypto } = library();
  const encrypted = /-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED/.test(pem);
  if (encrypted && passphrase === undefined) {
    throw new TypeError("Cannot read the private key: it is encrypted, and no passphrase was given");
  }
  // Without a callback the last parameter is the passphrase. It is never NULL: that would ask on the terminal.
  const secret = cString(passphrase ?? "");
  const key = readPem(pem, (bio) => crypto.PEM_read_bio_PrivateKey(bio, null, null, secret));
  secret.fill(0);
  if (!key) {
    throw openSslError(
      encrypted
        ? "Cannot read the private key, perhaps for a wrong passphrase"
        : "Cannot read the private key from PEM",
    );
  }
  try {
    // A key of another kind than the certificate's goes to a place of its own, and only the second call minds.
    if (ssl.SSL_CTX_use_PrivateKey(context, key) !== 1 || ssl.SSL_CTX_check_private_key(context) !== 1) {
      throw openSslError("Cannot use the private key: it does not belong to the certificate");
    }
  } finally {
    crypto.EVP_PKEY_free(key);
  }
}

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

/** All certificates in the text, one at least. */
function readCertificates(what: string, pem: string): Pointer[] {
  const { crypto } = library();
  const certificates: Pointer[] = [];
  const noPassphrase = cString("");
  readPem(pem, (bio) => {
    const next = () => crypto.PEM_read_bio_X509(bio, null, null, noPassphrase);
    for (let certificate = next(); certificate; certificate = next()) certificates.push(certificate);
  });
  if (certificates.length === 0) throw openSslError(`Cannot read the ${what} from PEM`);
  const rest = pem.match(/-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----/g)!.length - certificates.length;
  if (rest > 0) {
    freeCertificates(certificates);
    throw openSslError(`Cannot read the ${what} from PEM: number ${certificates.length + 1} is damaged`);
  }
  // Reading stops at the end of the text, which libcrypto counts as an error.
  clearErrors();
  return certificates;
}

function freeCertificates(certificates: Pointer[]): void {
  for (const certificate of certificates) library().crypto.X509_free(certificate);
}
