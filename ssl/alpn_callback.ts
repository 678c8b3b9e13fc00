import type { AlpnCallback } from "./callback_types.ts";
import { contextPointer, contextState, type SslContext } from "./context.ts";
import { library } from "./library.ts";
import { trampolines } from "./trampolines.ts";

/** Has connections of a server's context choose their protocol by a callback. @see SSL_CTX_set_alpn_select_cb(3) */
export function setAlpnCallback(context: SslContext, callback: AlpnCallback): void {
  library().ssl.SSL_CTX_set_alpn_select_cb(contextPointer(context), trampolines().alpnSelect, null);
  contextState(context).alpnCallback = callback;
}
