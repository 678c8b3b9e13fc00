import type { Server as NodeHttpServer } from "node:http";
import type { AnswerRooms } from "./answer_room.ts";
import type { ReportError } from "./error_report.ts";
import type { FetchHandler } from "./fetch_handler.ts";
import type { ConnectionHandler, TlsSocket } from "./tls_socket.ts";

/** The runtime's own HTTP server, inside the process. Each runtime's adapter makes one. */
export interface HttpServer {
  /** Takes TLS connections over. */
  readonly onConnection: ConnectionHandler;
  /** Takes no more requests, and ends each connection when those that are under way are answered. */
  finish(): void;
  /** Gives back what it holds. The connections are gone by then. */
  end(): Promise<void>;
  /** On Node, what takes upgrades to WebSockets. */
  readonly node?: NodeHttpServer;
}

/** What an {@linkcode HttpServer} is made with. */
export interface HttpServerParts {
  readonly handler: FetchHandler;
  /** What the runtime's server wants done to an answer before it gets it. Set by the adapter; what it throws is a 500. */
  readonly prepare?: (answer: Response, request: Request, isHttp2: boolean, socket: TlsSocket) => Response;
  /** For how long a client may take to send a request's head, in milliseconds; 0 for ever. */
  readonly headerTimeout: number;
  /** For how long it may take for the next part of a request's body, in milliseconds; 0 for ever. */
  readonly requestTimeout: number;
  /** How many requests may be open at once on a connection. */
  readonly maxConcurrentStreams: number;
  /** How many bytes may wait for one client. */
  readonly maxBufferedBytes: number;
  /** The room of each HTTP/2 connection. */
  readonly rooms: AnswerRooms;
  /** Bun's handlers of WebSockets. */
  readonly websocket: unknown;
  readonly counts: RequestCounts;
  /** How often the HTTP server could not accept a connection from here. */
  readonly innerAcceptFailures: { count: number };
  readonly farewell: Farewell;
  readonly onError: ReportError;
}

/** How a server comes to its end without leaving a client in the middle. */
export interface Farewell {
  /** Whether each HTTP/1.1 connection ends with its next answer. */
  isComing: boolean;
  /** The connections that were told, and those of HTTP/2 that have had a request: GOAWAY tells them. */
  readonly ready: WeakSet<TlsSocket>;
}

/** What serve() counts beside what every server does. */
export interface RequestCounts {
  /** Requests that came. */
  requests: number;
  /** Requests whose handler has not answered yet. */
  activeRequests: number;
  /** Requests whose handler failed: their clients got a 500. */
  failedRequests: number;
  /** Connections whose client took longer than `headerTimeout` for a request's head. */
  headerTimeouts: number;
  /** Connections whose client took longer than `requestTimeout` for the next part of a request's body. */
  requestTimeouts: number;
  /** Connections whose client spoke another protocol than was negotiated. */
  protocolMismatches: number;
  /** Connections whose client had more than `maxConcurrentStreams` requests open. */
  streamOverflows: number;
  /** HTTP/2 connections whose client sent one frame that asks for nothing after the other: resets, pings, settings. */
  http2Floods: number;
}

/** Makes the runtime's HTTP server. */
export type MakeHttpServer = (parts: HttpServerParts, offersHttp2: boolean) => Promise<HttpServer>;
