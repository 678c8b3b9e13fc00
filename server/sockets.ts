import { bunSockets } from "./bun_sockets.ts";
import { denoSockets } from "./deno_sockets.ts";
import { nodeSockets } from "./node_sockets.ts";
import type { SocketAdapter } from "./raw_socket.ts";

/** The sockets of the runtime that this runs in. */
export function socketsOfThisRuntime(): SocketAdapter {
  if ("Deno" in globalThis) return denoSockets;
  if ("Bun" in globalThis) return bunSockets;
  return nodeSockets;
}
