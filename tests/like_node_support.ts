/** createServer() and node:tls's own, under one type, for tests that ask both the same. */

import { once } from "node:events";
import type { EventEmitter } from "node:events";
import { createServer } from "../mod.ts";
import { thisRuntime, within } from "./server_support.ts";

/** A stream of either, as far as the tests know it. */
export interface EitherSocket extends EventEmitter {
  // deno-lint-ignore no-explicit-any
  [member: string]: any;
}

/** A server of either. */
export interface EitherServer extends EventEmitter {
  listening: boolean;
  maxConnections?: number | undefined;
  address(): { address: string; family: string; port: number } | null;
  listen(...parameters: unknown[]): unknown;
  close(callback?: (error?: Error) => void): unknown;
  getConnections(callback: (error: Error | null, count: number) => void): unknown;
  // deno-lint-ignore no-explicit-any
  [member: string]: any;
}

/** One of the two. */
export interface LikeNode {
  readonly name: string;
  createServer(options?: unknown, listener?: (socket: EitherSocket) => void): EitherServer;
}

/** What is done with each. */
export type Scenario = (tls: LikeNode) => unknown;

const ours: LikeNode = { name: "createServer()", createServer: createServer as unknown as LikeNode["createServer"] };

/** Ours; and, on Node, that of node:tls as well. */
export const both: readonly LikeNode[] = thisRuntime === "node"
  ? [ours, {
    name: "node:tls",
    createServer: (await import("node:tls")).createServer as unknown as LikeNode["createServer"],
  }]
  : [ours];

/** A server that listens on 127.0.0.1, and closes with the scope. */
export async function listening(
  tls: LikeNode,
  options: object,
  listener: (socket: EitherSocket) => void = (socket) => void socket.on("error", () => {}).pipe(socket),
): Promise<{ server: EitherServer; port: number } & AsyncDisposable> {
  const server = tls.createServer(options, listener);
  server.listen(0, "127.0.0.1");
  await within(once(server, "listening"), "the server to listen");
  return {
    server,
    port: server.address()!.port,
    async [Symbol.asyncDispose]() {
      await within(new Promise<void>((resolve) => server.close(() => resolve())), "the server to close");
    },
  };
}

/** What a call throws, by its kind and its code; `ok` if it throws nothing. */
export function outcome(call: () => unknown): string {
  try {
    call();
    return "ok";
  } catch (error) {
    const kind = [TypeError, RangeError, Error].find((type) => error instanceof type)!;
    return `${kind.name} ${(error as { code?: string }).code}`;
  }
}
