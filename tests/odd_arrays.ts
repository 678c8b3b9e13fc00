/** Arrays that are not what they say, or whose memory is not theirs alone. */

/** A class whose every method and property lies. */
class Liar extends Uint8Array<ArrayBuffer> {
  static get [Symbol.species](): Uint8ArrayConstructor {
    return class extends Uint8Array {
      constructor() {
        super(3);
      }
    } as unknown as Uint8ArrayConstructor;
  }
  override subarray(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(2);
  }
  override slice(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(4).fill(1);
  }
  override set(): void {}
  override get length(): number {
    return 100_000;
  }
  override get byteLength(): number {
    return 100_000;
  }
  override get byteOffset(): number {
    return 4096;
  }
  override get buffer(): ArrayBuffer {
    return new ArrayBuffer(100_000);
  }
  override get [Symbol.toStringTag](): "Uint8Array" {
    return "Int8Array" as "Uint8Array";
  }
  override *[Symbol.iterator](): ArrayIterator<number> {
    yield 0;
  }
}

/** The same bytes as some array's, in memory and in a shape that a careless reader would misread. */
export const odd: Record<string, (bytes: Uint8Array) => Uint8Array> = {
  "a plain one": (bytes) => bytes.slice(),
  "a part of more": (bytes) => {
    const memory = new Uint8Array(bytes.length + 20).fill(88);
    memory.set(bytes, 10);
    return memory.subarray(10, 10 + bytes.length);
  },
  "of a class that lies": (bytes) => {
    const liar = new Liar(new ArrayBuffer(bytes.length));
    Uint8Array.prototype.set.call(liar, bytes);
    return liar;
  },
  "with properties that lie": (bytes) => {
    const lies = { length: 1e6, byteLength: 1e6, byteOffset: 8, buffer: new ArrayBuffer(8), constructor: Object };
    return Object.defineProperties(
      bytes.slice(),
      Object.fromEntries(Object.entries(lies).map(([name, value]) => [name, { value }])),
    );
  },
  "without a prototype": (bytes) => Object.setPrototypeOf(bytes.slice(), null),
  "in shared memory": (bytes) => filled(new SharedArrayBuffer(bytes.length), bytes),
  "in shared memory that can grow": (bytes) => {
    return filled(new SharedArrayBuffer(bytes.length, { maxByteLength: bytes.length + 1000 }), bytes);
  },
  "in memory that can be resized": (bytes) => {
    return filled(new ArrayBuffer(bytes.length, { maxByteLength: bytes.length + 1000 }), bytes);
  },
};

function filled(memory: ArrayBufferLike, bytes: Uint8Array): Uint8Array {
  const array = new Uint8Array(memory) as Uint8Array<ArrayBuffer>;
  array.set(bytes);
  return array;
}

/** What is no array of bytes, or is one no longer. */
export const refused: Record<string, () => Uint8Array> = {
  "a Proxy": () => new Proxy(new Uint8Array(40), {}),
  "an object with the prototype": () => Object.create(Uint8Array.prototype),
  "an array of another kind": () => new Uint8ClampedArray(40) as unknown as Uint8Array,
  "a list of numbers": () => Array(40).fill(1) as unknown as Uint8Array,
  "one whose memory was transferred": () => {
    const array = new Uint8Array(40);
    structuredClone(array.buffer, { transfer: [array.buffer] });
    return array;
  },
  "one whose memory is smaller than where it begins": () => {
    const memory = new ArrayBuffer(40, { maxByteLength: 100 });
    const array = new Uint8Array(memory, 10, 30);
    memory.resize(20);
    return array;
  },
};

/** What an array holds, as the engine has it. */
export function content(array: Uint8Array): Uint8Array {
  const get = Uint8Array.prototype.at;
  return Uint8Array.from({ length: lengthOf.call(array) }, (_, index) => get.call(array, index)!);
}

const lengthOf = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), "length")!.get!;
