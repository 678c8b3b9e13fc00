import { cString } from "../ffi/memory.ts";
import type { Null, Pointer } from "../ffi/types.ts";
import { derOf, namesOf } from "./certificate.ts";
import type { ContextState } from "./context_state.ts";
import { library } from "./library.ts";
import type { Loaded, LoadedCertificate } from "./loaded_options.ts";
import { openSslError } from "./openssl_error.ts";
import { checkedOcspResponse } from "./ocsp_response.ts";
import { freeCertificates, pemError, readCertificates, readPem, sourceName } from "./pem.ts";
import { serverNamesIn } from "./server_names.ts";
import { isForTls12Only } from "./tls12_only.ts";
import { trampolines } from "./trampolines.ts";

/**
 * Gives the context its certificates, each with its chain and its private key.
 *
 * @returns the certificates' names, in DER
 */
export function useCertificates(state: ContextState, all: readonly LoadedCertificate[]): Uint8Array[] {
  const used = all.map((one) => useCertificate(state, one)).filter((one) => one !== undefined);
  const names = used.map(({ names }) => names);
  if (names.length === 0 && all.length <= 1) return [];
  if (names.length < all.length) throw new TypeError("Cannot use more certificates: one of them is not given");
  state.serverNames = Object.freeze([...new Set(names.flatMap(serverNamesIn))]);
  // One of the same type has taken the other's place.
  if (names.length > 1 && countCertificates(state.pointer) < names.length) {
    throw new TypeError(
      `Cannot use two certificates with keys of one type for ${state.serverNames.join(", ") || "no name"}: ` +
        "a context has one for each",
    );
  }
  state.isForTls12Only = state.role === "server" && used.every(({ isForTls12Only }) => isForTls12Only);
  return names;
}

/** The names that a certificate is for. */
export function serverNamesOf(certificate: Loaded): string[] {
  const all = readCertificates("certificate", certificate);
  try {
    return serverNamesIn(namesOf(all[0]!));
  } finally {
    freeCertificates(all);
  }
}

function countCertificates(context: Pointer): number {
  const { ssl } = library();
  const setCurrent = 117, first = 1, next = 2; // SSL_CTRL_SET_CURRENT_CERT
  let count = 0;
  while (Number(ssl.SSL_CTX_ctrl(context, setCurrent, count === 0 ? first : next, null)) === 1) count++;
  return count;
}

/** Gives it one of them, where there is one: the certificate, the chain that follows in the text, and the key. */
function useCertificate(
  state: ContextState,
  { certificate, privateKey, passphrase, ocspResponse }: LoadedCertificate,
): { names: Uint8Array; isForTls12Only: boolean } | undefined {
  const { ssl } = library();
  const context = state.pointer;
  const response = ocspResponse && checkedOcspResponse(ocspResponse);
  // libssl would have a client's callback judge the server's response.
  if (response && state.role === "client") {
    throw new TypeError("Cannot send an OCSP response from a client's context: only servers do");
  }
  if (certificate === undefined) {
    if (response) throw new TypeError("Cannot use an OCSP response without its certificate");
    if (privateKey !== undefined) throw new TypeError("Cannot use a private key without its certificate");
    return undefined;
  }
  const [leaf, ...chain] = readCertificates("certificate", certificate);
  try {
    if (ssl.SSL_CTX_use_certificate(context, leaf!) !== 1) throw openSslError("Cannot use the certificate");
    for (const issuer of chain) {
      const addToChain = 89, countReference = 1; // SSL_CTRL_CHAIN_CERT
      if (Number(ssl.SSL_CTX_ctrl(context, addToChain, countReference, issuer)) !== 1) {
        throw openSslError("Cannot use a certificate of the chain");
      }
    }
    // A file that holds both is common.
    usePrivateKey(context, leaf!, certificate, privateKey ?? certificate, passphrase);
    if (response) stapleResponse(state, leaf!, response);
    return { names: namesOf(leaf!), isForTls12Only: isForTls12Only(derOf(leaf!)) };
  } finally {
    freeCertificates([leaf!, ...chain]);
  }
}

function stapleResponse(state: ContextState, certificate: Pointer, response: Uint8Array): void {
  const { ssl, memory } = library();
  const setStatusCallback = 63; // SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB
  if (Number(ssl.SSL_CTX_callback_ctrl(state.pointer, setStatusCallback, trampolines().certificateStatus)) !== 1) {
    throw openSslError("Cannot have the context send OCSP responses");
  }
  // The context holds the certificate for as long as it lives.
  state.ocspResponses.set(memory.keyOf(certificate), response);
}

function usePrivateKey(
  context: Pointer,
  leaf: Pointer,
  certificate: Loaded,
  source: Loaded,
  passphrase: string | undefined,
): void {
  const { ssl, crypto } = library();
  const encrypted = /-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED/.test(
    new TextDecoder().decode(source.bytes),
  );
  const what = sourceName("private key", source);
  if (encrypted && passphrase === undefined) {
    throw new TypeError(`Cannot read ${what}: it is encrypted, and no passphrase was given`);
  }
  // Without a callback the last parameter is the passphrase. It is never NULL: that would ask on the terminal.
  const secret = cString(passphrase ?? "");
  let key: Pointer | Null;
  try {
    key = readPem(source.bytes, (bio) => crypto.PEM_read_bio_PrivateKey(bio, null, null, secret));
  } finally {
    secret.fill(0);
  }
  if (!key) {
    throw encrypted
      ? openSslError(`Cannot read ${what}, perhaps for a wrong passphrase`)
      : pemError("private key", source, "privateKeyFile");
  }
  try {
    // First, as a key of another type than the certificate's goes to a place of its own.
    if (crypto.X509_check_private_key(leaf, key) !== 1 || ssl.SSL_CTX_use_PrivateKey(context, key) !== 1) {
      const of = (file: string | undefined) => file === undefined ? "" : ` in ${file}`;
      throw openSslError(
        `Cannot use the private key${of(source.file)}: it does not belong to the certificate${of(certificate.file)}`,
      );
    }
  } finally {
    crypto.EVP_PKEY_free(key);
  }
}
