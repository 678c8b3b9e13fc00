import { Hops } from "./hops.ts";
import type { BunUpgrader } from "./fetch_handler.ts";
import type { MakeHttpServer } from "./http_server.ts";
import { makeNodeHttp } from "./node_http.ts";

// The part of Bun's namespace used here, declared so that this file type-checks in every runtime's tools.
interface BunServer extends BunUpgrader {
  readonly port: number;
  requestIP(request: Request): { address: string; port: number } | null;
  closeIdleConnections(): void;
  stop(closeActiveConnections?: boolean): Promise<void>;
}
interface BunNamespace {
  serve(options: {
    hostname: string;
    port: number;
    idleTimeout: number;
    maxRequestBodySize: number;
    websocket?: unknown;
    fetch(request: Request, server: BunServer): unknown;
  }): BunServer;
}

const nowhere = { hostname: "", port: 0 };

/** Bun.serve for HTTP/1.1, and node:http2 for HTTP/2, which Bun.serve does not speak without TLS of its own. */
export const makeBunHttp: MakeHttpServer = async (parts, offersHttp2) => {
  const { serve } = (globalThis as unknown as { Bun: BunNamespace }).Bun;
  const http2 = offersHttp2 ? await makeNodeHttp(parts, false) : undefined;
  const hops = new Hops(parts);
  const server = serve({
    hostname: "127.0.0.1",
    port: 0,
    // The limits are those of the TLS connection.
    idleTimeout: 0,
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    ...(parts.websocket !== undefined && { websocket: parts.websocket }),
    fetch(request, server) {
      const peer = server.requestIP(request);
      return hops.answer(request, peer ? { hostname: peer.address, port: peer.port } : nowhere, server);
    },
  });
  hops.port = server.port;
  return {
    onConnection: (socket) => (socket.alpnProtocol === "h2" ? http2! : hops).onConnection(socket),
    finish() {
      http2?.finish();
      server.stop();
      server.closeIdleConnections();
      // It takes those for busy.
      hops.endUnused();
    },
    async end() {
      hops.close();
      await http2?.end();
      await server.stop(true);
    },
  };
};
