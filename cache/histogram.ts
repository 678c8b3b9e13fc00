/** The upper bounds of the latencies that are counted apart, in milliseconds; the last count is of what is above. */
export const latencyBounds: readonly number[] = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000];

/** How long a store took, counted by {@linkcode latencyBounds}. */
export interface LatencyHistogram {
  /** The upper bounds, in milliseconds. */
  readonly bounds: readonly number[];
  /** How many took up to each bound, and at the end how many took longer than all. */
  readonly counts: readonly number[];
  /** All times together, in milliseconds. */
  readonly sum: number;
}

/** Counts latencies. */
export class Histogram {
  readonly #counts: number[] = new Array(latencyBounds.length + 1).fill(0);
  #sum = 0;

  /** Counts one. */
  record(milliseconds: number): void {
    this.#sum += milliseconds;
    let bucket = 0;
    while (bucket < latencyBounds.length && milliseconds > latencyBounds[bucket]!) bucket++;
    this.#counts[bucket]!++;
  }

  /** As it stands. */
  snapshot(): LatencyHistogram {
    return { bounds: latencyBounds, counts: [...this.#counts], sum: this.#sum };
  }
}
