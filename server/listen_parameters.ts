import { coded, codedError } from "./coded_error.ts";

/** Where a {@linkcode NodeTlsServer} listens: the options of node:net's `listen` that have a counterpart. */
export interface ListenOptions {
  /** The port; 0 for a free one. */
  port?: number | string | null;
  /** The address or name to listen on; by default all of this machine's addresses, those of IPv6 among them. */
  host?: string;
  /** Ignored: it is the system's. */
  backlog?: number;
  /** Ignored: a port is this server's alone, unless `reusePort` says otherwise. */
  exclusive?: boolean;
  /** Whether other processes may listen on the same port. Linux only; by default false. */
  reusePort?: boolean;
  /** Closes the server when it is aborted. */
  signal?: AbortSignal;
}

/** What the parameters of `listen` come to. */
export interface ListenParameters {
  readonly port: number;
  readonly host: string | undefined;
  readonly reusePort: boolean;
  readonly signal: AbortSignal | undefined;
  readonly listener: (() => void) | undefined;
}

/** What node:net's `listen` takes and is not here. */
const refusals: Readonly<Record<string, string>> = {
  path: "TLS is spoken over TCP only: give a port",
  fd: "descriptors are not taken over: give a port",
  handle: "handles are not taken over: give a port",
  _handle: "handles are not taken over: give a port",
  ipv6Only: "sockets of IPv6 take IPv4 as well, as the system has it: give host",
  readableAll: "it is for paths",
  writableAll: "it is for paths",
};

const known = ["port", "host", "backlog", "exclusive", "reusePort", "signal"] satisfies (keyof ListenOptions)[];

/** The parameters of node:net's `listen`, in whichever of its forms. */
export function listenParameters(parameters: readonly unknown[]): ListenParameters {
  const [first, second] = parameters;
  const listener = parameters.findLast((parameter) => typeof parameter === "function") as (() => void) | undefined;
  const { port, host, reusePort = false, signal } = isOptions(first) ? optionsOf(first) : {
    ...(typeof first === "function" || first == null ? { port: 0 } : { port: first }),
    ...(typeof second === "string" && { host: second }),
  } as ListenOptions;
  if (typeof port !== "number" && (typeof port !== "string" || !isNumber(port))) {
    if (typeof port === "string") throw invalid(`Cannot listen on the path ${JSON.stringify(port)}: ${refusals.path}`);
    throw invalid(`Cannot listen on a port that is a ${typeof port}: give a number, 0 for a free one`);
  }
  const number = Number(port);
  if (!Number.isInteger(number) || number < 0 || number > 65535) {
    throw coded(new RangeError(`Cannot listen on port ${port}: there are 0 to 65535`), "ERR_SOCKET_BAD_PORT");
  }
  if (host != null && typeof host !== "string") throw invalid(`Cannot listen on a host that is a ${typeof host}`);
  return { port: number, host: host || undefined, reusePort: reusePort === true, signal, listener };
}

function isOptions(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function isNumber(text: string): boolean {
  return text.trim() !== "" && Number.isFinite(Number(text));
}

function optionsOf(options: object): ListenOptions {
  for (const [name, value] of Object.entries(options)) {
    // What is null or false is not asked for.
    if (value == null || value === false || known.includes(name as keyof ListenOptions)) continue;
    throw invalid(`Cannot listen with the option ${name}: ${refusals[name] ?? `there are ${known.join(", ")}`}`);
  }
  if (!("port" in options)) throw invalid("Cannot listen without a port: give one, 0 for a free one");
  const { port, ...rest } = options as ListenOptions;
  return { ...rest, port: port ?? 0 };
}

function invalid(message: string): TypeError {
  return coded(new TypeError(message), "ERR_INVALID_ARG_VALUE");
}

/** For a server that listens already, or has not closed yet. */
export function alreadyListening(): Error {
  return codedError(
    "Cannot listen: the server listens already, or has not closed yet",
    "ERR_SERVER_ALREADY_LISTEN",
  );
}
