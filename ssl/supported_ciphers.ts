import type { Pointer } from "../ffi/types.ts";
import { connectionPointer, type SslConnection } from "./connection.ts";
import { type ContextState, stateOf } from "./context_state.ts";
import { library } from "./library.ts";
import { openSslError } from "./openssl_error.ts";
import { type Session, sessionPointer } from "./session.ts";

/** What contexts of this library's own would negotiate: nothing changes it once they are made. */
const known = new WeakMap<ContextState, ReadonlySet<bigint | number>>();

/**
 * Whether the context that a connection uses has a session's cipher among those that it would negotiate, by its list
 * and its security level. libssl itself resumes a session of TLS 1.2 with any cipher that the client still offers.
 */
export function supportsCipherOf(connection: SslConnection, session: Session): boolean {
  const { ssl, memory } = library();
  const cipher = ssl.SSL_SESSION_get0_cipher(sessionPointer(session));
  const context = ssl.SSL_get_SSL_CTX(connectionPointer(connection));
  return cipher && context ? supportedCiphers(context).has(memory.keyOf(cipher)) : false;
}

function supportedCiphers(context: Pointer): ReadonlySet<bigint | number> {
  const state = stateOf(context);
  const ciphers = state && known.get(state) || readSupportedCiphers(context);
  if (state && !state.isForeign) known.set(state, ciphers);
  return ciphers;
}

/** The addresses of the ciphers, which libssl has in tables of its own. Only an SSL can say which they are. */
function readSupportedCiphers(context: Pointer): ReadonlySet<bigint | number> {
  const { ssl, crypto, memory } = library();
  const connection = ssl.SSL_new(context);
  if (!connection) throw openSslError("Cannot learn which ciphers a context supports");
  const list = ssl.SSL_get1_supported_ciphers(connection);
  try {
    const count = list ? crypto.OPENSSL_sk_num(list) : 0;
    const ciphers = Array.from({ length: count }, (_, index) => crypto.OPENSSL_sk_value(list, index) as Pointer);
    return new Set(ciphers.map((cipher) => memory.keyOf(cipher)));
  } finally {
    if (list) crypto.OPENSSL_sk_free(list);
    ssl.SSL_free(connection);
  }
}
