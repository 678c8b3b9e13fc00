/** Where a {@linkcode NodeTlsServer} listens. */
export interface ListenOptions {
  /** The port; 0, the default, for a free one. */
  port?: number;
  /** The address or name to listen on; by default `0.0.0.0`. */
  host?: string;
}

/** The parameters of node:net's `listen`, in whichever of its forms. */
export function listenParameters(
  parameters: readonly unknown[],
): { port: number; host: string; listener: (() => void) | undefined } {
  const [first, second] = parameters;
  const listener = parameters.findLast((parameter) => typeof parameter === "function") as (() => void) | undefined;
  const isObject = typeof first === "object" && first !== null;
  const { port = 0, host = "0.0.0.0" } = isObject ? first as ListenOptions : {
    ...(typeof first !== "function" && first != null && { port: first as number }),
    ...(typeof second === "string" && { host: second }),
  };
  if (isObject && "path" in first || typeof first === "string" && !/^\d+$/.test(first)) {
    throw new TypeError("Cannot listen on a path: give a port");
  }
  const number = Number(port);
  if (!Number.isInteger(number) || number < 0 || number > 65535) {
    throw new RangeError(`Cannot listen on port ${port}: there are 0 to 65535`);
  }
  return { port: number, host, listener };
}
