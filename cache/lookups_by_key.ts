import type { Lookup } from "./lookup.ts";

/**
 * The lookups of handshakes that are not over, by the key that each asks for or has found. They are held weakly: a
 * connection that was forgotten in the middle of its handshake is to be collected, and its lookup with it.
 */
export class LookupsByKey {
  readonly #lookups = new Map<string, Set<WeakRef<Lookup>>>();
  #sweepAt = 1024;

  /** Those of one key. */
  of(key: string): Lookup[] {
    return [...this.#lookups.get(key) ?? []].flatMap((reference) => reference.deref() ?? []);
  }

  /** All of them. */
  all(): Lookup[] {
    return [...this.#lookups.keys()].flatMap((key) => this.of(key));
  }

  /** One more, under the key that it is about to ask for. */
  add(key: string, lookup: Lookup): void {
    const lookups = this.#lookups.get(key);
    if (lookups) lookups.add(lookup.reference);
    else this.#lookups.set(key, new Set([lookup.reference]));
    if (this.#lookups.size > this.#sweepAt) this.#sweep();
  }

  /** Forgets one. */
  delete(key: string, lookup: Lookup): void {
    const lookups = this.#lookups.get(key);
    if (lookups?.delete(lookup.reference) && lookups.size === 0) this.#lookups.delete(key);
  }

  /** Forgets the keys of those that were collected. */
  #sweep(): void {
    for (const key of this.#lookups.keys()) {
      if (this.of(key).length === 0) this.#lookups.delete(key);
    }
    this.#sweepAt = 2 * this.#lookups.size + 1024;
  }
}
