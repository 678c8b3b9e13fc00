import type { Random } from "./random.ts";

/** Changes bytes at random: bits, lengths, order, what is there once, twice or not at all. The input stays as it is. */
export function mutate(random: Random, bytes: Uint8Array, others: readonly Uint8Array[] = [bytes]): Uint8Array {
  let changed = bytes;
  for (let times = random.between(1, 4); times > 0; times--) changed = random.pick(mutations)(random, changed, others);
  return changed;
}

type Mutation = (random: Random, bytes: Uint8Array, others: readonly Uint8Array[]) => Uint8Array;

const mutations: readonly Mutation[] = [
  function flip(random, bytes) {
    const changed = bytes.slice();
    if (changed.length > 0) changed[random.below(changed.length)]! ^= 1 << random.below(8);
    return changed;
  },
  function overwrite(random, bytes) {
    const changed = bytes.slice();
    const value = random.pick([0, 1, 0x7f, 0x80, 0xff, random.below(256)]);
    if (changed.length > 0) changed[random.below(changed.length)] = value;
    return changed;
  },
  function overwriteTwo(random, bytes) {
    const changed = bytes.slice();
    if (changed.length < 2) return changed;
    const at = random.below(changed.length - 1);
    const value = random.pick([0, 1, 0x20, 0x4000, 0xffff, changed.length, changed.length - at - 2]);
    changed[at] = value >> 8;
    changed[at + 1] = value;
    return changed;
  },
  function cut(random, bytes) {
    return bytes.slice(0, random.below(bytes.length + 1));
  },
  function leaveOut(random, bytes) {
    const [start, end] = range(random, bytes);
    return concatenate([bytes.subarray(0, start), bytes.subarray(end)]);
  },
  function repeat(random, bytes) {
    const [start, end] = range(random, bytes);
    const part = bytes.subarray(start, Math.min(end, start + 2000));
    const times = random.between(2, 20);
    return concatenate([bytes.subarray(0, start), ...Array.from({ length: times }, () => part), bytes.subarray(end)]);
  },
  function splice(random, bytes, others) {
    const other = random.pick(others);
    const [start, end] = range(random, other);
    const at = random.below(bytes.length + 1);
    return concatenate([bytes.subarray(0, at), other.subarray(start, end), bytes.subarray(at)]);
  },
  function insert(random, bytes) {
    const at = random.below(bytes.length + 1);
    return concatenate([bytes.subarray(0, at), random.bytes(random.between(1, 64)), bytes.subarray(at)]);
  },
];

function range(random: Random, bytes: Uint8Array): [start: number, end: number] {
  const start = random.below(bytes.length + 1);
  return [start, start + random.below(bytes.length - start + 1)];
}

/** Cuts bytes into pieces at random. */
export function pieces(random: Random, bytes: Uint8Array): Uint8Array[] {
  if (random.oneIn(2) || bytes.length < 2) return [bytes];
  const most = random.pick([1, 5, 100, 5000]);
  const cut: Uint8Array[] = [];
  for (let at = 0; at < bytes.length && cut.length < 500;) {
    const end = cut.length === 499 ? bytes.length : at + random.between(1, most);
    cut.push(bytes.subarray(at, end));
    at = end;
  }
  return cut;
}

/** The parts in one. */
export function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
