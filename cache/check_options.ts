import { readOptions } from "../ssl/options.ts";
import { deletionReasons, sessionCacheKinds, type SessionCacheOptions } from "./session_cache_options.ts";
import type { SessionStore } from "./session_store.ts";

/** The options of a cache with the defaults filled in. Throws what is wrong with them. */
export function checkedOptions(options: SessionCacheOptions) {
  const { get, put } = (options ?? {}) as Partial<SessionStore>;
  if (typeof get === "function" && typeof put === "function") {
    throw new TypeError("Cannot make a session cache of a store alone: give { store }, and secrets where it is shared");
  }
  const read = readOptions("new SessionCache()", sessionCacheKinds, options);
  const { store, secrets, unsealed, onStoreError, onEvent, deleteWhen = deletionReasons, durableTickets = false } =
    read;
  const { lookupTimeout = 250, maxSessionAge = Infinity, maxLineageAge = 86_400, maxEntrySize = 10_240 } = read;
  const { writeTimeout = 5000, maxPendingWrites = 1000, singleUse } = read;
  if (!store) throw new TypeError("Cannot make a session cache without a store: give one, such as new MemoryStore()");
  if (singleUse && !store.take) {
    throw new TypeError("Cannot have TLS 1.3 sessions used once with this store: it has no method take");
  }
  if (store.isShared && !secrets && !unsealed) {
    throw new TypeError(
      "Cannot give sessions to a store outside of this process in clear, for they hold the keys of connections: " +
        "give the cache `secrets` to seal them with, or say `unsealed: true`",
    );
  }
  const numbers = { lookupTimeout, maxSessionAge, maxLineageAge, maxEntrySize, writeTimeout, maxPendingWrites };
  const takes = singleUse !== false && store.take !== undefined;
  return { store, secrets, onStoreError, onEvent, deleteWhen, durableTickets, takes, ...numbers };
}
