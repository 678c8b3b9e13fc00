// A server with a session cache in memory and one fixed answer: server.ts certificate.pem key.pem
//
// Prints its port as a line of JSON, and ends when its input does.

import process from "node:process";
import { listen, MemoryStore, SessionCache, SslContext } from "../mod.ts";

const [certificateFile, privateKeyFile] = process.argv.slice(2) as [string, string];
const answer = new TextEncoder().encode(
  "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: close\r\n\r\nHello, world!",
);

const context = SslContext.server({ certificateFile, privateKeyFile });
const cache = new SessionCache({ store: new MemoryStore(), onStoreError: (error) => console.error(error) });
cache.attach(context);
const handlers = { data: (socket: { end(bytes: Uint8Array): void }) => socket.end(answer) };
const server = await listen(
  { context, hostname: "127.0.0.1", onError: (error) => console.error(error) },
  handlers,
);
console.log(JSON.stringify({ port: server.port }));

process.stdin.resume();
process.stdin.on("end", async () => {
  await server.close();
  context.dispose();
});
