import type { NodeTlsServer } from "./create_server.ts";

/** Closes a server when a signal is aborted. It is let go when the server has closed: it may be there for longer. */
export function closeWhenAborted(server: NodeTlsServer, signal: AbortSignal): void {
  const close = () => void server.close();
  signal.addEventListener("abort", close, { once: true });
  server.once("close", () => signal.removeEventListener("abort", close));
}
