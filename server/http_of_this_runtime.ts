import { makeBunHttp } from "./bun_http.ts";
import { makeDenoHttp } from "./deno_http.ts";
import type { MakeHttpServer } from "./http_server.ts";
import { makeNodeHttp } from "./node_http.ts";

/** The HTTP server of the runtime that this runs in. */
export function httpOfThisRuntime(): MakeHttpServer {
  if ("Deno" in globalThis) return makeDenoHttp;
  if ("Bun" in globalThis) return makeBunHttp;
  return makeNodeHttp;
}
