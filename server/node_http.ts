import { createServer as createHttp1, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttp2, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import { isPromise } from "../cache/maybe_promise.ts";
import { importPackage } from "../ffi/import_package.ts";
import type { AnswerRoom } from "./answer_room.ts";
import { answerOf, failureOf, failureText, headersOfDecoded, headOf, strayHeaders, without } from "./answer.ts";
import { ServeInfo } from "./fetch_handler.ts";
import { handOver } from "./http_connections.ts";
import type { HttpServer, HttpServerParts } from "./http_server.ts";
import { framed } from "./node_framing.ts";
import { settleTarget } from "./node_requests.ts";
import { nodeServerPackage } from "./node_server_package.ts";
import { factsOf } from "./node_tls_socket.ts";
import { authorityOf } from "./request_url.ts";
import { streamConnections, type TlsDuplex } from "./tls_duplex.ts";
import type { TlsSocket } from "./tls_socket.ts";

/** The part of @hono/node-server used here. */
interface NodeServerPackage {
  getRequestListener(
    fetch: (request: Request, env: { incoming: IncomingMessage | Http2ServerRequest; outgoing: object }) => unknown,
    options: { overrideGlobalObjects: boolean },
  ): (
    request: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse,
  ) => Promise<unknown>;
}

/**
 * node:http and node:http2, each over the stream of a TLS connection.
 *
 * @param overrideGlobalObjects whether the package may put its own Request and Response in the place of the runtime's:
 *   Node's own Response is a stream even where it holds a string, which more than halves the speed
 */
export const makeNodeHttp = async (
  parts: HttpServerParts,
  overrideGlobalObjects: boolean,
): Promise<HttpServer> => {
  const { getRequestListener } = await importPackage(nodeServerPackage) as NodeServerPackage;
  const infos = new WeakMap<TlsSocket, ServeInfo>();
  const withPrepare = { ...parts, prepare };
  const listener = getRequestListener((request, { incoming, outgoing }) => {
    const { tls } = incoming.socket as unknown as TlsDuplex;
    const answer = answerOf(withPrepare, request, infos.get(tls)!, tls);
    const onAnswer = answered.get(outgoing);
    if (!onAnswer) return answer;
    if (isPromise(answer)) Promise.resolve(answer).then(onAnswer, () => {});
    else onAnswer();
    return answer;
  }, { overrideGlobalObjects });

  const failed = (error: unknown) => void failureOf(parts, error);
  function answer(
    request: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse,
  ): void {
    // Those that came in one piece with one too many.
    if (request.socket.destroyed) return;
    const { tls } = request.socket as unknown as TlsDuplex;
    if (!settleTarget(request, () => authorityOf(tls, infos.get(tls)!.tls.serverName))) {
      (response as ServerResponse).writeHead(400, { "content-length": 0 }).end();
      return;
    }
    const room = parts.rooms.get(tls);
    const answering = room
      ? measured(response as Http2ServerResponse, room)
      : framed(response as ServerResponse, request.method);
    listener(request, guarded(answering, failed)).catch((error) => {
      failed(error);
      if (response.headersSent) response.destroy();
      else endWithFailure(response);
    });
  }
  function overflow(stream: TlsDuplex): void {
    parts.counts.streamOverflows++;
    const error = new Error(`The client has more than ${parts.maxConcurrentStreams} requests of HTTP/1.1 open`);
    parts.onError(error, { kind: "connection", socket: stream.tls });
    stream.destroy(error);
  }
  const http1 = createHttp1(
    // The limits are those of the TLS connection.
    { headersTimeout: 0, requestTimeout: 0, keepAliveTimeout: 0 },
    answer,
  );
  const http2 = createHttp2({
    settings: { maxConcurrentStreams: parts.maxConcurrentStreams },
    // Rooms bound what waits. By itself Node refuses requests beyond 10 MB of it, instead of having them wait.
    maxSessionMemory: 0xffffffff,
  }, answer);
  const sessions = new Set<{ close(): void }>();
  http2.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    // What goes wrong on a connection is told by the connection.
    session.on("error", () => {});
  });
  const pipeline = { most: parts.maxConcurrentStreams, overflow };
  const [connections1, connections2] = [handOver(http1, pipeline), handOver(http2)];
  const onConnection = streamConnections((stream) => {
    infos.set(stream.tls, new ServeInfo(stream.tls, factsOf(stream)));
    (stream.alpnProtocol === "h2" ? connections2 : connections1).take(stream);
  }, true);
  return {
    onConnection,
    node: http1,
    finish() {
      // GOAWAY.
      for (const session of sessions) session.close();
      connections1.finish();
      http1.close();
    },
    end: () => Promise.resolve(),
  };
};

/** What is called when a handler has answered, and what it answered has not been written yet. */
const answered = new WeakMap<object, () => void>();

/** Notes what of an answer waits for its client. */
function measured(response: Http2ServerResponse, room: AnswerRoom): Http2ServerResponse {
  const { write, end } = response;
  let waiting = 0;
  let known = () => {};
  let isClosed = false;
  answered.set(response, () => {
    if (!isClosed) known = room.addUnknown();
  });
  const gone = (length: number) => {
    waiting -= length;
    room.remove(length);
  };
  const note = (chunk: unknown): number => {
    const length = typeof chunk === "string" || chunk instanceof Uint8Array ? chunk.length : 0;
    waiting += length;
    room.add(length);
    known();
    return length;
  };
  response.write = (chunk: string | Uint8Array, ...rest: unknown[]): boolean => {
    const length = note(chunk);
    return Reflect.apply(write, response, [
      chunk,
      ...(rest.length > 0 ? rest : [() => gone(Math.min(length, waiting))]),
    ]);
  };
  response.end = (...parameters: unknown[]): Http2ServerResponse => {
    const before = waiting;
    Reflect.apply(end, response, parameters);
    // Where it did not call write().
    if (waiting === before && !response.stream?.destroyed) note(parameters[0]);
    known();
    return response;
  };
  response.once("close", () => {
    isClosed = true;
    known();
    gone(waiting);
  });
  return response;
}

/** The part of a response of node:http and node:http2 used here. */
interface NodeResponse {
  readonly statusCode: number;
  end(...parameters: unknown[]): this;
  destroy(error?: Error): this;
}

/**
 * The package tells clients what an answer failed of, as the end of a body that looks complete, and the operator nothing:
 * it ends a response with the error's text, and then destroys it. Here the operator is told, and the client sees an
 * answer that breaks off, or a 500.
 */
function guarded<T extends NodeResponse>(response: T, failed: (error: unknown) => void): T {
  const { end, destroy } = response;
  let isHeld = false;
  response.end = (...parameters) => {
    const [text] = parameters;
    if (typeof text !== "string" || !text.startsWith("Error: ")) return end.apply(response, parameters);
    isHeld = true;
    queueMicrotask(() => {
      if (isHeld) end.apply(response, parameters);
      isHeld = false;
    });
    return response;
  };
  response.destroy = (error) => {
    if (!isHeld) {
      // Which Node has found, and nobody else is told of.
      if ((error as { code?: string } | undefined)?.code === "ERR_HTTP_CONTENT_LENGTH_MISMATCH") failed(error);
      return destroy.call(response, error);
    }
    isHeld = false;
    failed(error);
    return response.statusCode === 500 ? end.call(response, failureText) : destroy.call(response, error);
  };
  return response;
}

function endWithFailure(response: ServerResponse | Http2ServerResponse): void {
  const headers = { "content-type": "text/plain", "content-length": failureText.length };
  // Two classes without a common one: neither's overloads fit the other's.
  (response as ServerResponse).writeHead(500, headers).end(failureText);
}

/** Finds what cannot be sent while the handler can be blamed for it: what the package throws would end the program. */
function prepare(given: Response, request: Request, isHttp2: boolean): Response {
  // The package would read all of a body, however long, for an answer that has none.
  const answer = request.method === "HEAD" ? headOf(given) : given;
  // The package's own: to look at its headers would cost it their speed, and what is wrong with them shows later.
  if (!isHttp2 && Object.getPrototypeOf(given) === Response.prototype) return answer;
  const { status } = answer;
  if (!(status >= 200 && status <= 599)) {
    throw new RangeError(`Cannot answer with the status ${status}: there are 200 to 599`);
  }
  return without(answer, [...headersOfDecoded(given), ...strayHeaders(answer, isHttp2)]);
}
