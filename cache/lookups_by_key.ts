import type { Lookup } from "./lookup.ts";

/** The lookups of handshakes that are not over, by the key that each asks for or has found. */
export class LookupsByKey {
  readonly #lookups = new Map<string, Set<Lookup>>();

  /** Those of one key. */
  of(key: string): Iterable<Lookup> {
    return this.#lookups.get(key) ?? [];
  }

  /** All of them. */
  *all(): Generator<Lookup> {
    for (const lookups of this.#lookups.values()) yield* lookups;
  }

  /** One more, under the key that it is about to ask for. */
  add(key: string, lookup: Lookup): void {
    const lookups = this.#lookups.get(key);
    if (lookups) lookups.add(lookup);
    else this.#lookups.set(key, new Set([lookup]));
  }

  /** Forgets one. */
  delete(key: string, lookup: Lookup): void {
    const lookups = this.#lookups.get(key);
    if (lookups?.delete(lookup) && lookups.size === 0) this.#lookups.delete(key);
  }
}
