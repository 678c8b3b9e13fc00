import { createServer as createHttp1, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttp2, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import { importPackage } from "../ffi/import_package.ts";
import { answerOf } from "./answer.ts";
import { ServeInfo } from "./fetch_handler.ts";
import { Http1Connections } from "./http1_connections.ts";
import { httpConnections } from "./http_connections.ts";
import type { MakeHttpServer } from "./http_server.ts";
import { factsOf, streamConnections, type TlsDuplex } from "./tls_duplex.ts";
import type { TlsSocket } from "./tls_socket.ts";

/** The part of @hono/node-server used here. */
interface NodeServerPackage {
  getRequestListener(
    fetch: (request: Request, env: { incoming: IncomingMessage | Http2ServerRequest }) => unknown,
    options: { overrideGlobalObjects: boolean },
  ): (request: IncomingMessage | Http2ServerRequest, response: ServerResponse | Http2ServerResponse) => void;
}

/** node:http and node:http2, each over the stream of a TLS connection. */
export const makeNodeHttp: MakeHttpServer = async (parts) => {
  const { getRequestListener } = await importPackage("@hono/node-server", "^2.1.9") as NodeServerPackage;
  const infos = new WeakMap<TlsSocket, ServeInfo>();
  const listener = getRequestListener((request, { incoming }) => {
    const { tls } = incoming.socket as unknown as TlsDuplex;
    return answerOf(parts, request, infos.get(tls)!, tls);
  }, { overrideGlobalObjects: false });

  const connections1 = new Http1Connections();
  const http1 = createHttp1(
    { headersTimeout: parts.headerTimeout, requestTimeout: 0, keepAliveTimeout: 0 },
    (request, response) => {
      connections1.begin(request.socket as unknown as TlsDuplex, response);
      listener(request, response);
    },
  );
  const http2 = createHttp2(listener);
  const sessions = new Set<{ close(): void }>();
  http2.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    // What goes wrong on a connection is told by the connection.
    session.on("error", () => {});
  });
  const [onHttp1, onHttp2] = [httpConnections(http1), httpConnections(http2)];
  const onConnection = streamConnections((stream) => {
    infos.set(stream.tls, new ServeInfo(stream.tls, factsOf(stream)));
    if (stream.alpnProtocol === "h2") return onHttp2(stream);
    connections1.add(stream);
    onHttp1(stream);
  });
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
