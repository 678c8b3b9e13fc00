import { clearTimeout, setTimeout } from "node:timers";

/**
 * Ends things that take too long, all after the same time. One timer serves them all, as whoever came first is due
 * first; and it stays set from one to the next, for most are done in time.
 */
export class Deadlines<T> {
  readonly #milliseconds: number;
  readonly #expire: (item: T) => void;
  readonly #keepsAlive: boolean;
  readonly #due = new Map<T, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `keepsAlive`: whether the program goes on until then, where nothing else keeps it alive. */
  constructor(milliseconds: number, expire: (item: T) => void, keepsAlive = false) {
    this.#milliseconds = milliseconds;
    this.#expire = expire;
    this.#keepsAlive = keepsAlive;
  }

  /** Starts an item's time, anew if it is running. */
  add(item: T): void {
    this.#due.delete(item);
    this.#due.set(item, performance.now() + this.#milliseconds);
    if (!this.#timer) this.#wait(this.#milliseconds);
  }

  /** The item was done in time. */
  delete(item: T): void {
    this.#due.delete(item);
  }

  /** How many items' time is running. */
  get size(): number {
    return this.#due.size;
  }

  /** Stops the timer, if no item's time is running. */
  rest(): void {
    if (this.#timer && this.#due.size === 0) this.close();
  }

  /** Forgets all items. */
  close(): void {
    this.#due.clear();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #wait(milliseconds: number): void {
    this.#timer = setTimeout(() => this.#check(), milliseconds);
    // Mostly, what is waited for keeps the program alive by itself.
    if (!this.#keepsAlive) this.#timer.unref();
  }

  #check(): void {
    const now = performance.now();
    try {
      for (const [item, due] of this.#due) {
        if (due > now) break;
        this.#due.delete(item);
        this.#expire(item);
      }
    } finally {
      // The others are not to wait for ever because one threw; and what was added meanwhile is to have no second timer.
      clearTimeout(this.#timer);
      this.#timer = undefined;
      const [first] = this.#due.values();
      if (first !== undefined) this.#wait(Math.max(0, first - performance.now()));
    }
  }
}
