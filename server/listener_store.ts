import { Buffer } from "node:buffer";
import type { EventEmitter } from "node:events";
import { whenUnwound } from "../ssl/calls.ts";
import { Deadlines } from "../cache/deadlines.ts";
import { MemoryStore } from "../cache/memory_store.ts";
import type { MaybePromise, SessionStore } from "../cache/session_store.ts";
import { callListeners } from "./call_listeners.ts";

/** A session that listeners of `newSession` were given. */
interface Writing {
  readonly expire: () => void;
  readonly giveUp: () => void;
}

const tooLate = "A listener of newSession did not call its callback in time";

/**
 * The listeners of an emitter's `newSession` and `resumeSession` as a store. What nobody would give back is kept in
 * memory, and taken from there. Listeners are asked for what they have kept, as these events know no taking.
 */
export class ListenerStore implements SessionStore {
  readonly isShared = true;
  readonly #emitter: EventEmitter;
  readonly #memory = new MemoryStore();
  readonly #deadlines: Deadlines<Writing>;
  readonly #writings = new Set<Writing>();

  /** `timeout`: for how long listeners of `newSession` are waited for, in milliseconds. */
  constructor(emitter: EventEmitter, timeout: number) {
    this.#emitter = emitter;
    this.#deadlines = new Deadlines(timeout, (writing) => writing.expire());
  }

  get(key: string): MaybePromise<Uint8Array | undefined> {
    if (this.#emitter.listenerCount("resumeSession") === 0) return this.#memory.get(key);
    return new Promise((resolve, reject) => {
      const answer = (error: unknown, data?: Uint8Array | null) => {
        if (error) reject(error);
        else resolve(data ?? undefined);
      };
      this.#call("resumeSession", [Buffer.from(key, "hex"), answer], reject);
    });
  }

  take(key: string): MaybePromise<Uint8Array | undefined> {
    return this.#emitter.listenerCount("resumeSession") === 0 ? this.#memory.take(key) : this.get(key);
  }

  put(key: string, value: Uint8Array, expiresAt: Date): MaybePromise<void> {
    if (this.#emitter.listenerCount("resumeSession") === 0) this.#memory.put(key, value, expiresAt);
    if (this.#emitter.listenerCount("newSession") === 0) return;
    return new Promise((resolve, reject) => {
      const writing: Writing = { expire: () => done(() => reject(new Error(tooLate))), giveUp: () => done(resolve) };
      const done = (settle: () => void) => {
        this.#writings.delete(writing);
        this.#deadlines.delete(writing);
        this.#deadlines.rest();
        settle();
      };
      this.#writings.add(writing);
      this.#deadlines.add(writing);
      const data = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      const fail = (error: unknown) => done(() => reject(error));
      this.#call("newSession", [Buffer.from(key, "hex"), data, () => done(resolve)], fail);
    });
  }

  delete(key: string): void {
    this.#memory.delete(key);
  }

  /** Waits no longer for listeners of `newSession`. */
  close(): void {
    for (const writing of this.#writings) writing.giveUp();
  }

  /** Calls them when no call into libssl is under way: they may do what they like. */
  #call(event: string, parameters: unknown[], fail: (error: unknown) => void): void {
    whenUnwound(() => callListeners(this.#emitter, event, parameters, fail));
  }
}
