/**
 * One server of a farm, for cache_farm_test.ts: farm_server.ts REDIS_URL SECRET[,SECRET…] CERTIFICATE KEY
 *
 * It answers whatever it is sent, and hands a ticket out only when Redis has its session.
 */

import process from "node:process";
import { listen, RedisStore, SessionCache, SslContext } from "../mod.ts";

const [url, secrets, certificateFile, privateKeyFile] = process.argv.slice(2) as [string, string, string, string];
const context = SslContext.server({ certificateFile, privateKeyFile });
const store = new RedisStore({ url });
const cache = new SessionCache({
  store,
  secrets: secrets.split(","),
  durableTickets: true,
  lookupTimeout: 5000,
  onStoreError: (error) => console.log(error.message),
});
cache.attach(context);
process.on("unhandledRejection", (reason) => console.log("unhandled", reason));
const server = await listen(
  { context, hostname: "127.0.0.1", onError: (error) => console.log("failed", error.message) },
  { data: (socket) => socket.end(new TextEncoder().encode("answer")) },
);
console.log(`port ${server.port}`);
