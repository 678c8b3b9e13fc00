import { concatenate, mutate } from "./mutate.ts";
import type { Random } from "./random.ts";

/**
 * Changes a ClientHello, in its record, so that the lengths around the change stay true: what gets past the first checks
 * of a parser. One that is not understood is changed blindly.
 */
export function mutateHello(random: Random, record: Uint8Array): Uint8Array {
  const hello = parse(record);
  if (!hello) return mutate(random, record);
  const { extensions } = hello;
  for (let times = random.between(1, 3); times > 0; times--) random.pick(changes)(random, hello);
  const list = concatenate(
    extensions.map(({ type, content }) => concatenate([two(type), two(content.length), content])),
  );
  const body = concatenate([
    hello.head,
    one(hello.sessionId.length),
    hello.sessionId,
    hello.rest,
    two(list.length),
    list,
  ]);
  const message = concatenate([one(1), one(body.length >> 16), two(body.length & 0xffff), body]);
  // A record holds 16 KiB.
  const parts: Uint8Array[] = [];
  for (let at = 0; at < message.length; at += 16_384) {
    const part = message.subarray(at, at + 16_384);
    parts.push(Uint8Array.of(22, 3, 1), two(part.length), part);
  }
  return concatenate(parts);
}

interface Extension {
  type: number;
  content: Uint8Array;
}

interface Hello {
  /** Version and random. */
  head: Uint8Array;
  sessionId: Uint8Array;
  /** Cipher suites and compression methods. */
  rest: Uint8Array;
  readonly extensions: Extension[];
}

const changes: readonly ((random: Random, hello: Hello) => void)[] = [
  (random, hello) => hello.sessionId = random.bytes(random.pick([0, 1, 16, 31, 32])),
  (random, { extensions }) => extensions.splice(random.below(extensions.length + 1), 1),
  (random, { extensions }) => {
    const extension = extensions[random.below(extensions.length + 1)];
    if (extension) extension.content = mutate(random, extension.content);
  },
  (random, { extensions }) => {
    const extension = extensions[random.below(extensions.length + 1)];
    if (extension) extensions.splice(random.below(extensions.length), 0, { ...extension });
  },
  (random, { extensions }) => {
    const at = random.below(extensions.length + 1);
    extensions.splice(at, 0, { type: random.below(66), content: random.bytes(random.pick([0, 1, 2, 40, 9000])) });
  },
  (random, { extensions }) => {
    const name = concatenate([random.bytes(random.between(0, 300))]);
    const names = concatenate([one(0), two(name.length), name]);
    put(extensions, 0, concatenate([two(names.length), names]));
  },
  // As many offers of sessions as there is room for, all alike or none. RFC 8446, section 4.2.11.
  (random, { extensions }) => {
    const same = random.bytes(32);
    const count = random.pick([1, 2, 5, 400]);
    const identities = concatenate(
      Array.from(
        { length: count },
        () => concatenate([two(32), random.oneIn(2) ? same : random.bytes(32), random.bytes(4)]),
      ),
    );
    const binders = concatenate(Array.from({ length: count }, () => concatenate([one(32), random.bytes(32)])));
    put(extensions, 45, Uint8Array.of(1, 1));
    put(extensions, 41, concatenate([two(identities.length), identities, two(binders.length), binders]));
  },
];

/** Puts an extension at the end, where the offers of sessions must be. */
function put(extensions: Extension[], type: number, content: Uint8Array): void {
  const at = extensions.findIndex((extension) => extension.type === type);
  if (at >= 0) extensions.splice(at, 1);
  extensions.push({ type, content });
}

/** RFC 8446, section 4.1.2. */
function parse(record: Uint8Array): Hello | undefined {
  if (record.length < 44 || record[0] !== 22 || record[5] !== 1) return undefined;
  const body = record.subarray(9);
  const head = body.subarray(0, 34);
  const idEnd = 35 + body[34]!;
  const suitesEnd = idEnd + 2 + (body[idEnd]! << 8 | body[idEnd + 1]!);
  const restEnd = suitesEnd + 1 + body[suitesEnd]!;
  const extensions: Extension[] = [];
  for (let at = restEnd + 2; at + 4 <= body.length;) {
    const length = body[at + 2]! << 8 | body[at + 3]!;
    extensions.push({ type: body[at]! << 8 | body[at + 1]!, content: body.slice(at + 4, at + 4 + length) });
    at += 4 + length;
  }
  if (restEnd + 2 > body.length) return undefined;
  return { head, sessionId: body.slice(35, idEnd), rest: body.subarray(idEnd, restEnd), extensions };
}

function one(value: number): Uint8Array {
  return Uint8Array.of(value);
}

function two(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value);
}
