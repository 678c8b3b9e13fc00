/** Programs of others that some tests need: found, or left out with a word about it, except where all must be there. */

import { accessSync, constants, existsSync, readdirSync } from "node:fs";
import { connect, createServer } from "node:net";
import { delimiter, join } from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { describe, it } from "@std/testing/bdd";
import type { Program } from "./server_support.ts";

/** `describe` and `it` for suites that need the programs: if one is missing, each is declared as one skipped test. */
export function needing(names: readonly string[], debianPackage: string): { describe: typeof describe; it: typeof it } {
  const missing = names.filter((name) => !pathOf(name));
  if (missing.length === 0) return { describe, it };
  const message = `the tests that need ${missing.join(" and ")} (to get it: apt-get install ${debianPackage})`;
  if (process.env.CI) throw new Error(`Cannot leave out ${message}: CI is set`);
  console.log(`left out: ${message}`);
  const leaveOut = (name: string) => it.skip(name, () => {});
  const skipped = Object.assign(leaveOut, { skip: leaveOut, ignore: leaveOut });
  return { describe: skipped, it: skipped };
}

/** Names under which else a program may be there. */
const otherNames: Record<string, string> = { "redis-server": "valkey-server" };

/**
 * Where a program is. An environment variable can name another file, or none to leave its tests out:
 * OPENSSL_SESSIONS_REDIS_SERVER=/usr/bin/valkey-server.
 */
export function pathOf(name: string): string | undefined {
  const given = process.env[`OPENSSL_SESSIONS_${name.toUpperCase().replaceAll("-", "_")}`];
  if (given !== undefined) return isExecutable(given) ? given : undefined;
  // Debian keeps PostgreSQL's own programs here, by version.
  const postgres = "/usr/lib/postgresql";
  const versions = existsSync(postgres) ? readdirSync(postgres).map((version) => join(postgres, version, "bin")) : [];
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin", ...versions];
  const names = [name, otherNames[name]].filter((name) => name !== undefined);
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** A port of the loopback address that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** Starts a server on a free port; on another if somebody else was faster. */
export async function onFreePort<T>(start: (port: number) => Promise<T>, highestPort = 65_535): Promise<T> {
  for (let attempt = 1;; attempt++) {
    try {
      let port = await freePort();
      while (port > highestPort) port = await freePort();
      return await start(port);
    } catch (error) {
      if (attempt === 5) throw error;
    }
  }
}

/** Waits until a program accepts connections. */
export async function accepting(program: Program, port: number): Promise<void> {
  let end: string | undefined;
  program.ended.then(() => end = `It ended:\n${program.stdout}${program.stderr}`, (error) => end = error.message);
  // No event tells of it.
  while (!await isAccepting(port)) {
    if (end !== undefined) throw new Error(end);
    await setTimeout(10);
  }
}

function isAccepting(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    let connected = false;
    socket.once("connect", () => {
      connected = true;
      socket.destroy();
    });
    socket.once("error", () => {});
    socket.once("close", () => resolve(connected));
  });
}
