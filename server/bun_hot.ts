import process from "node:process";
import { mergeOptions } from "../ssl/options.ts";
import { printRequestErrors, type ReportError } from "./error_report.ts";
import type { FetchHandler } from "./fetch_handler.ts";
import type { HttpsServer, ServeOptions } from "./serve.ts";

/** What a new version of the program changes of a server that goes on. */
interface Changeable {
  handler: FetchHandler;
  onError: ReportError;
  websocket: WebSocketHandlers | undefined;
}
type WebSocketHandlers = Record<string, ((...parameters: unknown[]) => unknown) | undefined>;

/** A server, for the runs of the program to come. */
interface HotServer {
  readonly current: Changeable;
  readonly server: Promise<HttpsServer>;
  /** The last one that has asked for it. */
  run: symbol;
}

type StartServer = (options: Readonly<ServeOptions>, handler: FetchHandler) => Promise<HttpsServer>;

/** `bun --hot` runs the program anew in the same process when a file has changed, with all modules but none of globalThis. */
const isHot = "Bun" in globalThis && process.execArgv.includes("--hot");
const place = Symbol.for("openssl-sessions.hot");

/** This run of the program: with each one this module is a new one. */
const thisRun = Symbol();

/**
 * Starts a server; under `bun --hot` gives one that listens on this address already the new handlers instead, as
 * Bun.serve does. Its certificates, sessions and limits stay as they are, and so do its connections.
 */
export async function startOrReload(
  options: Readonly<ServeOptions>,
  handler: FetchHandler,
  start: StartServer,
): Promise<HttpsServer> {
  if (!isHot) return await start(options, handler);
  const { onError = printRequestErrors, websocket } = options;
  const wanted: Changeable = { handler, onError, websocket: websocket as WebSocketHandlers | undefined };
  const servers = ((globalThis as Record<symbol, unknown>)[place] ??= new Map()) as Map<string, HotServer>;
  const key = nameOf(options, servers);
  const before = servers.get(key);
  if (before) before.run = thisRun;
  const running = await before?.server.catch(() => undefined);
  if (before && running) {
    if ((before.current.websocket === undefined) === (websocket === undefined)) {
      Object.assign(before.current, wanted);
      return running;
    }
    // The runtime's server inside is of another kind.
    await running.close({ grace: 0 });
  }
  const server = start(through(wanted, options), (request, info) => wanted.handler(request, info));
  const entry = { current: wanted, server, run: thisRun };
  servers.set(key, entry);
  const forget = () => {
    if (servers.get(key) === entry) servers.delete(key);
  };
  try {
    const started = await server;
    const { close } = started;
    options.signal?.addEventListener("abort", forget, { once: true });
    const closeAndForget = (parameters?: { grace?: number }) => {
      forget();
      return close(parameters);
    };
    return Object.assign(started, { close: closeAndForget, [Symbol.asyncDispose]: () => closeAndForget() });
  } catch (error) {
    forget();
    throw error;
  }
}

/** Where a server is to listen, and which one of this run's it is there: there may be several with port 0. */
function nameOf({ hostname = "0.0.0.0", port = 0 }: Readonly<ServeOptions>, servers: Map<string, HotServer>): string {
  for (let number = 0;; number++) {
    const name = `${hostname} ${port} ${number}`;
    if (servers.get(name)?.run !== thisRun) return name;
  }
}

/** The options with what changes reached by way of `current`. */
function through(current: Changeable, options: Readonly<ServeOptions>): Readonly<ServeOptions> {
  const onError: ReportError = (error, report) => current.onError(error, report);
  if (!current.websocket) return mergeOptions<ServeOptions>(options, { onError });
  const websocket: WebSocketHandlers = { ...current.websocket };
  for (const name of ["open", "message", "drain", "close", "ping", "pong"]) {
    websocket[name] = (...parameters) => current.websocket?.[name]?.(...parameters);
  }
  return mergeOptions<ServeOptions>(options, { onError, websocket });
}
