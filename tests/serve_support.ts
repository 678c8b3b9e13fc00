/** A server of serve() for the tests, on a free port of 127.0.0.1. */

import { type FetchHandler, type HttpsServer, MemoryStore, serve, type ServeOptions, SessionCache } from "../mod.ts";
import { within } from "./server_support.ts";
import { credentials } from "./support.ts";

/** Serves with a certificate for localhost. What goes wrong is kept in `errors`. */
export class Served {
  readonly server: HttpsServer;
  readonly errors: Error[];

  private constructor(server: HttpsServer, errors: Error[]) {
    this.server = server;
    this.errors = errors;
  }

  static async start(handler: FetchHandler, options: ServeOptions = {}): Promise<Served> {
    const errors: Error[] = [];
    const server = await serve({
      ...credentials,
      hostname: "127.0.0.1",
      // A client may come back before its session is stored.
      sessions: new SessionCache({ store: new MemoryStore(), durableTickets: true }),
      onError: (error) => void errors.push(error),
      ...options,
    }, handler);
    return new Served(server, errors);
  }

  get port(): number {
    return this.server.port;
  }

  url(path: string): string {
    return `https://127.0.0.1:${this.port}${path}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await within(this.server.close({ grace: 0 }), "the server to close");
  }
}

/** Tells of the connection, echoes what is posted, and answers in all the ways that clients expect. */
export const example: FetchHandler = (request, { remoteAddr, tls }) => {
  const { pathname, searchParams } = new URL(request.url);
  switch (pathname) {
    case "/":
      return Response.json({ method: request.method, url: request.url, remoteAddr, tls });
    case "/echo":
      return new Response(request.body, { headers: { "x-content-type": request.headers.get("content-type") ?? "" } });
    case "/bytes":
      return new Response(new Uint8Array(Number(searchParams.get("length"))));
    case "/moved":
      return new Response(null, { status: 302, headers: { location: "/" } });
    default:
      return new Response(`There is no ${pathname}\n`, { status: 404 });
  }
};
