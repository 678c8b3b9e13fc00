import type { Pointer } from "../ffi/types.ts";
import { beforeClosing, library, whenOpened } from "./library.ts";
import type { SslConnection } from "./connection.ts";
import type { SslContext } from "./context.ts";
import type {
  ClientHelloCallback,
  GetSessionCallback,
  KeylogCallback,
  NewSessionCallback,
  RemoveSessionCallback,
} from "./callback_types.ts";

/**
 * The TypeScript side of one SSL_CTX: what its callbacks find. It lives as long as the SSL_CTX does, which is longer
 * than the SslContext object where connections still use it.
 */
export class ContextState {
  newSession: NewSessionCallback | undefined;
  removeSession: RemoveSessionCallback | undefined;
  getSession: GetSessionCallback | undefined;
  clientHello: ClientHelloCallback | undefined;
  keylog: KeylogCallback | undefined;
  /** The server's protocols in the wire's form, in C's memory. */
  alpn: { readonly list: Pointer; readonly length: number } | undefined;
  /** How many remove callbacks are under way. libssl up to 3.5 holds the context's lock meanwhile. */
  removing = 0;
  /** The side that its connections are, where the context was made for one. */
  role: "server" | "client" | undefined;
  /** The object that users hold, for as long as they do. */
  handle: WeakRef<SslContext> | undefined;
}

/** How many remove callbacks are under way, of any context: a session does not say which one caches it. */
export const removals = { underWay: 0 };

const states = new Map<bigint | number, ContextState>();

// An SSL_CTX that other code still holds would call into what closing frees. One without callbacks would not.
beforeClosing(() => {
  const served = [...states.values()].filter((state) =>
    state.role ?? state.newSession ?? state.removeSession ?? state.getSession ?? state.clientHello ?? state.keylog
  );
  return served.length > 0
    ? `other code still holds ${served.length} contexts with callbacks of this library`
    : undefined;
});
whenOpened(() => () => states.clear());

/** The state of this SSL_CTX, if it has one. */
export function stateOf(context: Pointer): ContextState | undefined {
  return states.get(library().memory.keyOf(context));
}

/** Gives an SSL_CTX its state. */
export function setState(context: Pointer, state: ContextState): void {
  states.set(library().memory.keyOf(context), state);
}

/** Forgets the state of an SSL_CTX that libssl is freeing. */
export function forgetState(context: Pointer): void {
  const key = library().memory.keyOf(context);
  const state = states.get(key);
  if (!state) return;
  states.delete(key);
  if (state.alpn) library().crypto.CRYPTO_free(state.alpn.list, null, 0);
}

/**
 * Makes the objects that a callback hands out for an SSL or SSL_CTX that TypeScript has no object of. Set by the
 * modules of those objects, which import this one.
 */
export const wrappers: {
  connection?: (ssl: Pointer) => { connection: SslConnection; end: () => void };
  releasedContext?: (state: ContextState) => SslContext;
} = {};
