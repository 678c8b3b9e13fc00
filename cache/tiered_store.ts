import { integer, number, withMethods } from "../ssl/option_kinds.ts";
import { type OptionKinds, readOptions } from "../ssl/options.ts";
import type { MaybePromise, SessionStore, StoreLookup } from "./session_store.ts";

/** A store that answers at once, such as a {@linkcode MemoryStore}. */
export interface NearStore {
  /** The value under the key, if there is one. */
  get(key: string): Uint8Array | undefined;
  /** Keeps the value under the key, in place of any other. */
  put(key: string, value: Uint8Array, expiresAt: Date): void;
  /** Deletes the value under the key, if there is one. */
  delete(key: string): void;
  /** All that it keeps, if it can list it. */
  entries?(): Iterable<[key: string, value: Uint8Array]>;
  /** Whether values leave this process's memory. */
  readonly isShared?: boolean;
}

/** The options of a {@linkcode TieredStore}. */
export interface TieredStoreOptions {
  /** The fast store, of this process: a {@linkcode MemoryStore}. */
  near: NearStore;
  /** The store that is shared with other servers. */
  far: SessionStore;
  /**
   * For how long a session is answered from the near store, in milliseconds, by default 60,000. It is at most for so
   * long that this server goes on using a session which another has deleted, or whose time was over.
   */
  nearTtl?: number;
  /**
   * For how long it is remembered that the far store does not have a key, in milliseconds, by default 1,000; 0 to ask it
   * every time. What another server puts there meanwhile is found that much later.
   */
  negativeTtl?: number;
  /** How many such keys are remembered at most, by default 10,000. */
  maxNegatives?: number;
}

const kinds: OptionKinds<TieredStoreOptions> = {
  near: withMethods("a store with the methods get, put and delete", "get", "put", "delete"),
  far: withMethods("a store with the methods get, put and delete", "get", "put", "delete"),
  nearTtl: number(0, 0x7fffffff, "milliseconds"),
  negativeTtl: number(0, 0x7fffffff, "milliseconds"),
  maxNegatives: integer(0, Number.MAX_SAFE_INTEGER),
};

/**
 * Memory before a store that is far away: sessions that were put or found here are answered without asking it, and so
 * are keys that it did not have a moment ago.
 *
 * Whoever takes a session gets it from the far store, which alone can tell that nobody else has it: sessions of TLS 1.3
 * are as single-use as that store makes them. If it has no `take`, this has none. Memory speeds up what may be used many
 * times, the sessions of TLS 1.2.
 *
 * Closing the two stores is left to whoever made them.
 *
 * @example
 * ```ts
 * import { MemoryStore, SessionCache, SqliteStore, TieredStore } from "@openssl-sessions/openssl-sessions";
 *
 * using far = new SqliteStore(":memory:");
 * const store = new TieredStore({ near: new MemoryStore({ maxEntries: 1000 }), far });
 * const cache = new SessionCache({ store });
 * ```
 */
export class TieredStore implements SessionStore {
  /** The value under the key, deleted in the far store in the same step. There if the far store has it. */
  readonly take?: (key: string, lookup?: StoreLookup) => MaybePromise<Uint8Array | undefined>;
  /** All that the far store keeps, then what only the near one has. There if the far store can list it. */
  readonly entries?: NonNullable<SessionStore["entries"]>;
  /** Whether values leave this process's memory: whether they do from one of the two stores. */
  readonly isShared: boolean;
  readonly #near: NearStore;
  readonly #far: SessionStore;
  readonly #nearTtl: number;
  readonly #negativeTtl: number;
  readonly #maxNegatives: number;
  /** Keys that the far store did not have, and until when that is believed; the oldest first. */
  readonly #negatives = new Map<string, number>();
  /** The latest question for each key. Its answer is remembered, unless the key was changed meanwhile. */
  readonly #questions = new Map<string, object>();

  /**
   * A store over two others.
   *
   * @param options the two stores, and for how long the near one is believed
   * @throws {TypeError} for an option that is not known, or of another type, and if one of the stores is missing
   * @throws {RangeError} if a time is not from 0 to 2,147,483,647, or `maxNegatives` is not a whole number
   */
  constructor(options: TieredStoreOptions) {
    const read = readOptions("new TieredStore()", kinds, options);
    const { near, far, nearTtl = 60_000, negativeTtl = 1000, maxNegatives = 10_000 } = read;
    if (!near || !far) throw new TypeError("Cannot make a TieredStore of one store: give both near and far");
    this.#near = near;
    this.#far = far;
    this.#nearTtl = nearTtl;
    this.#negativeTtl = negativeTtl;
    this.#maxNegatives = maxNegatives;
    this.isShared = Boolean(near.isShared || far.isShared);
    if (far.entries) this.entries = () => this.#entries();
    if (far.take) this.take = (key, lookup) => this.#take(key, lookup);
  }

  /** The value under the key: the near store's, else the far one's, which the near one then has for a while. */
  get(key: string, lookup?: StoreLookup): MaybePromise<Uint8Array | undefined> {
    const value = this.#near.get(key);
    if (value || this.#isNegative(key)) return value;
    const question = {};
    this.#questions.set(key, question);
    return settled(() => this.#far.get(key, lookup), (value) => {
      if (!this.#isUnchanged(key, question)) return;
      this.#questions.delete(key);
      if (value) this.#near.put(key, value.slice(), this.#nearExpiry(Infinity));
      else this.#addNegative(key);
    }, () => this.#isUnchanged(key, question) && this.#questions.delete(key));
  }

  /** Keeps the value under the key in both stores. Fails if the far store does. */
  put(key: string, value: Uint8Array, expiresAt: Date): MaybePromise<void> {
    this.#forget(key);
    // Each store gets a value of its own.
    this.#near.put(key, value.slice(), this.#nearExpiry(expiresAt.getTime()));
    const forget = () => this.#forget(key);
    return settled(() => this.#far.put(key, value, expiresAt), forget, forget);
  }

  /** Deletes the value under the key in both stores. */
  delete(key: string): MaybePromise<void> {
    const forget = () => this.#forgetNear(key);
    forget();
    return settled(() => this.#far.delete(key), forget, forget);
  }

  /** What the far store has let go of, or did not take, is answered here all the same. */
  #entries(): ReturnType<NonNullable<SessionStore["entries"]>> {
    // Before the far store is asked, for what comes meanwhile is in both.
    const near = new Map(this.#near.entries?.());
    const far = this.#far.entries!();
    return near.size === 0 ? far : both(near, far);
  }

  #take(key: string, lookup?: StoreLookup): MaybePromise<Uint8Array | undefined> {
    if (this.#isNegative(key)) return undefined;
    this.#forgetNear(key);
    const question = {};
    this.#questions.set(key, question);
    return settled(() => this.#far.take!(key, lookup), () => {
      const isUnchanged = this.#isUnchanged(key, question);
      this.#forgetNear(key);
      // Found or not, it is not there now.
      if (isUnchanged) this.#addNegative(key);
    }, () => this.#forgetNear(key));
  }

  /** Whether nothing was done with the key since the question for it. */
  #isUnchanged(key: string, question: object): boolean {
    return this.#questions.get(key) === question;
  }

  /**
   * What was found out about the key is out of date, and so will be what is being found out. Done before and after each
   * change in the far store: nobody knows which of the two an answer in between is from.
   */
  #forget(key: string): void {
    this.#negatives.delete(key);
    this.#questions.delete(key);
  }

  #forgetNear(key: string): void {
    this.#forget(key);
    this.#near.delete(key);
  }

  #nearExpiry(expiresAt: number): Date {
    return new Date(Math.min(expiresAt, Date.now() + this.#nearTtl));
  }

  #isNegative(key: string): boolean {
    const until = this.#negatives.get(key);
    if (until === undefined) return false;
    if (until > performance.now()) return true;
    this.#negatives.delete(key);
    return false;
  }

  #addNegative(key: string): void {
    if (this.#negativeTtl === 0 || this.#maxNegatives === 0) return;
    this.#negatives.delete(key);
    if (this.#negatives.size >= this.#maxNegatives) this.#negatives.delete(this.#negatives.keys().next().value!);
    this.#negatives.set(key, performance.now() + this.#negativeTtl);
  }
}

async function* both(
  near: Map<string, Uint8Array>,
  far: ReturnType<NonNullable<SessionStore["entries"]>>,
): AsyncGenerator<[key: string, value: Uint8Array]> {
  for await (const entry of far) {
    near.delete(entry[0]);
    yield entry;
  }
  yield* near;
}

/** Asks for a value and looks at what comes of it, at once or when the Promise settles. Answers what was answered. */
function settled<T>(ask: () => MaybePromise<T>, done: (value: T) => void, failed: () => void): MaybePromise<T> {
  const fail = (error: unknown): never => {
    failed();
    throw error;
  };
  const succeed = (value: T): T => {
    done(value);
    return value;
  };
  let answer: MaybePromise<T>;
  try {
    answer = ask();
  } catch (error) {
    return fail(error);
  }
  return isPromise(answer) ? answer.then(succeed, fail) : succeed(answer);
}

function isPromise<T>(value: MaybePromise<T>): value is Promise<T> {
  return typeof (value as Promise<T> | undefined)?.then === "function";
}
