import { isBytes } from "./bytes.ts";
import { type OptionKind, type OptionKinds, outOfRange, readOptions, refused } from "./options.ts";

/** Text that is not empty. */
export const text: OptionKind<string> = (value, name, of) => {
  if (typeof value !== "string" || value === "") throw refused(value, name, of, "text");
  return value;
};

/** Text that may be empty. */
export const anyText: OptionKind<string> = (value, name, of) => {
  if (typeof value !== "string") throw refused(value, name, of, "text");
  return value;
};

/** The path of a file, or its URL. */
export const file: OptionKind<string | URL> = (value, name, of) => {
  if (value instanceof URL) return new URL(value);
  if (typeof value !== "string" || value === "") throw refused(value, name, of, "the path of a file, or its URL");
  return value;
};

/** True or false, and nothing that only counts as one of them. */
export const flag: OptionKind<boolean> = (value, name, of) => {
  if (typeof value === "boolean") return value;
  const isWritten = value === "true" || value === "false";
  throw refused(value, name, of, `true or false${isWritten ? ` (write ${name}: ${value})` : ""}`);
};

/** A number, both bounds included. */
export function number(least: number, most: number, unit = "numbers"): OptionKind<number> {
  return (value, name, of) => {
    requireNumber(value, name, of, `${unit} ${range(least, most)}`);
    if (!(value >= least && value <= most)) throw outOfRange(value, name, of, `${unit} ${range(least, most)}`);
    return value;
  };
}

/** A whole number, both bounds included. */
export function integer(least: number, most: number, unit = "whole numbers"): OptionKind<number> {
  return (value, name, of) => {
    requireNumber(value, name, of, `${unit} ${range(least, most)}`);
    if (!Number.isSafeInteger(value) || value < least || value > most) {
      throw outOfRange(value, name, of, `${unit} ${range(least, most)}`);
    }
    return value;
  };
}

/** A number above 0. */
export const positive: OptionKind<number> = above0(Infinity, "numbers above 0");

const longestTimer = 0x7fffffff;

/** A time that a timer can wait. */
export const milliseconds: OptionKind<number> = above0(longestTimer, `milliseconds above 0, up to ${longestTimer}`);

/** The same, or 0 for no limit. */
export const millisecondsOrNever: OptionKind<number> = either(
  (value) => value === 0,
  () => 0,
  above0(longestTimer, `milliseconds up to ${longestTimer}, or 0 for no limit`),
);

/** A port that can be listened on; 0 for a free one. */
export const port: OptionKind<number> = integer(0, 65_535);

/** One of some words. */
export function oneOf<Word extends string>(...words: readonly Word[]): OptionKind<Word> {
  const list = words.map((word) => JSON.stringify(word)).join(", ");
  return (value, name, of) => {
    if (words.includes(value as Word)) return value as Word;
    if (typeof value !== "string") throw refused(value, name, of, `one of ${list}`);
    throw outOfRange(JSON.stringify(value), name, of, `one of ${list}`);
  };
}

/** An array, of which each element is of a kind. */
export function list<T>(kind: OptionKind<T>): OptionKind<readonly T[]> {
  return (value, name, of) => {
    if (!Array.isArray(value)) throw refused(value, name, of, "an array");
    return Object.freeze(Array.from(value, (element, index) => kind(element, `${name}[${index}]`, of) as T));
  };
}

/** An object with options of its own, closed as well. */
export function object<Options extends object>(kinds: OptionKinds<Options>): OptionKind<Readonly<Options>> {
  return (value, name, of) => {
    if (value === undefined) throw refused(value, name, of, "an object");
    return readOptions(of, kinds, value, `${name}.`);
  };
}

/** Bytes. They are not copied here. */
export const bytes: OptionKind<Uint8Array> = (value, name, of) => {
  if (!isBytes(value)) throw refused(value, name, of, "a Uint8Array");
  return value as Uint8Array;
};

/** A function. */
export function callback<F>(): OptionKind<F> {
  return (value, name, of) => {
    if (typeof value !== "function") throw refused(value, name, of, "a function");
    return value as F;
  };
}

/** An object of a class. */
export function instance<T>(type: { readonly prototype: T }, takes: string): OptionKind<T> {
  return (value, name, of) => {
    if (!(value instanceof (type as unknown as { new (): T }))) throw refused(value, name, of, takes);
    return value;
  };
}

/** An object with these methods, whatever its class. */
export function withMethods<T>(takes: string, ...methods: readonly string[]): OptionKind<T> {
  return (value, name, of) => {
    const has = (method: string) => typeof (value as Record<string, unknown>)[method] === "function";
    if (typeof value !== "object" || value === null || !methods.every(has)) throw refused(value, name, of, takes);
    return value as T;
  };
}

/** An AbortSignal, also one of another realm. */
export const abortSignal: OptionKind<AbortSignal> = (value, name, of) => {
  const { aborted, addEventListener } = (value ?? {}) as Partial<AbortSignal>;
  if (typeof aborted !== "boolean" || typeof addEventListener !== "function") {
    throw refused(value, name, of, "an AbortSignal");
  }
  return value as AbortSignal;
};

/** The one kind for values that `is` tells, and the other for the rest, whose error is the one that is thrown. */
export function either<A, B>(
  is: (value: unknown) => boolean,
  one: OptionKind<A>,
  other: OptionKind<B>,
): OptionKind<A | B> {
  return (value, name, of) => (is(value) ? one : other)(value, name, of);
}

function above0(most: number, takes: string): OptionKind<number> {
  return (value, name, of) => {
    requireNumber(value, name, of, takes);
    if (!(value > 0 && value <= most)) throw outOfRange(value, name, of, takes);
    return value;
  };
}

function requireNumber(value: unknown, name: string, of: string, takes: string): asserts value is number {
  if (typeof value === "number") return;
  // What comes from the environment is text.
  const isDigits = typeof value === "string" && /^\s*-?\d+(\.\d+)?\s*$/.test(value);
  throw refused(value, name, of, `${takes}${isDigits ? ` (write ${name}: ${value.trim()}, or Number() of it)` : ""}`);
}

function range(least: number, most: number): string {
  if (most === Infinity || most === Number.MAX_SAFE_INTEGER) return `from ${least} on`;
  return `from ${least} to ${most}`;
}
