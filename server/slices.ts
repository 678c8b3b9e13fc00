import { setImmediate } from "node:timers";

/** For how long a piece of a long work may hold the loop, in milliseconds. */
const longest = 8;

/** Cuts a long work into pieces, between which connections are served. */
export class Slices {
  #began = performance.now();

  /** Lets others have their turn, if this one has been long. */
  async rest(): Promise<void> {
    if (performance.now() - this.#began < longest) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#began = performance.now();
  }
}
