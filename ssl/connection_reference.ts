import type { Pointer } from "../ffi/types.ts";
import { calling } from "./calls.ts";
import { holdContext, releaseContext } from "./context_reference.ts";
import type { ContextState } from "./context_state.ts";
import { held, library } from "./library.ts";
import { setMaxVersion } from "./new_ssl.ts";
import { openSslError } from "./openssl_error.ts";
import { protocolNumber } from "./protocol.ts";
import { trampolines } from "./trampolines.ts";

/** A reference to an SSL, and thereby to its SSL_CTX. */
export interface ConnectionReference {
  readonly pointer: Pointer;
  /** The context that it was made with, whose callbacks are called. */
  readonly context: ContextState;
  /** Another context whose certificates it uses, by a reference of its own beside the SSL's. */
  borrowed: ContextState | undefined;
}

/**
 * Has a server's SSL go on with another SSL_CTX of this library's, or with its own again.
 *
 * @returns false if it had it already
 */
export function switchContext(reference: ConnectionReference, to: ContextState): boolean {
  const { pointer, context, borrowed } = reference;
  if (to === (borrowed ?? context)) return false;
  const { ssl } = library();
  if (to !== context) borrow(to);
  try {
    // libssl takes the new one's id context only where the connection had its old context's, which may be another now.
    if (
      !ssl.SSL_set_SSL_CTX(pointer, to.pointer) ||
      (to.idContext.length > 0 && ssl.SSL_set_session_id_context(pointer, to.idContext, to.idContext.length) !== 1)
    ) {
      throw openSslError("Cannot use another context for the connection");
    }
    // NULL would leave a callback that lets everybody in where it is.
    const verify = ssl.SSL_CTX_get_verify_callback(to.pointer) ||
      ssl.SSL_get_verify_callback(pointer) && trampolines().acceptVerifiedCertificate;
    ssl.SSL_set_verify(pointer, ssl.SSL_CTX_get_verify_mode(to.pointer), verify);
    // libssl chooses the version after the client hello callback.
    if (to.isForTls12Only !== (borrowed ?? context).isForTls12Only) {
      setMaxVersion(pointer, to.isForTls12Only ? protocolNumber("TLSv1.2") : maxVersionOf(context));
    }
  } catch (error) {
    if (to !== context) giveBack(to);
    throw error;
  }
  if (to !== context) relayCallbacks(context, to);
  reference.borrowed = to === context ? undefined : to;
  if (borrowed) giveBack(borrowed);
  return true;
}

/** What the context allows its connections: a number of the wire, 0 for no limit. */
function maxVersionOf({ pointer }: ContextState): number {
  const getMaxVersion = 131; // SSL_CTRL_GET_MAX_PROTO_VERSION
  return Number(library().ssl.SSL_CTX_ctrl(pointer, getMaxVersion, 0, null));
}

/** libssl calls these only if the SSL_CTX that is used has them. They find the callbacks of the one it was made with. */
function relayCallbacks(from: ContextState, to: ContextState): void {
  const { ssl } = library();
  const ours = trampolines();
  if (!to.isBorrowed) ssl.SSL_CTX_set_client_hello_cb(to.pointer, ours.clientHello, null);
  to.isBorrowed = true;
  if (from.alpn || from.alpnCallback) ssl.SSL_CTX_set_alpn_select_cb(to.pointer, ours.alpnSelect, null);
  if (from.keylog) ssl.SSL_CTX_set_keylog_callback(to.pointer, ours.keylog);
}

function borrow(to: ContextState): void {
  if (library().ssl.SSL_CTX_up_ref(to.pointer) !== 1) throw openSslError("Cannot take a reference to another context");
  holdContext(to);
}

function giveBack(borrowed: ContextState): void {
  releaseContext(borrowed, () => library().ssl.SSL_CTX_free(borrowed.pointer), "context freed");
}

/** Frees an SSL, and gives its contexts back, as soon as no call into libssl is under way. */
export function freeConnection({ pointer, context, borrowed }: ConnectionReference): void {
  // In a call of its own, all of it is done when that has unwound, and what callbacks throw comes after it.
  calling(() => {
    releaseContext(context, () => {
      const { ssl } = library();
      // The last connection takes the context with it: with another reference, that is a step of its own.
      const isLast = context.references === 1 && ssl.SSL_CTX_up_ref(context.pointer) === 1;
      ssl.SSL_free(pointer);
      held.connections--;
      if (isLast) calling(() => ssl.SSL_CTX_free(context.pointer), "context freed");
    }, "unclean close");
    if (borrowed) giveBack(borrowed);
  });
}
