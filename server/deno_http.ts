import { headOf } from "./answer.ts";
import { LoopbackEntrance } from "./entrance.ts";
import type { FetchHandler } from "./fetch_handler.ts";
import { Hops } from "./hops.ts";
import type { MakeHttpServer } from "./http_server.ts";

// The part of Deno's namespace used here, declared so that this file type-checks in every runtime's tools.
interface DenoNamespace {
  serve(
    options: { hostname: string; port: number; onListen: () => void },
    handler: (request: Request, info: { remoteAddr: { hostname: string; port: number } }) => unknown,
  ): { readonly addr: { port: number }; shutdown(): Promise<void> };
}

/** Deno.serve, which speaks HTTP/1.1 and HTTP/2. */
export const makeDenoHttp: MakeHttpServer = (parts) => {
  const { serve } = (globalThis as unknown as { Deno: DenoNamespace }).Deno;
  const server = serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request, { remoteAddr: { hostname, port } }) => hops.answer(request, entrance.hopAt(hostname, port)),
  );
  const entrance = new LoopbackEntrance(server.addr.port);
  const hops = new Hops({ ...parts, handler: withoutBodies(parts.handler) }, () => entrance);
  let ended: Promise<void> | undefined;
  // It answers what is under way, closes what is idle, and says GOAWAY.
  const finish = () => ended ??= server.shutdown();
  return Promise.resolve({
    onConnection: hops.onConnection,
    finish() {
      hops.finish();
      void finish();
    },
    async end() {
      hops.close();
      await finish();
    },
  });
};

/** Deno ends an HTTP/2 stream with an error where what answers HEAD has a body. */
function withoutBodies(handler: FetchHandler): FetchHandler {
  return (request, info) => {
    const answer = handler(request, info);
    if (request.method !== "HEAD" || info.tls.alpnProtocol !== "h2") return answer;
    return answer instanceof Promise ? answer.then(headOf) : headOf(answer);
  };
}
