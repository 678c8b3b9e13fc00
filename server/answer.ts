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
  done: () => void = () => {},
): ReturnType<FetchHandler> {
  const isHttp2 = info.tls.alpnProtocol === "h2";
  if (isHttp2) farewell.ready.add(socket);
  counts.requests++;
  counts.activeRequests++;
  const finish = (answer: unknown): Response | undefined => {
    counts.activeRequests--;
    done();
    if (answer instanceof Response) {
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
    done();
    return fail(error);
  };
  try {
    const answer = handler(request, info);
    return isPromise(answer) ? Promise.resolve(answer).then(finish, failed) : finish(answer);
  } catch (error) {
    return failed(error);
  }
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
