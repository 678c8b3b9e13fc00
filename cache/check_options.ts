import type { DeletionReason, SessionCacheOptions } from "./session_cache_options.ts";

const deletionReasons: readonly DeletionReason[] = ["expired", "fatal alert", "flushed", "application"];
const possibleReasons: readonly DeletionReason[] = [...deletionReasons, "unclean close"];

/** The options of a cache with the defaults filled in. Throws what is wrong with them. */
export function checkedOptions(options: SessionCacheOptions) {
  const { store, secrets, unsealed, lookupTimeout = 250, maxSessionAge = Infinity, maxLineageAge = 86_400 } = options;
  const { maxEntrySize = 10_240, deleteWhen = deletionReasons, durableTickets = false } = options;
  const { writeTimeout = 5000, maxPendingWrites = 1000 } = options;
  if (typeof store?.get !== "function" || typeof store.put !== "function" || typeof store.delete !== "function") {
    throw new TypeError("Cannot use this store: it must have the methods get, put and delete");
  }
  if (secrets !== undefined && (!Array.isArray(secrets) || secrets.some((secret) => !isSecret(secret)))) {
    throw new TypeError(
      "Cannot use these secrets: give an array of text or bytes, the current one first" +
        (Array.isArray(secrets) && secrets.some((secret) => secret === undefined)
          ? "; one is undefined: is its variable set?"
          : ""),
    );
  }
  if (store.isShared && !secrets && !unsealed) {
    throw new TypeError(
      "Cannot give sessions to a store outside of this process in clear, for they hold the keys of connections: " +
        "give the cache `secrets` to seal them with, or say `unsealed: true`",
    );
  }
  const numbers = { lookupTimeout, maxSessionAge, maxLineageAge, maxEntrySize, writeTimeout, maxPendingWrites };
  for (const [name, value] of Object.entries(numbers)) {
    if (!(value > 0)) throw new RangeError(`Cannot use ${value} for ${name}: it takes numbers above 0`);
  }
  const never = deleteWhen.find((reason) => !possibleReasons.includes(reason));
  if (never !== undefined) {
    throw new TypeError(
      `Cannot delete sessions for ${JSON.stringify(never)}: only for ${possibleReasons.join(", ")}`,
    );
  }
  for (const time of [lookupTimeout, writeTimeout]) {
    if (time > 0x7fffffff) throw new RangeError(`Cannot wait ${time} ms for a store`);
  }
  return { store, secrets, deleteWhen, durableTickets, ...numbers };
}

function isSecret(secret: unknown): boolean {
  return typeof secret === "string" || secret instanceof Uint8Array;
}
