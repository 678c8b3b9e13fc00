import { acceptPause } from "./accept_error.ts";
import { failureOf, headOf, withoutHopHeaders } from "./answer.ts";
import { isPromise } from "../cache/maybe_promise.ts";
import { bodyLength, isLocked } from "./deno_body.ts";
import { LoopbackEntrance } from "./entrance.ts";
import type { Hop } from "./hop.ts";
import { Hops } from "./hops.ts";
import type { HttpServerParts, MakeHttpServer } from "./http_server.ts";

// The part of Deno's namespace used here, declared so that this file type-checks in every runtime's tools.
interface DenoServer {
  readonly addr: { port: number };
  readonly finished: Promise<void>;
  shutdown(): Promise<void>;
  unref(): void;
}
interface DenoInfo {
  readonly remoteAddr: { readonly hostname: string; readonly port: number };
  readonly completed: Promise<void>;
}
interface DenoNamespace {
  serve(
    options: { hostname: string; port: number; onListen: () => void; onError: (error: unknown) => Response },
    handler: (request: Request, info: DenoInfo) => unknown,
  ): DenoServer;
  readonly permissions: { querySync(descriptor: { name: "net"; host: string }): { readonly state: string } };
}

/** Deno.serve, which speaks HTTP/1.1 and HTTP/2. */
export const makeDenoHttp: MakeHttpServer = (parts) => {
  const { serve, permissions } = (globalThis as unknown as { Deno: DenoNamespace }).Deno;
  if (permissions.querySync({ name: "net", host: "127.0.0.1" }).state !== "granted") {
    throw new Error(
      "Cannot serve without net access to 127.0.0.1, where Deno.serve is reached: run with --allow-net, or name it too: --allow-net=127.0.0.1,HOST",
    );
  }
  let isFinishing = false;
  let [server, entrance] = start();
  const hops = new Hops({ ...parts, prepare }, () => entrance);

  function start(): [DenoServer, LoopbackEntrance] {
    const made = serve(
      { hostname: "127.0.0.1", port: 0, onListen() {}, onError: (error) => failureOf(parts, error) },
      (request, info) => {
        const hop = way.hopAt(info.remoteAddr.hostname, info.remoteAddr.port);
        const answer = hops.answer(request, hop);
        if (!hop?.isHttp2) return answer;
        const measured = (given: Response | undefined) => measure(parts, given, info, hop);
        return isPromise(answer) ? answer.then(measured) : measured(answer as Response | undefined);
      },
    );
    const way = new LoopbackEntrance(made.addr.port);
    // It ends over an answer to HTTP/2 that it cannot send, and where there is no descriptor for a hop.
    made.finished.then(() => restart("over an answer that it could not send"), (cause) => {
      restart(`as it could not accept a connection: ${cause.message}`, cause);
    });
    return [made, way];
  }

  let pause: ReturnType<typeof setTimeout> | undefined;
  function restart(why: string, cause?: unknown, failures = 0): void {
    if (isFinishing) return;
    if (cause !== undefined) parts.innerAcceptFailures.count++;
    try {
      [server, entrance] = start();
      const error = new Error(`Deno.serve ended ${why}, and was started anew`, { cause });
      parts.onError(error, { kind: cause === undefined ? "request" : "accept", socket: undefined });
    } catch (error) {
      const message = `Deno.serve ended ${why}, and cannot be started anew now: ${(error as Error).message}`;
      parts.onError(new Error(message, { cause: error }), { kind: "accept", socket: undefined });
      // For want of descriptors as well. Until there are some, connections are closed.
      pause = setTimeout(() => restart(why, cause, failures + 1), acceptPause(failures));
    }
  }

  let ended: Promise<void> | undefined;
  // It answers what is under way, closes what is idle, and says GOAWAY.
  function finish(): Promise<void> {
    isFinishing = true;
    clearTimeout(pause);
    return ended ??= shutDown(server);
  }
  return Promise.resolve({
    onConnection: hops.onConnection,
    finish() {
      hops.finish();
      void finish();
    },
    async end() {
      hops.close();
      const finished = finish();
      // It waits for handlers that have not answered, which may be for ever, though their clients have gone.
      if (parts.counts.activeRequests === 0) await finished;
      else server.unref();
    },
  });
};

/** One that has ended by itself, and cannot be started anew, has nothing to wait for. */
async function shutDown(server: DenoServer): Promise<void> {
  try {
    await server.shutdown();
  } catch {
    // It was told already.
  }
}

/** Smaller answers are not counted. */
const large = 64 * 1024;

/** Notes what of an answer waits for its client. */
function measure(
  { rooms }: HttpServerParts,
  answer: Response | undefined,
  info: DenoInfo,
  { socket }: Hop,
): Response | undefined {
  const length = answer ? bodyLength(answer) : 0;
  const room = length >= large ? rooms.get(socket) : undefined;
  if (!room || !answer) return answer;
  if (!answer.headers.has("content-length")) answer.headers.set("content-length", String(length));
  // Deno says of a stream when it is gone, and has others gone at once. To look at a body makes a stream of it.
  if (!answer.body) return answer;
  room.add(length);
  const gone = () => room.remove(length);
  info.completed.then(gone, gone);
  return answer;
}

/**
 * Deno ends an HTTP/2 stream with an error where what answers HEAD has a body, and the whole server, with all its
 * connections, where a body is locked.
 */
function prepare(answer: Response, request: Request, isHttp2: boolean): Response {
  if (isHttp2 && isLocked(answer)) throw new TypeError("Cannot answer with a body whose stream is locked");
  const given = withoutHopHeaders(answer, isHttp2);
  return isHttp2 && request.method === "HEAD" ? headOf(given) : given;
}
