/**
 * Watches the border to C. To be imported before anything that imports mod.ts: what it has done when the library is opened
 * comes before the trampolines are made.
 */

import { callbacks } from "../ffi/callbacks.ts";
import { library, whenOpened } from "../ssl/library.ts";

/**
 * Called whenever C calls back, with the name of the callback in ffi/callbacks.ts, "observer" for a test's own. What it
 * answers is called when the callback is over.
 */
export const watch: { onCallback?: ((callback: string) => (() => void) | void) | undefined } = {};

whenOpened((opening) => {
  const adapter = opening.adapter as { trampoline: typeof opening.adapter.trampoline };
  const trampoline = adapter.trampoline;
  adapter.trampoline = (prototype, callback) => {
    const name = Object.entries(callbacks).find(([_, known]) => known === prototype as unknown)?.[0] ?? "observer";
    const call = callback as (...parameters: unknown[]) => unknown;
    return trampoline(
      prototype,
      ((...parameters: unknown[]) => {
        const end = watch.onCallback?.(name);
        try {
          return call(...parameters);
        } finally {
          end?.();
        }
      }) as typeof callback,
    );
  };
  return () => adapter.trampoline = trampoline;
});

/** Runs something and answers which callbacks C called from within which function of libssl's: "SSL_free: removeSession". */
export function callsBackIn(run: () => void): Set<string> {
  const opened = library() as unknown as Record<"ssl" | "crypto", Functions>;
  const { ssl, crypto } = opened;
  const underWay: string[] = [];
  const seen = new Set<string>();
  const watched = (functions: Functions): Functions =>
    Object.fromEntries(
      Object.entries(functions).map(([name, call]) => [name, (...parameters) => {
        underWay.push(name);
        try {
          return call(...parameters);
        } finally {
          underWay.pop();
        }
      }]),
    );
  Object.assign(opened, { ssl: watched(ssl), crypto: watched(crypto) });
  watch.onCallback = (callback) => {
    seen.add(`${underWay.at(-1)}: ${callback}`);
    underWay.push(`a ${callback} callback`);
    return () => underWay.pop();
  };
  try {
    run();
  } finally {
    watch.onCallback = undefined;
    Object.assign(opened, { ssl, crypto });
  }
  return seen;
}

type Functions = Record<string, (...parameters: unknown[]) => unknown>;
