import type { Server as NodeHttpServer } from "node:http";
import { integer, list, millisecondsOrNever, oneOf } from "../ssl/option_kinds.ts";
import { mergeOptions, omitOptions, type OptionKinds, readOptions, refused } from "../ssl/options.ts";
import { startOrReload } from "./bun_hot.ts";
import { heedless, printRequestErrors } from "./error_report.ts";
import type { AnswerRooms } from "./answer_room.ts";
import type { FetchHandler } from "./fetch_handler.ts";
import { httpOfThisRuntime } from "./http_of_this_runtime.ts";
import type { Farewell, HttpServerParts, RequestCounts } from "./http_server.ts";
import { HttpWatch } from "./http_watch.ts";
import { limitsOf } from "./limits.ts";
import { type Server, startServer } from "./server.ts";
import type { ServerStats } from "./server_stats.ts";
import { serverKinds, type TlsServerOptions } from "./tls_server_options.ts";

/** The options of {@linkcode serve}. */
export interface ServeOptions extends TlsServerOptions {
  /**
   * For how long a client may take to send the head of a request, in milliseconds; by default 60,000. 0 for ever. An
   * HTTP/2 connection is held to it for its first request.
   */
  headerTimeout?: number;
  /**
   * For how long a client may take for a request's body, in milliseconds; by default 300,000. 0 for ever. 16 KiB of it
   * give as much time again: a large upload may take as long as it gets on. The time stands still while the handler does
   * not read what has come.
   */
  requestTimeout?: number;
  /**
   * How many requests a client may have open at once on a connection, over HTTP/1.1 one behind the other; by default 100.
   * Deno has at most 200. A connection with more is closed. Over HTTP/2, requests that the client has reset count as long
   * as their handlers have not answered: those beyond wait.
   */
  maxConcurrentStreams?: number;
  /** Bun's handlers of WebSockets, as Bun.serve has them. On Bun only. */
  websocket?: unknown;
}

type HttpOptions = Pick<ServeOptions, "headerTimeout" | "requestTimeout" | "maxConcurrentStreams" | "websocket">;
const httpKinds: OptionKinds<HttpOptions> = {
  headerTimeout: millisecondsOrNever,
  requestTimeout: millisecondsOrNever,
  maxConcurrentStreams: integer(1, 0xffffffff),
  websocket: (value, name, of) => {
    if (typeof value !== "object" || value === null) throw refused(value, name, of, "an object of Bun's handlers");
    return value;
  },
};
const kinds: OptionKinds<ServeOptions> = {
  ...serverKinds,
  ...httpKinds,
  alpnProtocols: list(oneOf("h2", "http/1.1")),
};

/** What a server of {@linkcode serve} has counted. */
export type ServeStats = ServerStats & RequestCounts;

/** A server of {@linkcode serve}. */
export interface HttpsServer extends Server {
  /** What it has counted. */
  stats(): ServeStats;
  /** On Node, the server of node:http, for WebSocket libraries: `new WebSocketServer({ server: server.node })`. */
  readonly node: NodeHttpServer | undefined;
}

/**
 * Serves HTTP/1.1 and HTTP/2 over TLS whose sessions clients resume. HTTP is the runtime's own server, reached inside
 * the process: Deno.serve, Bun.serve (HTTP/2 by node:http2), and on Node node:http and node:http2. On Node, and on Bun
 * for HTTP/2, the npm packages @hono/node-server and hono make requests and responses of them; on Bun,
 * `alpnProtocols: ["http/1.1"]` does without. On Node, @hono/node-server puts lighter classes of its own in the place of
 * the global Request and Response, as it does in its own server: what was made by Node's is still good.
 *
 * WebSockets are made as on each runtime: by Deno.upgradeWebSocket; by `info.server.upgrade` with the handlers in
 * `websocket` on Bun; and on Node by the package ws, with `server.node`.
 *
 * Under `bun --hot` a call for an address that a server of serve() listens on already gives that server the new handler,
 * `onError` and `websocket`, as Bun.serve does, and answers it. All else stays: certificates, sessions, limits,
 * connections.
 *
 * @param options certificates, where to listen, where sessions are kept, limits
 * @param handler answers each request
 * @returns the server, once it listens. `close()` waits 10 seconds for requests that are under way, if it is not told
 *   otherwise
 * @throws {Error} if it cannot listen: the port is in use, or the address is not this machine's
 * @throws {OpenSslError} if OpenSSL refuses a certificate or another option; the message says which
 * @throws {TypeError} for an option that is not known, or of another type; and {RangeError} for one out of range
 *
 * @example
 * ```ts
 * import { selfSigned, serve } from "@openssl-sessions/openssl-sessions";
 *
 * await using server = await serve({ ...selfSigned(), hostname: "127.0.0.1" }, (request, { tls }) => {
 *   return new Response(`${request.method} ${request.url}, ${tls.isResumed ? "resumed" : "a full handshake"}\n`);
 * });
 * console.log(`https://localhost:${server.port}`);
 * ```
 */
export async function serve(options: ServeOptions, handler: FetchHandler): Promise<HttpsServer> {
  const read = readOptions("serve()", kinds, options);
  if (typeof handler !== "function") {
    throw new TypeError("Cannot serve without a handler: give a function of a Request");
  }
  return await startOrReload(read, handler, start);
}

/** Starts a server by options that were read. */
async function start(read: Readonly<ServeOptions>, handler: FetchHandler): Promise<HttpsServer> {
  const { headerTimeout = 60_000, requestTimeout = 300_000, maxConcurrentStreams = 100 } = read;
  const { websocket, alpnProtocols = ["h2", "http/1.1"] } = read;
  const counts = emptyCounts();
  const farewell: Farewell = { isComing: false, ready: new WeakSet() };
  const onError = heedless(read.onError ?? printRequestErrors);
  const offersHttp2 = alpnProtocols.includes("h2");
  const limits = {
    headerTimeout,
    requestTimeout,
    maxConcurrentStreams,
    maxBufferedBytes: limitsOf(read).maxBufferedBytes,
  };
  const innerAcceptFailures = { count: 0 };
  const rooms: AnswerRooms = new WeakMap();
  const shared = { rooms, counts, innerAcceptFailures, farewell, onError };
  const parts: HttpServerParts = { handler, ...limits, websocket, ...shared };
  const http = await httpOfThisRuntime(websocket)(parts, offersHttp2);
  const watch = new HttpWatch(parts);
  const end = async () => {
    watch.close();
    await http.end();
  };
  let server: Server;
  try {
    const tls = omitOptions(httpKinds, read);
    server = await startServer(read.context ? tls : mergeOptions<TlsServerOptions>(tls, { alpnProtocols }), {
      onConnection: watch.over(http.onConnection),
      grace: 10_000,
      leave: () => void (farewell.isComing = true),
      isReady: (socket) => farewell.ready.has(socket),
      finish: http.finish,
      end,
    });
  } catch (error) {
    await end();
    throw error;
  }
  return Object.assign(server, { node: http.node, stats: withRequests(server.stats, counts, innerAcceptFailures) });
}

function emptyCounts(): RequestCounts {
  return {
    requests: 0,
    activeRequests: 0,
    failedRequests: 0,
    headerTimeouts: 0,
    requestTimeouts: 0,
    protocolMismatches: 0,
    streamOverflows: 0,
    http2Floods: 0,
  };
}

function withRequests(
  stats: () => ServerStats,
  counts: RequestCounts,
  inner: { readonly count: number },
): () => ServeStats {
  return () => {
    const own = stats();
    return { ...own, ...counts, acceptFailures: own.acceptFailures + inner.count };
  };
}
