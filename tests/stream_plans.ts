/** Random plans of what the two ends of a connection do, and what carries them out. For the tests of streams. */

import { createHash } from "node:crypto";
import type { Duplex } from "node:stream";
import type { TlsSocket, TlsSocketHandlers } from "../mod.ts";

/** Numbers that look random and are the same for the same seed (mulberry32). */
export function generator(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor(((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296 * below);
  };
}

/** What one end does. */
export interface Plan {
  /** How many bytes it sends. */
  readonly length: number;
  /** In pieces of this size. */
  readonly piece: number;
  /** When it begins: at once, at the other side's first bytes, or at its end. */
  readonly begins: "at once" | "when spoken to" | "at the other's end";
  /** Whether it waits for each write's callback, for `drain`, or for nothing. */
  readonly waits: "for callbacks" | "for drain" | "for nothing";
  /** Whether the last piece goes with `end`, or the end comes by itself. */
  readonly endsWithLast: boolean;
  /** After how many bytes it stops reading, each time; null for never. */
  readonly pauseEvery: number | null;
  /** For how many turns of the event loop. */
  readonly pauseTurns: number;
}

const sizes = [
  0,
  1,
  5,
  16_383,
  16_384,
  16_385,
  50_000,
  65_536,
  114_688,
  114_689,
  262_144,
  300_000,
  1_048_577,
  3_000_000,
];
const pieces = [977, 16_384, 16_385, 65_536, 114_689, 1_000_000, 20_000_000];

/** A plan for each end: of a client, and of a server. At least one of them begins by itself. */
export function planBoth(random: (below: number) => number): [Plan, Plan] {
  const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;
  const plan = (begins: Plan["begins"]): Plan => {
    const length = pick(sizes);
    return {
      length,
      piece: Math.max(pick(pieces), Math.ceil(length / 300)),
      begins,
      waits: pick(["for callbacks", "for drain", "for nothing"]),
      endsWithLast: random(2) === 0,
      pauseEvery: pick([null, 1, 20_000, 300_000]),
      pauseTurns: pick([1, 5, 40]),
    };
  };
  const first = plan("at once");
  const second = plan(pick(["at once", "when spoken to", "at the other's end"]));
  // Nobody is spoken to by an end without a byte.
  const heard = second.begins === "when spoken to" && first.length === 0
    ? { ...second, begins: "at once" as const }
    : second;
  return random(2) === 0 ? [first, heard] : [heard, first];
}

/** What an end has seen when its connection is closed. */
export interface Outcome {
  readonly length: number;
  readonly digest: string;
  readonly isEnded: boolean;
  readonly error?: string;
}

/** What both ends send: the same for the same length. */
export function content(length: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let index = 0; index < words.length; index++) words[index] = Math.imul(index ^ 0x9e3779b9, 2654435761) >>> 0;
  return new Uint8Array(words.buffer, 0, length);
}

/** What an end is to have seen when the other one's plan was carried out. */
export function wholeOutcome({ length }: Plan): Outcome {
  return { length, digest: createHash("sha256").update(content(length)).digest("hex"), isEnded: true };
}

/** Whether it goes on writing in later turns, when the other side's end may have come meanwhile. */
export function needsHalfOpen(plan: Plan): boolean {
  return plan.waits !== "for nothing";
}

function* piecesOf(plan: Plan): Generator<{ piece: Uint8Array; isLast: boolean }, undefined> {
  const all = content(plan.length);
  for (let at = 0; at < all.length; at += plan.piece) {
    yield { piece: all.subarray(at, at + plan.piece), isLast: at + plan.piece >= all.length };
  }
}

function turns(count: number, then: () => void): void {
  if (count === 0) then();
  else setImmediate(() => turns(count - 1, then));
}

/** Carries a plan out on a stream of node:stream: a TlsDuplex, or a TLSSocket of node:tls. */
export function carryOutOnStream(stream: Duplex, plan: Plan): Promise<Outcome> {
  const hash = createHash("sha256");
  let length = 0;
  let isEnded = false;
  let error: Error | undefined;
  let hasBegun = false;
  let untilPause = plan.pauseEvery ?? Infinity;
  const rest = piecesOf(plan);
  const send = (): void => {
    while (!stream.destroyed) {
      const { value } = rest.next();
      if (!value) return void stream.end();
      const { piece, isLast } = value;
      if (isLast && plan.endsWithLast) return void stream.end(piece);
      if (plan.waits === "for callbacks") return void stream.write(piece, (failure) => failure ? undefined : send());
      if (!stream.write(piece) && plan.waits === "for drain") return void stream.once("drain", send);
    }
  };
  const begin = (): void => {
    if (hasBegun) return;
    hasBegun = true;
    send();
  };
  stream.on("data", (bytes: Uint8Array) => {
    hash.update(bytes);
    length += bytes.length;
    if (plan.begins === "when spoken to") begin();
    untilPause -= bytes.length;
    if (untilPause > 0) return;
    untilPause = plan.pauseEvery!;
    stream.pause();
    turns(plan.pauseTurns, () => stream.resume());
  });
  stream.on("end", () => {
    isEnded = true;
    begin();
  });
  stream.on("error", (failure: Error) => error = failure);
  const closed = new Promise<Outcome>((resolve) => {
    stream.on("close", () => resolve({ length, digest: hash.digest("hex"), isEnded, ...errorOf(error) }));
  });
  if (plan.begins === "at once") begin();
  return closed;
}

/** The same on a socket that is driven by events. Answers what it is to call. */
export function carryOutOnSocket(
  plan: Plan,
): { handlers: TlsSocketHandlers; begin(socket: TlsSocket): void; outcome: Promise<Outcome> } {
  const hash = createHash("sha256");
  const closed = Promise.withResolvers<Outcome>();
  let length = 0;
  let isEnded = false;
  let hasBegun = false;
  let untilPause = plan.pauseEvery ?? Infinity;
  const rest = piecesOf(plan);
  const send = (socket: TlsSocket): void => {
    while (!socket.isClosed) {
      const { value } = rest.next();
      if (!value) return socket.end();
      if (value.isLast && plan.endsWithLast) return socket.end(value.piece);
      if (!socket.write(value.piece) && plan.waits !== "for nothing") return;
    }
  };
  const begin = (socket: TlsSocket): void => {
    if (hasBegun) return;
    hasBegun = true;
    send(socket);
  };
  return {
    handlers: {
      data(socket, bytes) {
        hash.update(bytes);
        length += bytes.length;
        if (plan.begins === "when spoken to") begin(socket);
        untilPause -= bytes.length;
        if (untilPause > 0) return;
        untilPause = plan.pauseEvery!;
        socket.pause();
        turns(plan.pauseTurns, () => socket.resume());
      },
      drain: send,
      end(socket) {
        isEnded = true;
        begin(socket);
      },
      close: (_socket, error) => closed.resolve({ length, digest: hash.digest("hex"), isEnded, ...errorOf(error) }),
    },
    begin: (socket) => plan.begins === "at once" && begin(socket),
    outcome: closed.promise,
  };
}

function errorOf(error: Error | undefined): { error?: string } {
  return error ? { error: String(error) } : {};
}
