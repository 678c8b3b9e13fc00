// What `tsc --strict` sees of the library: values, types, and that a wrong one is refused.
import { createServer } from "node:http";
import {
  connect,
  httpConnections,
  type HttpsServer,
  listen,
  MemoryStore,
  selfSigned,
  serve,
  type ServeOptions,
  type Session,
  SessionCache,
  type SessionStore,
  SslContext,
  type TlsFacts,
} from "@openssl-sessions/openssl-sessions";
import { testSessionStore } from "@openssl-sessions/openssl-sessions/testing";

const store: SessionStore = new MemoryStore();
const options: ServeOptions = { ...selfSigned(), sessions: new SessionCache({ store }), hostname: "127.0.0.1" };
const server: HttpsServer = await serve(options, (request, { tls }) => {
  const facts: TlsFacts = tls;
  return new Response(`${request.method} ${facts.protocol} ${facts.isResumed}`);
});
const requests: number = server.stats().requests;
const streams = await listen(selfSigned(), httpConnections(createServer()));
const socket = await connect({ hostname: "localhost", port: streams.port });
const session: Session | undefined = socket.tls.session();
const context: SslContext = SslContext.server(selfSigned());
// @ts-expect-error: a port is a number
await connect({ hostname: "localhost", port: true });
// @ts-expect-error: there is no such option
await serve({ ...selfSigned(), verfiy: "require" }, () => new Response());
export { context, requests, session, testSessionStore };
