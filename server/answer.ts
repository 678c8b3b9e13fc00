import { isPromise } from "../cache/maybe_promise.ts";
import type { AnswerRoom } from "./answer_room.ts";
import type { FetchHandler, ServeInfo } from "./fetch_handler.ts";
import type { HttpServerParts } from "./http_server.ts";
import type { TlsSocket } from "./tls_socket.ts";

/** Has a handler answer a request. Where it fails, the client gets a 500 and the operator the error. */
export function answerOf(
  parts: HttpServerParts,
  request: Request,
  info: ServeInfo,
  socket: TlsSocket,
): ReturnType<FetchHandler> {
  const room = parts.rooms.get(socket);
  if (!room?.isFull) return answerNow(parts, request, info, socket, room);
  return room.wait().then(() => {
    if (room.isClosed) return new Response(null, { status: 503 });
    return answerOf(parts, request, info, socket);
  });
}

function answerNow(
  parts: HttpServerParts,
  request: Request,
  info: ServeInfo,
  socket: TlsSocket,
  room: AnswerRoom | undefined,
): ReturnType<FetchHandler> {
  const { handler, prepare, counts, farewell, websocket } = parts;
  const isHttp2 = info.tls.alpnProtocol === "h2";
  if (isHttp2) farewell.ready.add(socket);
  counts.requests++;
  counts.activeRequests++;
  room?.enter();
  const leave = () => {
    counts.activeRequests--;
    room?.leave();
  };
  const finish = (answer: unknown): Response | undefined => {
    leave();
    if (answer instanceof Response) {
      let prepared: Response;
      try {
        prepared = prepare ? prepare(answer, request, isHttp2, socket) : withoutHopHeaders(answer, isHttp2);
      } catch (error) {
        return failureOf(parts, error, socket);
      }
      if (!farewell.isComing || isHttp2 || prepared.status < 200) return prepared;
      farewell.ready.add(socket);
      return asTheLast(prepared);
    }
    if (answer === undefined && websocket !== undefined && info.server) return undefined;
    const error = new TypeError("Cannot answer the request: its handler did not return a Response");
    return failureOf(parts, error, socket);
  };
  const failed = (error: unknown) => {
    leave();
    return failureOf(parts, error, socket);
  };
  let answer: ReturnType<FetchHandler>;
  try {
    answer = handler(request, info);
    if (isPromise(answer)) return Promise.resolve(answer).then(finish, failed);
  } catch (error) {
    return failed(error);
  }
  return finish(answer);
}

/** What the client of a request that failed gets. The operator gets the error. */
export function failureOf({ counts, onError }: HttpServerParts, error: unknown, socket?: TlsSocket): Response {
  counts.failedRequests++;
  onError(error as Error, { kind: "request", socket });
  return new Response(failureText, { status: 500 });
}

/** All that clients are told of a failure. */
export const failureText = "Internal Server Error\n";

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

/** Of one connection and its framing alone (RFC 9110, section 7.6.1): the HTTP server's business. */
export const hopHeaders: readonly string[] = [
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
];

/** Those of an answer's headers that are not its own to set. It may say that it is an HTTP/1.1 connection's last one. */
export function strayHeaders({ status, headers }: Response, isHttp2: boolean): readonly string[] {
  const switchingProtocols = 101;
  if (status === switchingProtocols) return [];
  return hopHeaders.filter((name) =>
    headers.has(name) && !(name === "connection" && !isHttp2 && saysClose(headers.get(name)))
  );
}

/** Whether a Connection header says that the connection ends, and nothing else. */
export function saysClose(value: unknown): boolean {
  return typeof value === "string" && value.toLowerCase() === "close";
}

/** The answer without them. */
export function withoutHopHeaders(answer: Response, isHttp2: boolean): Response {
  const names = strayHeaders(answer, isHttp2);
  if (names.length === 0) return answer;
  // What fetch() answered may have been compressed when its length was said.
  return without(
    answer,
    answer.url !== "" && answer.body ? [...names, "content-length", ...headersOfDecoded(answer)] : names,
  );
}

/** What fetch() of Node and Bun leaves in its Response though it has decompressed the body. */
export function headersOfDecoded(answer: Response): readonly string[] {
  return answer.headers.has("content-encoding") && answer.url !== "" ? ["content-encoding", "content-length"] : [];
}

/** The same answer without some headers. */
export function without(answer: Response, names: readonly string[]): Response {
  if (names.length === 0) return answer;
  const headers = new Headers(answer.headers);
  for (const name of names) headers.delete(name);
  return new Response(answer.body, { status: answer.status, statusText: answer.statusText, headers });
}

/** The answer to HEAD: without a body, which nobody would take from its stream. */
export function headOf(answer: Response): Response {
  if (!answer.body) return answer;
  answer.body.cancel().catch(() => {});
  return new Response(null, answer);
}
