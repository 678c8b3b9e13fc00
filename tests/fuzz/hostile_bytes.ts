import { runInNewContext } from "node:vm";
import type { Random } from "./random.ts";

/** What a caller may pass for bytes: arrays that lie, change, or are none. */
export function hostileBytes(random: Random): Uint8Array {
  return random.pick(kinds)(random.below(40_000), random) as Uint8Array;
}

const kinds: ((length: number, random: Random) => unknown)[] = [
  (length) => Object.defineProperties(new Uint8Array(length), { length: { value: 1e6 }, byteLength: { value: 1e6 } }),
  (length) => new Proxy(new Uint8Array(length), {}),
  (length) => {
    const bytes = new Uint8Array(length);
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
    return bytes;
  },
  (length, random) => {
    const buffer = new ArrayBuffer(length, { maxByteLength: length });
    const bytes = new Uint8Array(buffer, random.oneIn(2) ? 0 : Math.floor(length / 2));
    buffer.resize(random.below(length + 1));
    return bytes;
  },
  (length) => new Uint8Array(new SharedArrayBuffer(length)),
  (length) => new Uint16Array(length),
  (length) => new DataView(new ArrayBuffer(length)),
  (length) => Object.create(Uint8Array.prototype, { length: { value: length } }),
  (length) => new Liar(length),
  (length) => runInNewContext("new Uint8Array(length)", { length }),
  () => undefined,
  () => "text",
  () => [1, 2, 3],
];

/** Answers with less than it was asked for, wherever a class can. */
class Liar extends Uint8Array {
  static get [Symbol.species](): Uint8ArrayConstructor {
    return Array as unknown as Uint8ArrayConstructor;
  }
  override subarray(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(1);
  }
  override slice(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(1);
  }
  override get length(): number {
    return 7;
  }
  override get byteOffset(): number {
    return -1;
  }
  override get buffer(): ArrayBuffer {
    throw new Error("Cannot be had");
  }
}
