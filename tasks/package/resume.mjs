// A connection to a server of this program's own, and another that resumes.
import { connect, MemoryStore, selfSigned, serve, SessionCache } from "@openssl-sessions/openssl-sessions";
import { testSessionStore } from "@openssl-sessions/openssl-sessions/testing";

const credentials = selfSigned();
const sessions = new SessionCache({ store: new MemoryStore() });
const server = await serve(
  { ...credentials, sessions, hostname: "127.0.0.1" },
  (_request, { tls }) => new Response(tls.isResumed ? "resumed" : "full"),
);
const words = [];
for (let visit = 0; visit < 2; visit++) {
  const socket = await connect({
    hostname: "127.0.0.1",
    port: server.port,
    certificateAuthorities: credentials.certificate,
  });
  socket.write("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
  let text = "";
  for await (const bytes of socket) text += bytes;
  words.push(text.split("\r\n\r\n")[1]);
}
await server.close();
await sessions.close();
console.log(words.join(), typeof testSessionStore);
