import type { TlsSocket } from "./tls_socket.ts";

/** As many answers may be at the point where their size is not known yet. */
const mostUnknown = 4;

/**
 * So many requests can wait, or so many times as many as may be open: more are of a client that resets those that wait.
 * One that has not heard of the limit yet may open as many.
 */
const leastCrowd = 200;
const patience = 4;

/** What one client may have of an HTTP/2 server. */
export interface AnswerBounds {
  /** How many bytes of answers may wait for it. */
  readonly bytes: number;
  /** How many of its requests may be with their handlers. */
  readonly requests: number;
  /** Called where so many more wait that the client cannot mean it. */
  readonly onCrowd: () => void;
}

/**
 * How much of the answers to one client may wait for it, over all streams of HTTP/2, and how many of its requests handlers
 * may be busy with, those among them that it has reset: requests beyond are not begun before there is room. An answer that
 * is too large by itself is sent as it is.
 */
export class AnswerRoom {
  readonly #bounds: AnswerBounds;
  #waiting = 0;
  #unknown = 0;
  #busy = 0;
  /** Requests that were let in and have not begun. */
  #coming = 0;
  readonly #held: (() => void)[] = [];
  /** Whether nobody is there any more to take an answer. */
  isClosed = false;

  constructor(bounds: AnswerBounds) {
    this.#bounds = bounds;
  }

  /** Whether another request has to wait. */
  get isFull(): boolean {
    return this.#waiting > this.#bounds.bytes || this.#unknown >= mostUnknown || this.#busy >= this.#bounds.requests;
  }

  /** How many bytes of answers wait. */
  get bytes(): number {
    return this.#waiting;
  }

  /** Kept when there is room, and when the connection is closed. */
  wait(): Promise<void> {
    const room = new Promise<void>((resolve) => this.#held.push(resolve)).then(() => void this.#coming--);
    if (this.#held.length > Math.max(leastCrowd, patience * this.#bounds.requests)) this.#bounds.onCrowd();
    return room;
  }

  /** A handler begins with a request. */
  enter(): void {
    this.#busy++;
  }

  /** It has answered. */
  leave(): void {
    this.#busy--;
    this.#letIn();
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
    this.isClosed = true;
    this.#coming += this.#held.length;
    for (const letIn of this.#held.splice(0)) letIn();
  }

  #letIn(): void {
    // A few at a time: what they answer may fill the room again.
    while (this.#held.length > 0 && !this.isFull && this.#coming < mostUnknown) {
      this.#coming++;
      this.#held.shift()!();
    }
  }
}

/** The room of each connection that has one. */
export type AnswerRooms = WeakMap<TlsSocket, AnswerRoom>;
