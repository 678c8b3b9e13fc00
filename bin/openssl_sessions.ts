#!/usr/bin/env node
/** The program openssl-sessions of the npm package: tells which libssl the library finds. */
import { readFileSync } from "node:fs";
import process from "node:process";
import { openLibrary } from "../mod.ts";

const usage = `usage: openssl-sessions [--help | --version]

Tells which libssl the library openssl-sessions finds on this machine, and whether it can use it. The environment variable
OPENSSL_SESSIONS_LIBSSL names another.`;

const parameters = process.argv.slice(2);
const [parameter] = parameters;
const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
if (parameter === "--help") console.log(usage);
else if (parameter === "--version") console.log(version);
else if (parameter !== undefined) {
  console.error(`There is no ${parameter} (see --help)`);
  process.exitCode = 2;
} else {
  try {
    const libssl = openLibrary();
    console.log(`openssl-sessions ${version}, on ${libssl.runtime}`);
    console.log(`${libssl.version}, ${libssl.path}`);
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 1;
  }
}
