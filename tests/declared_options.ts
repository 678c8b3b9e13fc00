/** What the interfaces of options declare, read from their source: the tests hold it against what the functions do. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./server_support.ts";

/** The kinds of values that a test gives. */
export type ValueKind = "null" | "boolean" | "number" | "string" | "function" | "array" | "object";

/** Types with names of their own that are no classes and no interfaces. */
const named: Readonly<Record<string, ValueKind>> = {
  ProtocolVersion: "string",
  VerifyMode: "string",
  Pem: "string",
  CertificateFor: "function",
  ReportError: "function",
};

/** The options that an interface declares by itself, and what kinds of values each of them takes. */
export function declaredOptions(file: string, name: string): Map<string, Set<ValueKind>> {
  const source = readFileSync(join(root, file), "utf8");
  const body = new RegExp(`export interface ${name}\\b[^{]*\\{\\n(.*?)\\n\\}`, "s").exec(source)?.[1];
  if (body === undefined) throw new Error(`There is no interface ${name} in ${file}`);
  const options = new Map<string, Set<ValueKind>>();
  // Two spaces before it: not a member of a member, nor a word of its documentation.
  for (const [, option, type] of body.matchAll(/^ {2}(?:readonly )?(\w+)\??: (.*?);$/gms)) {
    options.set(option!, kindsIn(type!));
  }
  if (options.size === 0) throw new Error(`The interface ${name} in ${file} declares nothing`);
  return options;
}

function kindsIn(type: string): Set<ValueKind> {
  // What is in parentheses and braces says nothing of the value itself.
  let bare = type.replace(/\{[^{}]*\}/g, "Braces");
  while (/\([^()]*\)|<[^<>]*>/.test(bare)) bare = bare.replace(/\([^()]*\)|<[^<>]*>/g, "Group");
  if (/=>/.test(bare)) return new Set(["function"]);
  return new Set(bare.split("|").map((part) => kindOf(part.trim())));
}

function kindOf(type: string): ValueKind {
  if (type.endsWith("[]")) return "array";
  if (type === "string" || type.startsWith('"')) return "string";
  if (type === "number") return "number";
  if (type === "boolean" || type === "true" || type === "false") return "boolean";
  if (type === "null") return "null";
  return type.endsWith("Callback") ? "function" : named[type] ?? "object";
}
