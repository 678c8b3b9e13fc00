/** Random numbers that a seed repeats: xoshiro128**, seeded by splitmix32. Not for secrets. */
export class Random {
  readonly #state: Uint32Array;

  constructor(seed: number) {
    let at = seed >>> 0;
    this.#state = Uint32Array.from({ length: 4 }, () => {
      at = (at + 0x9e3779b9) >>> 0;
      let mixed = at ^ at >>> 16;
      mixed = Math.imul(mixed, 0x21f0aaad);
      mixed ^= mixed >>> 15;
      mixed = Math.imul(mixed, 0x735a2d97);
      return mixed ^ mixed >>> 15;
    });
  }

  /** 32 random bits. */
  bits(): number {
    const state = this.#state;
    const rotate = (value: number, by: number) => (value << by | value >>> 32 - by) >>> 0;
    const result = Math.imul(rotate(Math.imul(state[1]!, 5), 7), 9) >>> 0;
    const shifted = state[1]! << 9;
    state[2]! ^= state[0]!;
    state[3]! ^= state[1]!;
    state[1]! ^= state[2]!;
    state[0]! ^= state[3]!;
    state[2]! ^= shifted;
    state[3] = rotate(state[3]!, 11);
    return result;
  }

  /** A whole number from 0 to below `end`. */
  below(end: number): number {
    return this.bits() % end;
  }

  /** A whole number from `least` to `most`. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  /** True once in so many times. */
  oneIn(times: number): boolean {
    return this.below(times) === 0;
  }

  /** One of these. */
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  /** So many bytes. */
  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.bits() & 255);
  }
}
