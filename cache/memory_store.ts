import { integer } from "../ssl/option_kinds.ts";
import { type OptionKinds, readOptions } from "../ssl/options.ts";
import type { SessionStore } from "./session_store.ts";

const kinds: OptionKinds<{ maxEntries?: number }> = { maxEntries: integer(1, Number.MAX_SAFE_INTEGER) };

/**
 * Keeps sessions in this process's memory: the fastest store, shared with no other process and gone with this one.
 * When it is full, the session that was used the longest ago gives way.
 *
 * @example
 * ```ts
 * import { MemoryStore, SessionCache } from "./mod.ts";
 *
 * const cache = new SessionCache({ store: new MemoryStore({ maxEntries: 1000 }) });
 * ```
 */
export class MemoryStore implements SessionStore {
  /** The most sessions it holds. */
  readonly maxEntries: number;
  // A Map remembers the order of insertion; an entry that is used is inserted anew.
  readonly #entries = new Map<string, { value: Uint8Array; expiresAt: number }>();

  /**
   * An empty store.
   *
   * @param options `maxEntries`: the most sessions it holds, by default 20,480 as in OpenSSL's own cache; a session
   *   takes some 200 to 2,000 bytes
   * @throws {TypeError} for an option that is not known, or of another type
   * @throws {RangeError} if `maxEntries` is not a whole number above 0
   */
  constructor(options: { maxEntries?: number } = {}) {
    const { maxEntries = 20_480 } = readOptions("new MemoryStore()", kinds, options);
    this.maxEntries = maxEntries;
  }

  /** How many sessions it holds, expired ones that nobody asked for among them. */
  get size(): number {
    return this.#entries.size;
  }

  /** The value under the key, which thereby becomes the most recently used. */
  get(key: string): Uint8Array | undefined {
    const entry = this.#remove(key);
    if (!entry) return undefined;
    this.#entries.set(key, entry);
    return entry.value;
  }

  /** Keeps the value under the key; where there is no room, the least recently used one goes. */
  put(key: string, value: Uint8Array, expiresAt: Date): void {
    this.#entries.delete(key);
    if (this.#entries.size >= this.maxEntries) this.#entries.delete(this.#entries.keys().next().value!);
    this.#entries.set(key, { value, expiresAt: expiresAt.getTime() });
  }

  /** The value under the key, deleted in the same step. */
  take(key: string): Uint8Array | undefined {
    return this.#remove(key)?.value;
  }

  /** Deletes the value under the key, if there is one. */
  delete(key: string): void {
    this.#entries.delete(key);
  }

  /** All that it keeps and that has not expired, the least recently used first. */
  *entries(): Generator<[key: string, value: Uint8Array]> {
    const now = Date.now();
    for (const [key, { value, expiresAt }] of [...this.#entries]) {
      if (expiresAt > now) yield [key, value];
    }
  }

  #remove(key: string): { value: Uint8Array; expiresAt: number } | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#entries.delete(key);
    return entry.expiresAt > Date.now() ? entry : undefined;
  }
}
