/** Who has a context's callbacks: its user, a server, or a session cache. None takes one from another in silence. */

import type { Null, Pointer } from "../ffi/types.ts";
import type { ClientHelloCallback } from "./callback_types.ts";
import type { ContextState, SessionCallbackKind } from "./context_state.ts";
import { library } from "./library.ts";
import { trampolines } from "./trampolines.ts";

const names: Record<SessionCallbackKind, string> = {
  newSession: "new session",
  removeSession: "remove session",
  getSession: "get session",
  generateSessionId: "generate session id",
};

/** Throws where a session cache has the callback that its user is about to set or clear. */
export function refuseCachesCallback({ sessionCache }: ContextState, kind: SessionCallbackKind): void {
  if (!sessionCache?.kinds.includes(kind)) return;
  throw new TypeError(
    `Cannot set the ${names[kind]} callback: a SessionCache is attached to the context, and has it; use the cache's ` +
      "onEvent, or a context without a cache",
  );
}

/**
 * Gives a context that has not been disposed to a session cache.
 *
 * @param take sets the callbacks: those among `kinds`, first the one that may be refused
 * @throws {TypeError} if the user, another cache or other code has one of them
 */
export function giveToSessionCache(
  state: ContextState,
  cache: object,
  kinds: readonly SessionCallbackKind[],
  take: () => void,
): void {
  if (state.sessionCache && state.sessionCache.cache !== cache) {
    throw new TypeError("Cannot attach this SessionCache: another one is attached to the context");
  }
  const taken = state.sessionCache ? undefined : kinds.find((kind) => state[kind] || isOthers(state, kind));
  if (taken) {
    throw new TypeError(
      `Cannot attach a SessionCache: the context has a ${names[taken]} callback of its own, and there is one such ` +
        "callback; clear that first, or leave the cache out",
    );
  }
  change(state, take, { cache, kinds });
}

/**
 * Gives a context back to its user. Does nothing where it is not this cache's.
 *
 * @param giveBack clears the callbacks that the cache had
 */
export function takeFromSessionCache(
  state: ContextState,
  cache: object,
  giveBack: (kinds: readonly SessionCallbackKind[]) => void,
): void {
  if (state.sessionCache?.cache !== cache) return;
  const { kinds } = state.sessionCache;
  change(state, () => giveBack(kinds), undefined);
}

/** Lets callbacks be set. Where the first of them is refused, the context stays whose it was. */
function change(state: ContextState, set: () => void, after: ContextState["sessionCache"]): void {
  const before = state.sessionCache;
  state.sessionCache = undefined;
  try {
    set();
    state.sessionCache = after;
  } catch (error) {
    state.sessionCache = before;
    throw error;
  }
}

/** Sets what a context that has not been disposed calls for a client hello: by the user, by a server that chooses a context, by a session cache. */
export function setClientHelloStep(
  state: ContextState,
  step: "clientHello" | "chooseContext" | "lookUpSession",
  callback: ClientHelloCallback | null,
): void {
  state[step] = callback ?? undefined;
  const isNeeded = state.isBorrowed || clientHelloSteps(state).length > 0;
  library().ssl.SSL_CTX_set_client_hello_cb(state.pointer, isNeeded ? trampolines().clientHello : null, null);
}

/** What is called for a client hello, one after the other until one does not answer "continue". */
export function clientHelloSteps({ clientHello, chooseContext, lookUpSession }: ContextState): ClientHelloCallback[] {
  return [clientHello, chooseContext, lookUpSession].filter((step) => step !== undefined);
}

/** Whether other code, which made the context, has set a callback of its own. For session ids nothing tells. */
function isOthers({ pointer }: ContextState, kind: SessionCallbackKind): boolean {
  const { ssl, memory } = library();
  let set: Pointer | Null = null;
  if (kind === "newSession") set = ssl.SSL_CTX_sess_get_new_cb(pointer);
  if (kind === "removeSession") set = ssl.SSL_CTX_sess_get_remove_cb(pointer);
  if (kind === "getSession") set = ssl.SSL_CTX_sess_get_get_cb(pointer);
  return !!set && memory.keyOf(set) !== memory.keyOf(trampolines()[kind]);
}
