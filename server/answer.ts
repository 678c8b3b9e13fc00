import { isPromise } from "../cache/maybe_promise.ts";
import type { FetchHandler, ServeInfo } from "./fetch_handler.ts";
import type { HttpServerParts } from "./http_server.ts";
import type { TlsSocket } from "./tls_socket.ts";

/** Has a handler answer a request. Where it fails, the client gets a 500 and the operator the error. */
export function answerOf(
  { handler, counts, farewell, onError }: HttpServerParts,
  request: Request,
  info: ServeInfo,
  socket: TlsSocket,
  done: (isUpgraded: boolean) => void = () => {},
): ReturnType<FetchHandler> {
  const isHttp2 = info.tls.alpnProtocol === "h2";
  if (isHttp2) farewell.ready.add(socket);
  counts.requests++;
  counts.activeRequests++;
  const finish = (answer: unknown): Response | undefined => {
    counts.activeRequests--;
    const switchingProtocols = 101;
    const isResponse = answer instanceof Response;
    done(isResponse ? answer.status === switchingProtocols : answer === undefined);
    if (isResponse) {
      if (!farewell.isComing || isHttp2 || answer.status < 200) return answer;
      farewell.ready.add(socket);
      return asTheLast(answer);
    }
    if (answer === undefined && info.server) return undefined;
    return fail(new TypeError("Cannot answer the request: its handler did not return a Response"));
  };
  const fail = (error: unknown): Response => {
    counts.failedRequests++;
    onError(error as Error, socket);
    return new Response("Internal Server Error\n", { status: 500 });
  };
  const failed = (error: unknown) => {
    counts.activeRequests--;
    done(false);
    return fail(error);
  };
  let answer: ReturnType<FetchHandler>;
  try {
    answer = handler(request, info);
  } catch (error) {
    return failed(error);
  }
  return isPromise(answer) ? Promise.resolve(answer).then(finish, failed) : finish(answer);
}

/** Tells a client of HTTP/1.1 that its connection ends with this answer. */
function asTheLast(answer: Response): Response {
  try {
    // The headers of some cannot be changed.
    const last = new Response(answer.body, answer);
    last.headers.set("connection", "close");
    return last;
  } catch {
    // Its body was read already: that is for the HTTP server to find.
    return answer;
  }
}

/** The answer to HEAD: without a body, which nobody would take from its stream. */
export function headOf(answer: Response | undefined): Response | undefined {
  if (!(answer instanceof Response) || !answer.body) return answer;
  answer.body.cancel().catch(() => {});
  return new Response(null, answer);
}
