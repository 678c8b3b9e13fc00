import { Buffer } from "node:buffer";
import type { Pointer } from "../ffi/types.ts";
import { memoryBio } from "./bio.ts";
import { connectionPointer, type SslConnection } from "./connection.ts";
import { encodeDer } from "./der.ts";
import { library } from "./library.ts";
import { clearErrors, openSslError } from "./openssl_error.ts";
import { type Session, sessionPointer } from "./session.ts";
import { trampolines } from "./trampolines.ts";

/**
 * The certificates that a client sent beside its own, one after the other in DER. A session does not keep them, and
 * without those in between its own cannot be verified again.
 */
export function clientChainOf(connection: SslConnection, session: Session): Uint8Array {
  const { ssl, crypto } = library();
  if (!ssl.SSL_SESSION_get0_peer(sessionPointer(session))) return new Uint8Array();
  const chain = ssl.SSL_get_peer_cert_chain(connectionPointer(connection));
  if (!chain) return new Uint8Array();
  const count = crypto.OPENSSL_sk_num(chain);
  // More than any authority has. A client could send hundreds, which costs more than its session is worth.
  if (count > longestChain) return new Uint8Array();
  return Buffer.concat(Array.from({ length: count }, (_, index) => {
    const certificate = crypto.OPENSSL_sk_value(chain, index)!;
    return encodeDer("a certificate", (out) => crypto.i2d_X509(certificate, out));
  }));
}

/** Whether a server refuses clients without a certificate. */
export function requiresCertificate(connection: SslConnection): boolean {
  const failIfNone = 2; // SSL_VERIFY_FAIL_IF_NO_PEER_CERT
  return (library().ssl.SSL_get_verify_mode(connectionPointer(connection)) & failIfNone) !== 0;
}

/** Whether the other side is let in whatever becomes of its certificate's verification (`rejectUnauthorized: false`). */
export function acceptsAnyCertificate(connection: SslConnection): boolean {
  const { ssl, memory } = library();
  const callback = ssl.SSL_get_verify_callback(connectionPointer(connection));
  return !!callback && memory.keyOf(callback) === memory.keyOf(trampolines().acceptAnyCertificate);
}

/**
 * How the verification of the client's certificate that a session holds ends today, by the authorities and parameters
 * of the context that the connection uses: 0 for a certificate that holds. It goes as libssl does it in a full handshake.
 *
 * @param chain what {@linkcode clientChainOf} answered when the session was made
 */
export function verifyClientAgain(connection: SslConnection, session: Session, chain: Uint8Array): number {
  const { ssl, crypto } = library();
  const pointer = connectionPointer(connection);
  const store = ssl.SSL_CTX_get_cert_store(ssl.SSL_get_SSL_CTX(pointer));
  const certificate = ssl.SSL_SESSION_get0_peer(sessionPointer(session));
  const untrusted = stackOf(chain);
  const context = crypto.X509_STORE_CTX_new();
  try {
    const failed = () => openSslError("Cannot verify a client's certificate again");
    // Whatever is not set would let more pass.
    if (
      !context || crypto.X509_STORE_CTX_init(context, store, certificate, untrusted.stack) !== 1 ||
      crypto.X509_STORE_CTX_set_default(context, clientPurpose) !== 1
    ) {
      throw failed();
    }
    const parameters = crypto.X509_STORE_CTX_get0_param(context);
    crypto.X509_VERIFY_PARAM_set_auth_level(parameters, ssl.SSL_get_security_level(pointer));
    if (crypto.X509_VERIFY_PARAM_set1(parameters, ssl.SSL_get0_param(pointer)) !== 1) throw failed();
    if (crypto.X509_verify_cert(context) === 1) return 0;
    const unspecified = 1; // X509_V_ERR_UNSPECIFIED
    return crypto.X509_STORE_CTX_get_error(context) || unspecified;
  } finally {
    if (context) crypto.X509_STORE_CTX_free(context);
    untrusted.free();
    clearErrors();
  }
}

const longestChain = 10;

const clientPurpose = new TextEncoder().encode("ssl_client\0");

/** Certificates in DER as a STACK_OF(X509), or NULL for none. */
function stackOf(chain: Uint8Array): { stack: Pointer | null; free: () => void } {
  if (chain.length === 0) return { stack: null, free: () => {} };
  const { crypto } = library();
  const certificates: Pointer[] = [];
  const bio = memoryBio();
  const stack = crypto.OPENSSL_sk_new_null();
  const free = () => {
    if (stack) crypto.OPENSSL_sk_free(stack);
    for (const certificate of certificates) crypto.X509_free(certificate);
  };
  const failed = () => openSslError("Cannot look at a client's certificates again");
  try {
    if (!stack || crypto.BIO_write(bio, chain, chain.length) !== chain.length) throw failed();
    const next = () => crypto.d2i_X509_bio(bio, null);
    for (let certificate = next(); certificate; certificate = next()) {
      certificates.push(certificate);
      if (crypto.OPENSSL_sk_push(stack, certificate) <= 0) throw failed();
    }
    return { stack, free };
  } catch (error) {
    free();
    throw error;
  } finally {
    crypto.BIO_free(bio);
  }
}
