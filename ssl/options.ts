import { alternativeTo } from "./option_names.ts";

/**
 * Looks at the value of an option: answers it, or what is used in its place, undefined for an option that is left out.
 * Throws a TypeError for what is of another type, and a RangeError for what is out of range; `refused` makes them.
 */
export type OptionKind<T> = (value: unknown, name: string, of: string) => T | undefined;

/**
 * The kind of each option that an interface has. An option that is in the interface and not in here does not pass the
 * type check, so what is documented is known, and what is known is documented.
 */
export type OptionKinds<Options> = {
  readonly [Name in keyof Options]-?: OptionKind<Exclude<Options[Name], undefined>>;
};

/**
 * Reads a user's options: each once, from the object's own enumerable properties. All that this library does with options
 * goes by what this answers, so that a getter cannot change its mind, and nothing that was put into Object.prototype
 * counts. An option that is undefined is left out. One that is not known is refused: whoever misspells an option that
 * makes a server safer must not get a server without it.
 *
 * @param of whose options they are, for errors: `listen()`
 * @param kinds what there is
 * @param options what the user gave; undefined for none
 * @param within what stands before an option's name in errors, where the object is itself in an option
 * @returns a frozen copy without a prototype, in which no option is undefined
 */
export function readOptions<Options extends object>(
  of: string,
  kinds: OptionKinds<Options>,
  options: unknown,
  within = "",
): Readonly<Options> {
  const read = Object.create(null);
  if (options === undefined) return Object.freeze(read);
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    const what = within ? `the option ${within.replace(/\.$/, "")}` : "these options";
    throw new TypeError(`Cannot use ${what} with ${of}: give an object, not ${described(options)}`);
  }
  refuseHidden(of, kinds, options, within);
  for (const name of Object.keys(options)) {
    const value: unknown = (options as Record<string, unknown>)[name];
    if (value === undefined) continue;
    if (!Object.hasOwn(kinds, name)) {
      throw new TypeError(
        `Cannot use the option ${within}${name} with ${of}: ${alternativeTo(name, namesIn(kinds))}`,
      );
    }
    const used = kinds[name as keyof Options](value, within + name, of);
    if (used !== undefined) read[name] = used;
  }
  return Object.freeze(read);
}

/**
 * Refuses options that would not be read: those of a prototype, such as the getters of a class, and those that are not
 * enumerable. What stands in Object.prototype was not meant for here.
 */
function refuseHidden(of: string, kinds: object, options: object, within: string): void {
  for (let holder: object | null = options; holder !== null; holder = Object.getPrototypeOf(holder)) {
    // That of another realm is another object.
    if (holder === Object.prototype || Object.hasOwn(holder, "isPrototypeOf")) return;
    for (const name of Object.getOwnPropertyNames(holder)) {
      if (holder === options && Object.prototype.propertyIsEnumerable.call(options, name)) continue;
      if (!Object.hasOwn(kinds, name) || Object.hasOwn(options, name) && holder !== options) continue;
      throw new TypeError(
        `Cannot use the option ${within}${name} with ${of}: it must be an enumerable property of the object itself`,
      );
    }
  }
}

const refusals = new WeakSet<OptionKind<never>>();

/** A kind that is known only to be refused with a reason: it is never proposed in the place of another. */
export function refusal(kind: OptionKind<never>): OptionKind<never> {
  refusals.add(kind);
  return kind;
}

/** The names that there are, but for those that are only refused. */
function namesIn(kinds: object): string[] {
  return Object.entries(kinds).flatMap(([name, kind]) => refusals.has(kind) ? [] : name);
}

/** Several objects that `readOptions` answered in one: of an option that is in two of them, the later one counts. */
export function mergeOptions<Options extends object>(...parts: readonly Partial<Options>[]): Readonly<Options> {
  return Object.freeze(Object.assign(Object.create(null), ...parts));
}

/** Those of the options that are of these kinds. */
export function pickOptions<Options extends object>(kinds: OptionKinds<Options>, options: object): Readonly<Options> {
  const picked = Object.entries(options).filter(([name]) => Object.hasOwn(kinds, name));
  return mergeOptions<Options>(Object.fromEntries(picked) as Options);
}

/** The rest of them. */
export function omitOptions<Options extends object, Omitted extends keyof Options>(
  kinds: { readonly [Name in Omitted]: unknown },
  options: Options,
): Readonly<Omit<Options, Omitted>> {
  const rest = Object.entries(options).filter(([name]) => !Object.hasOwn(kinds, name));
  return mergeOptions<Omit<Options, Omitted>>(Object.fromEntries(rest) as Omit<Options, Omitted>);
}

/** The error for an option whose value is of another type than it takes. */
export function refused(value: unknown, name: string, of: string, takes: string): TypeError {
  return new TypeError(`Cannot use the option ${name} with ${of}: it takes ${takes}, not ${described(value)}`);
}

/** The error for an option whose value is out of range. */
export function outOfRange(value: unknown, name: string, of: string, takes: string): RangeError {
  return new RangeError(`Cannot use the option ${name} with ${of}: it takes ${takes}, not ${String(value)}`);
}

/** What a value is, without telling what is in it: it may be a key. */
function described(value: unknown): string {
  if (value === null || value === undefined || typeof value === "boolean") return String(value);
  if (typeof value === "string") return value === "" ? "an empty text" : "text";
  if (Array.isArray(value)) return "an array";
  if (value instanceof Promise) return "a Promise: await it first";
  return /^[aeiou]/.test(typeof value) ? `an ${typeof value}` : `a ${typeof value}`;
}
