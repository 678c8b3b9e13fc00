import { isPromise } from "../cache/maybe_promise.ts";
import type { FetchHandler, ServeInfo } from "./fetch_handler.ts";
import type { HttpServerParts } from "./http_server.ts";
import type { TlsSocket } from "./tls_socket.ts";

/** Has a handler answer a request. Where it fails, the client gets a 500 and the operator the error. */
export function answerOf(
  { handler, counts, begun, onError }: HttpServerParts,
  request: Request,
  info: ServeInfo,
  socket: TlsSocket,
  done: () => void = () => {},
): ReturnType<FetchHandler> {
  begun.add(socket);
  counts.requests++;
  counts.activeRequests++;
  const finish = (answer: unknown): Response | undefined => {
    counts.activeRequests--;
    done();
    if (answer instanceof Response || (answer === undefined && info.server)) return answer;
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
