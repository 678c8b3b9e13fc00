import type { Null, Pointer } from "../ffi/types.ts";
import type { RemovalReason } from "./callback_types.ts";
import { calling, whenUnwound } from "./calls.ts";
import { clientHelloSteps } from "./context_callbacks.ts";
import { type ContextState, forgetState } from "./context_state.ts";
import { library } from "./library.ts";
import { trampolines } from "./trampolines.ts";

/** Takes note of a reference to an SSL_CTX: its own, or that of an SSL made from it. */
export function holdContext(state: ContextState): void {
  state.references++;
}

/**
 * Gives back such a reference by `free`, as soon as no call into libssl is under way: the call that this may come from
 * still uses it. The state ends with the last; what libssl calls back while it frees the SSL_CTX still finds it.
 *
 * @param reason why sessions are removed, if some are
 */
export function releaseContext(state: ContextState, free: () => void, reason: RemovalReason): void {
  whenUnwound(() => {
    // Other code may go on with its SSL_CTX, which must not call what is no longer there.
    if (state.isForeign && state.references === 1) clearCallbacks(state);
    calling(() => {
      try {
        free();
      } finally {
        // At once: another SSL_CTX may come to lie at its address.
        state.references--;
        if (state.references === 0) forgetState(state);
      }
    }, reason);
  });
}

/** Clears the callbacks that are this library's; other code may have set its own meanwhile. */
function clearCallbacks(state: ContextState): void {
  const { pointer, keylog, generateSessionId } = state;
  const { ssl, memory } = library();
  const ours = trampolines();
  const same = (a: Pointer | Null, b: Pointer) => a && memory.keyOf(a) === memory.keyOf(b);
  if (same(ssl.SSL_CTX_sess_get_new_cb(pointer), ours.newSession)) ssl.SSL_CTX_sess_set_new_cb(pointer, null);
  if (same(ssl.SSL_CTX_sess_get_remove_cb(pointer), ours.removeSession)) ssl.SSL_CTX_sess_set_remove_cb(pointer, null);
  if (same(ssl.SSL_CTX_sess_get_get_cb(pointer), ours.getSession)) ssl.SSL_CTX_sess_set_get_cb(pointer, null);
  if (clientHelloSteps(state).length > 0) ssl.SSL_CTX_set_client_hello_cb(pointer, null, null);
  if (generateSessionId) ssl.SSL_CTX_set_generate_session_id(pointer, null);
  if (keylog && same(ssl.SSL_CTX_get_keylog_callback(pointer), ours.keylog)) {
    ssl.SSL_CTX_set_keylog_callback(pointer, null);
  }
}
