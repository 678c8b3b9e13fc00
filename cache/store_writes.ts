import { Deadlines } from "./deadlines.ts";
import type { Journal } from "./journal.ts";
import { isPromise } from "./maybe_promise.ts";
import type { MaybePromise, SessionStore } from "./session_store.ts";

/** Something that a store was told and is not done with. */
interface Write {
  readonly expire: () => void;
  isLate: boolean;
  /** What was to be put is to be deleted. */
  isDeleted: boolean;
  /** Kept when nobody waits for it any more. */
  ended: Promise<void>;
}

/**
 * What a store is told: sessions to put and to delete. Each has a deadline, and there are so many at once at most: a
 * store that hangs costs no more than that.
 */
export class StoreWrites {
  readonly #store: SessionStore;
  readonly #journal: Journal;
  readonly #timeout: number;
  readonly #most: number;
  readonly #deadlines: Deadlines<Write>;
  /** Sessions on their way to the store, by their keys: what deletes one waits for it. Late ones are among them. */
  readonly #puts = new Map<string, Write>();
  /** The last that is known of the store is that it did not answer. */
  #hangs = false;

  constructor(store: SessionStore, journal: Journal, timeout: number, most: number) {
    this.#store = store;
    this.#journal = journal;
    this.#timeout = timeout;
    this.#most = most;
    this.#deadlines = new Deadlines(timeout, (write) => write.expire(), true);
  }

  /** Whether no more is to be begun. */
  get isFull(): boolean {
    return this.#deadlines.size >= (this.#hangs ? 1 : this.#most);
  }

  /** Puts a session. Throws, or rejects, where the store does, and where it does not answer in time. */
  put(key: string, value: Uint8Array, expiresAt: Date): MaybePromise<void> {
    return this.#inTime(this.#store.put(key, value, expiresAt), key);
  }

  /** Deletes a session, after it has come to the store where it is still on its way. */
  delete(key: string): MaybePromise<void> {
    const put = this.#puts.get(key);
    if (!put) return this.#inTime(this.#store.delete(key));
    put.isDeleted = true;
    return put.ended.then(() => this.#inTime(this.#store.delete(key)));
  }

  /** Kept when no session is on its way to the store. One that is late is to be deleted when it comes. */
  async settled(): Promise<void> {
    const puts = [...this.#puts.values()];
    await Promise.all(puts.map(({ ended }) => ended));
    for (const put of puts) put.isDeleted ||= put.isLate;
  }

  #inTime(told: MaybePromise<void>, key?: string): MaybePromise<void> {
    if (!isPromise(told)) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const write: Write = {
      expire: () => {
        write.isLate = this.#hangs = true;
        this.#journal.counts.writeTimeouts++;
        reject(new Error(`It did not answer in ${this.#timeout} ms`));
      },
      isLate: false,
      isDeleted: false,
      ended: promise.catch(() => {}),
    };
    this.#deadlines.add(write);
    if (key !== undefined) this.#remember(key, write);
    const settle = () => {
      this.#hangs = false;
      this.#deadlines.delete(write);
      this.#deadlines.rest();
      if (key !== undefined && this.#puts.get(key) === write) this.#puts.delete(key);
      if (write.isLate) this.#settledLate(write, key);
    };
    Promise.resolve(told).then(() => {
      settle();
      resolve();
    }, (cause) => {
      settle();
      reject(cause);
    });
    return promise;
  }

  #remember(key: string, write: Write): void {
    this.#puts.set(key, write);
    if (this.#puts.size <= 2 * this.#most) return;
    // Those that never settle would be remembered for ever.
    const [[oldest, { isLate }]] = this.#puts as Iterable<[string, Write]> as [[string, Write]];
    if (isLate) this.#puts.delete(oldest);
  }

  #settledLate({ isDeleted }: Write, key: string | undefined): void {
    this.#journal.counts.lateWrites++;
    if (!isDeleted) return;
    // It came after it was deleted.
    const failed = (cause: unknown) => this.#journal.failed("delete", cause);
    try {
      const told = this.delete(key!);
      if (isPromise(told)) told.catch(failed);
    } catch (cause) {
      failed(cause);
    }
  }
}
