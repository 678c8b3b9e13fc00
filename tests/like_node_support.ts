/** createServer() and node:tls's own, under one type, for tests that ask both the same. */

import { once } from "node:events";
import type { EventEmitter } from "node:events";
import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import {
  connect,
  createSecureContext,
  createServer,
  SslContext,
  type SslContextOptions,
  type TlsDuplex,
} from "../mod.ts";
import { thisRuntime, within } from "./server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { credentials } from "./support.ts";

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
  createSecureContext(options?: object): unknown;
}

/** What is done with each. */
export type Scenario = (tls: LikeNode) => unknown;

const ours: LikeNode = {
  ...{ createServer, createSecureContext } as unknown as LikeNode,
  name: "createServer()",
};

async function nodes(): Promise<LikeNode> {
  const { createServer, createSecureContext } = await import("node:tls");
  return { ...{ createServer, createSecureContext } as unknown as LikeNode, name: "node:tls" };
}

/** Ours; and, on Node, that of node:tls as well. */
export const both: readonly LikeNode[] = thisRuntime === "node" ? [ours, await nodes()] : [ours];

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

const pem = { key: credentials.privateKey, cert: credentials.certificate };

/** A server with these options, and what comes of one client: what both ends say, or the client's or server's error. */
export async function visit(
  tls: LikeNode,
  options: object,
  clients: SslContextOptions & { serverName?: string } = {},
  look: (socket: EitherSocket, client: TlsDuplex) => unknown = () => "in",
  prepare: (server: EitherServer) => void = () => {},
): Promise<unknown> {
  const opened: EitherSocket[] = [];
  let tell: (what: EitherSocket | Error) => void = () => {};
  const told = new Promise<EitherSocket | Error>((resolve) => tell = resolve);
  await using own = await listening(tls, { ...pem, ...options }, (socket) => {
    opened.push(socket.on("error", () => {}));
    tell(socket);
  });
  own.server.on("tlsClientError", (error: Error) => tell(error));
  prepare(own.server);
  const { serverName = "localhost", ...rest } = clients;
  using context = SslContext.client({ certificateAuthorities: pem.cert, ...rest });
  const client = await within(
    connect({ hostname: "127.0.0.1", serverName, port: own.port, context }).catch((error: Error) => error),
    "a connection or an error",
  );
  const socket = await within(told, "secureConnection or tlsClientError");
  let seen: unknown = `out: ${(socket as { code?: string }).code}`;
  if (!(client instanceof Error) && !(socket instanceof Error)) seen = await look(socket, client);
  const gone = [client, ...opened].filter((end): end is EitherSocket & TlsDuplex => !(end instanceof Error))
    .map((end) => {
      // Not once(), which an error would end.
      const closed = end.destroyed ? undefined : new Promise((resolve) => end.once("close", resolve));
      end.resume();
      end.end();
      return closed;
    });
  await within(Promise.all(gone), "the connection to close");
  return seen;
}

/** Asks both the same. */
export function same(name: string, expected: unknown, ask: (tls: LikeNode) => unknown): void {
  it(
    name,
    leavingNothingLater(async () => {
      for (const tls of both) assertEquals([tls.name, await ask(tls)], [tls.name, expected]);
    }),
  );
}
