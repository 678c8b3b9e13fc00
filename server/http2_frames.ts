/** The types of HTTP/2 frames (RFC 9113, section 6). */
export const frameType = {
  data: 0,
  headers: 1,
  resetStream: 3,
  settings: 4,
  ping: 6,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** The flags of frames: END_STREAM is ACK on SETTINGS and PING. */
export const frameFlag = { endStream: 1, ack: 1, endHeaders: 4, padded: 8 } as const;

/** What stands at the head of a frame. */
export interface Frame {
  readonly length: number;
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
}

/** What a {@linkcode FrameReader} tells. */
export interface FrameEvents {
  /** A frame begins. */
  begin(frame: Frame): void;
  /** So many bytes of a DATA frame came. */
  data(frame: Frame, length: number): void;
  /** It ends. The payload is there for short SETTINGS and WINDOW_UPDATE frames; where it came in one piece it is the original. */
  end(frame: Frame, payload: Uint8Array | undefined): void;
}

const headLength = 9;

/** A longer payload is let go, in bytes. */
export const mostPayload = 1024;

/** Tells the frames of one direction of an HTTP/2 connection, and looks at nothing but their heads. */
export class FrameReader {
  readonly #events: FrameEvents;
  readonly #head = new Uint8Array(headLength);
  #headFilled = 0;
  #frame: Frame | undefined;
  #left = 0;
  #payload: Uint8Array | undefined;

  constructor(events: FrameEvents) {
    this.#events = events;
  }

  /** Whether nothing of a frame is missing. */
  get isBetweenFrames(): boolean {
    return !this.#frame && this.#headFilled === 0;
  }

  push(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      if (!this.#frame) {
        if (this.#headFilled === 0 && bytes.length - at >= headLength) {
          this.#begin(bytes, at);
          at += headLength;
        } else {
          this.#head[this.#headFilled++] = bytes[at++]!;
          if (this.#headFilled < headLength) continue;
          this.#headFilled = 0;
          this.#begin(this.#head, 0);
        }
      }
      const frame = this.#frame!;
      const length = Math.min(this.#left, bytes.length - at);
      if (length > 0) {
        if (frame.type === frameType.data) this.#events.data(frame, length);
        else if (isTold(frame)) this.#keep(frame, bytes.subarray(at, at + length));
        at += length;
        this.#left -= length;
      }
      if (this.#left > 0) return;
      const payload = this.#payload;
      this.#frame = undefined;
      this.#payload = undefined;
      this.#events.end(frame, payload);
    }
  }

  #begin(bytes: Uint8Array, at: number): void {
    const length = bytes[at]! << 16 | bytes[at + 1]! << 8 | bytes[at + 2]!;
    this.#left = length;
    this.#frame = { length, type: bytes[at + 3]!, flags: bytes[at + 4]!, stream: u32(bytes, at + 5) & 0x7fffffff };
    this.#events.begin(this.#frame);
  }

  #keep({ length }: Frame, part: Uint8Array): void {
    if (part.length === length) {
      this.#payload = part;
      return;
    }
    this.#payload ??= new Uint8Array(length);
    this.#payload.set(part, length - this.#left);
  }
}

function isTold({ type, length }: Frame): boolean {
  return (type === frameType.settings || type === frameType.windowUpdate) && length <= mostPayload;
}

/** The unsigned number in four bytes. */
export function u32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!) >>> 0;
}
