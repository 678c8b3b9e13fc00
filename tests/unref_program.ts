/**
 * A program with a server and a connection that do not keep it alive, for server_unref_test.ts: unref_program.ts WHAT
 *
 * WHAT is `server`, for a server alone; or `both`, for a connection at whose ends unref() is called as well. With `ref`
 * after it, ref() takes it back.
 */

import process from "node:process";
import { connect, createServer, selfSigned, SslContext, type TlsDuplex } from "../mod.ts";

const [what, again] = process.argv.slice(2);
const { certificate, privateKey } = selfSigned();
const sockets: TlsDuplex[] = [];
const server = createServer({ cert: certificate, key: privateKey }, (socket) => {
  socket.unref();
  sockets.push(socket);
  socket.write("hello");
});
server.unref();
server.listen(0, "127.0.0.1", async () => {
  if (what === "both") {
    const context = SslContext.client({ certificateAuthorities: certificate });
    const port = server.address()!.port;
    const client = await connect({ hostname: "127.0.0.1", serverName: "localhost", port, context });
    await new Promise((resolve) => client.once("data", resolve));
    client.unref();
    sockets.push(client);
  }
  if (again === "ref") server.ref();
  console.log("ready");
});
