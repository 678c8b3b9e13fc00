import { failureOf, headersOfDecoded, strayHeaders, without } from "./answer.ts";
import { BunEntrances, type EntranceServer } from "./bun_entrances.ts";
import { LoopbackEntrance } from "./entrance.ts";
import { Hops } from "./hops.ts";
import type { BunUpgrader } from "./fetch_handler.ts";
import type { HttpServerParts, MakeHttpServer } from "./http_server.ts";
import { makeNodeHttp } from "./node_http.ts";
import type { TlsSocket } from "./tls_socket.ts";

// The part of Bun's namespace used here, declared so that this file type-checks in every runtime's tools.
interface BunServer extends BunUpgrader, EntranceServer {
  readonly port?: number;
  requestIP(request: Request): { address: string; port: number } | null;
}
interface BunNamespace {
  inspect(value: unknown): string;
  serve(options: {
    unix?: string;
    hostname?: string;
    port?: number;
    idleTimeout: number;
    maxRequestBodySize: number;
    websocket?: unknown;
    development: boolean;
    id: null;
    fetch(request: Request, server: BunServer): unknown;
    error(error: unknown): Response;
  }): BunServer;
}

/** Bun.serve for HTTP/1.1, and node:http2 for HTTP/2, which Bun.serve does not speak without TLS of its own. */
export const makeBunHttp: MakeHttpServer = async (parts, offersHttp2) => {
  const http2 = offersHttp2 ? await makeNodeHttp(parts, false) : undefined;
  const { hops, finish, end } = makeHttp1({
    ...parts,
    prepare: (answer, _request, _isHttp2, socket) => prepare(parts, answer, socket),
  });
  return {
    onConnection: (socket) => (socket.alpnProtocol === "h2" ? http2! : hops).onConnection(socket),
    finish() {
      http2?.finish();
      hops.finish();
      finish();
      // Bun takes those for busy.
      hops.endUnused();
    },
    async end() {
      hops.close();
      await http2?.end();
      await end();
    },
  };
};

/** Bun.serve, and the ways to it. */
function makeHttp1(parts: HttpServerParts): { hops: Hops; finish(): void; end(): Promise<void> } {
  const { serve } = (globalThis as unknown as { Bun: BunNamespace }).Bun;
  const options = {
    // The limits are those of the TLS connection.
    idleTimeout: 0,
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    // Otherwise Bun shows clients where the program is, and what it failed of.
    development: false,
    // Otherwise bun --hot takes two servers with port 0 for one and the same.
    id: null,
  };

  // WebSockets publish to those of the same server.
  if (parts.websocket === undefined) {
    try {
      const entrances: BunEntrances = new BunEntrances((unix, hop) =>
        serve({
          ...options,
          unix,
          fetch: (request, server) => hops.answer(request, hop(), server),
          error: (error) => failureOf(parts, error, hop()?.socket),
        })
      );
      const hops: Hops = new Hops(parts, () => entrances.take());
      return { hops, finish: () => entrances.finish(), end: () => entrances.end() };
    } catch {
      // A port of 127.0.0.1 does the same everywhere.
    }
  }
  const server = serve({
    ...options,
    hostname: "127.0.0.1",
    port: 0,
    ...(parts.websocket !== undefined && { websocket: parts.websocket }),
    fetch(request, server) {
      const peer = server.requestIP(request);
      return hops.answer(request, peer ? entrance.hopAt(peer.address, peer.port) : undefined, server);
    },
    error: (error) => failureOf(parts, error),
  });
  const entrance = new LoopbackEntrance(server.port!);
  const hops = new Hops(parts, () => entrance);
  return {
    hops,
    finish() {
      server.stop();
      server.closeIdleConnections();
    },
    end: () => server.stop(true),
  };
}

/** Bun.serve does not compress, nor change a header: what Bun's fetch() answered could not be read by the client. */
function prepare(parts: HttpServerParts, answer: Response, socket: TlsSocket): Response {
  const given = without(answer, [...headersOfDecoded(answer), ...strayHeaders(answer, false)]);
  return isStream(given) ? watched(given, (error) => void failureOf(parts, error, socket)) : given;
}

/** Whether a Response's body is a stream. Bun tells nobody, but it shows what it knows of a body's length. */
function isStream(answer: Response): boolean {
  return (globalThis as unknown as { Bun: BunNamespace }).Bun.inspect(answer).startsWith("Response (0 KB)") &&
    answer.body !== null;
}

/** Bun.serve breaks an answer off whose body fails, and tells nobody. */
function watched(answer: Response, failed: (error: unknown) => void): Response {
  if (answer.bodyUsed || answer.body!.locked) return answer;
  const reader = answer.body!.getReader();
  let isWanted = true;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      } catch (error) {
        // What a stream says of being cancelled is no failure.
        if (isWanted) failed(error);
        controller.error(error);
      }
    },
    cancel(reason) {
      isWanted = false;
      return reader.cancel(reason);
    },
  }, { highWaterMark: 0 });
  return new Response(body, answer);
}
