import { integer } from "../ssl/option_kinds.ts";
import { type OptionKinds, readOptions } from "../ssl/options.ts";
import type { SessionStore } from "./session_store.ts";

/** The options of a {@linkcode MemoryStore}. */
export interface MemoryStoreOptions {
  /** The most sessions it holds, by default 20,480 as in OpenSSL's own cache; one takes some 200 to 2,000 bytes. */
  maxEntries?: number;
  /** The most bytes that their keys and values may have together, by default 67,108,864 (64 MiB). */
  maxBytes?: number;
}

const kinds: OptionKinds<MemoryStoreOptions> = {
  maxEntries: integer(1, Number.MAX_SAFE_INTEGER),
  maxBytes: integer(1, Number.MAX_SAFE_INTEGER),
};

/**
 * Keeps sessions in this process's memory: the fastest store, shared with no other process and gone with this one.
 * When it is full, the session that was used the longest ago gives way.
 *
 * @example
 * ```ts
 * import { MemoryStore, SessionCache } from "@openssl-sessions/openssl-sessions";
 *
 * const cache = new SessionCache({ store: new MemoryStore({ maxEntries: 1000 }) });
 * ```
 */
export class MemoryStore implements SessionStore {
  /** The most sessions it holds. */
  readonly maxEntries: number;
  /** The most bytes that their keys and values may have together. */
  readonly maxBytes: number;
  // A Map remembers the order of insertion; an entry that is used is inserted anew.
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  /**
   * An empty store.
   *
   * @param options how much it holds
   * @throws {TypeError} for an option that is not known, or of another type
   * @throws {RangeError} if `maxEntries` or `maxBytes` is not a whole number above 0
   */
  constructor(options: MemoryStoreOptions = {}) {
    const { maxEntries = 20_480, maxBytes = 67_108_864 } = readOptions("new MemoryStore()", kinds, options);
    this.maxEntries = maxEntries;
    this.maxBytes = maxBytes;
  }

  /** How many sessions it holds, expired ones that nobody asked for among them. */
  get size(): number {
    return this.#entries.size;
  }

  /** The value under the key, which thereby becomes the most recently used. */
  get(key: string): Uint8Array | undefined {
    const entry = this.#remove(key);
    if (!entry || !isGood(entry)) return undefined;
    this.#add(key, entry);
    return entry.value;
  }

  /** Keeps the value under the key; where there is no room, the least recently used ones go. */
  put(key: string, value: Uint8Array, expiresAt: Date): void {
    this.#remove(key);
    const time = expiresAt.getTime();
    // By both clocks: one that was set right meanwhile keeps nothing for longer.
    this.#add(key, { value, expiresAt: time, until: performance.now() + (time - Date.now()) });
    while (this.#entries.size > this.maxEntries || this.#bytes > this.maxBytes) {
      this.#remove(this.#entries.keys().next().value!);
    }
  }

  /** The value under the key, deleted in the same step. */
  take(key: string): Uint8Array | undefined {
    const entry = this.#remove(key);
    return entry && isGood(entry) ? entry.value : undefined;
  }

  /** Deletes the value under the key, if there is one. */
  delete(key: string): void {
    this.#remove(key);
  }

  /** All that it keeps and that has not expired, the least recently used first. */
  *entries(): Generator<[key: string, value: Uint8Array]> {
    for (const [key, entry] of [...this.#entries]) {
      if (isGood(entry)) yield [key, entry.value];
    }
  }

  #add(key: string, entry: Entry): void {
    this.#entries.set(key, entry);
    this.#bytes += key.length + entry.value.length;
  }

  #remove(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#entries.delete(key);
    this.#bytes -= key.length + entry.value.length;
    return entry;
  }
}

interface Entry {
  readonly value: Uint8Array;
  /** By the clock on the wall. */
  readonly expiresAt: number;
  /** By the one that is never set. */
  readonly until: number;
}

function isGood({ expiresAt, until }: Entry): boolean {
  return expiresAt > Date.now() && until > performance.now();
}
