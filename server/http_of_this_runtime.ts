import { makeBunHttp } from "./bun_http.ts";
import { makeDenoHttp } from "./deno_http.ts";
import type { MakeHttpServer } from "./http_server.ts";
import { makeNodeHttp } from "./node_http.ts";

/** The HTTP server of the runtime that this runs in. Throws where it is not the one whose WebSocket handlers are given. */
export function httpOfThisRuntime(websocket: unknown): MakeHttpServer {
  if ("Bun" in globalThis) return makeBunHttp;
  if (websocket !== undefined) {
    throw new TypeError("Cannot use `websocket`: it is Bun's. Deno has Deno.upgradeWebSocket, Node the package ws");
  }
  if ("Deno" in globalThis) return makeDenoHttp;
  return (parts) => makeNodeHttp(parts, true);
}
