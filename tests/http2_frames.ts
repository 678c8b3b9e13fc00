/** HTTP/2 by hand: frames as they go over the wire, and what a hostile client makes of them. */

import { type Client, Recording } from "./socket_support.ts";
import type { TlsSocket } from "../mod.ts";
import { joined, until } from "./server_support.ts";
import { bytes } from "./support.ts";

/** What a client of HTTP/2 begins with. */
export const preface: Uint8Array = bytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** A frame of HTTP/2. */
export function frame(type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array()): Uint8Array {
  const { length } = payload;
  const head = [length >> 16, length >> 8 & 255, length & 255, type, flags, stream >>> 24, stream >> 16 & 255];
  return joined([new Uint8Array([...head, stream >> 8 & 255, stream & 255]), payload]);
}

/** A SETTINGS frame. */
export function settings(values: Record<number, number> = {}): Uint8Array {
  const parts = Object.entries(values).flatMap(([id, value]) => [0, Number(id), ...u32(value)]);
  return frame(4, 0, 0, new Uint8Array(parts));
}

/** Says that the server's SETTINGS hold. */
export const settingsAck: Uint8Array = frame(4, 1, 0);

/** A PING. */
export const ping: Uint8Array = frame(6, 0, 0, new Uint8Array(8));

/** A RST_STREAM with CANCEL. */
export const reset = (stream: number): Uint8Array => frame(3, 0, stream, new Uint8Array(u32(8)));

/** A WINDOW_UPDATE. */
export const windowUpdate = (stream: number, by: number): Uint8Array => frame(8, 0, stream, new Uint8Array(u32(by)));

/** A request's head without Huffman codes and indexes of one's own: `:method`, `:scheme`, `:path` and `:authority`. */
export function request(stream: number, method: "GET" | "POST" = "GET", path = "/", flags = 5): Uint8Array {
  const text = (value: string) => [value.length, ...bytes(value)];
  const block = [method === "GET" ? 0x82 : 0x83, 0x87, 0x04, ...text(path), 0x01, ...text("localhost")];
  return frame(1, flags, stream, new Uint8Array(block));
}

function u32(value: number): number[] {
  return [value >>> 24, value >> 16 & 255, value >> 8 & 255, value & 255];
}

/** A client that speaks raw frames over TLS. */
export class FrameClient {
  readonly socket: TlsSocket;
  readonly recording: Recording;
  isClosed = false;
  /** Whether either side has ended. */
  isEnded = false;

  private constructor(socket: TlsSocket, recording: Recording) {
    this.socket = socket;
    this.recording = recording;
    recording.closed.then(() => this.isClosed = true);
    Promise.race([recording.ended, recording.closed]).then(() => this.isEnded = true);
  }

  static async connect(client: Client, port: number): Promise<FrameClient> {
    const recording = new Recording();
    return new FrameClient(await client.connect(port, recording.handlers), recording);
  }

  send(...frames: Uint8Array[]): void {
    // The server may have ended it.
    if (!this.isEnded) this.socket.write(joined(frames));
  }

  /** Begins, and waits for the server's SETTINGS; acknowledges them. */
  async start(values: Record<number, number> = {}): Promise<void> {
    this.send(preface, settings(values));
    await until(() => this.frames.some(({ type, flags }) => type === 4 && flags === 0), "the server's SETTINGS");
    this.send(settingsAck);
  }

  /** The frames that came. */
  get frames(): { type: number; flags: number; stream: number; payload: Uint8Array }[] {
    const all = joined(this.recording.parts);
    const frames = [];
    for (let at = 0; at + 9 <= all.length;) {
      const length = all[at]! << 16 | all[at + 1]! << 8 | all[at + 2]!;
      if (at + 9 + length > all.length) break;
      const stream = (all[at + 5]! << 24 | all[at + 6]! << 16 | all[at + 7]! << 8 | all[at + 8]!) & 0x7fffffff;
      frames.push({ type: all[at + 3]!, flags: all[at + 4]!, stream, payload: all.slice(at + 9, at + 9 + length) });
      at += 9 + length;
    }
    return frames;
  }
}
