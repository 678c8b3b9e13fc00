import { Deadlines } from "../cache/deadlines.ts";
import type { HttpServerParts } from "./http_server.ts";
import type { TlsSocket } from "./tls_socket.ts";

/** Closes the connections whose client takes too long for a request's head. Undefined where there is no limit. */
export function lateHeads({ headerTimeout, counts }: HttpServerParts): Deadlines<TlsSocket> | undefined {
  if (headerTimeout === 0) return undefined;
  return new Deadlines(headerTimeout, (socket) => {
    counts.headerTimeouts++;
    socket.destroy(new Error(`The client did not send a request's head in ${headerTimeout} ms`));
  });
}
