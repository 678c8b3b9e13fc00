import type { TlsSocket } from "./tls_socket.ts";

/** As many answers may be at the point where their size is not known yet. */
const mostUnknown = 4;

/**
 * How much of the answers to one client may wait for it, over all streams of HTTP/2: requests beyond are not begun
 * before there is room. An answer that is too large by itself is sent as it is.
 */
export class AnswerRoom {
  readonly #most: number;
  #waiting = 0;
  #unknown = 0;
  #held: (() => void)[] = [];

  /** @param most in bytes */
  constructor(most: number) {
    this.#most = most;
  }

  /** Whether another request has to wait. */
  get isFull(): boolean {
    return this.#waiting > this.#most || this.#unknown >= mostUnknown;
  }

  /** Kept when there is room, and when the connection is closed. */
  wait(): Promise<void> {
    return new Promise((resolve) => this.#held.push(resolve));
  }

  /** So many bytes wait for the client. */
  add(length: number): void {
    this.#waiting += length;
  }

  /** They are gone. */
  remove(length: number): void {
    this.#waiting -= length;
    this.#letIn();
  }

  /** There is an answer of a size that will be known in a moment. Call what this answers then. */
  addUnknown(): () => void {
    this.#unknown++;
    let isKnown = false;
    return () => {
      if (isKnown) return;
      isKnown = true;
      this.#unknown--;
      this.#letIn();
    };
  }

  /** Nobody waits for answers any more. */
  close(): void {
    this.#waiting = 0;
    this.#unknown = 0;
    for (const letIn of this.#held.splice(0)) letIn();
  }

  #letIn(): void {
    // One at a time: what it answers may fill the room again.
    if (!this.isFull) this.#held.shift()?.();
  }
}

/** The room of each connection that has one. */
export type AnswerRooms = WeakMap<TlsSocket, AnswerRoom>;
