/**
 * A server of createServer(), for server_facade_test.ts: facade_server.ts FOLDER
 *
 * It keeps sessions and its certificate in the folder, answers whatever it is sent, and ends with its input.
 */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createServer, selfSigned } from "../mod.ts";

const folder = process.argv[2]!;
const credentials = join(folder, "credentials.json");
if (!existsSync(credentials)) writeFileSync(credentials, JSON.stringify(selfSigned()));
const { certificate, privateKey } = JSON.parse(readFileSync(credentials, "utf8"));

const server = createServer({ cert: certificate, key: privateKey }, (socket) => {
  socket.once("data", () => socket.end(`reused ${socket.isSessionReused()}\n`));
});
server.on("newSession", (id, data, callback) => {
  writeFileSync(join(folder, id.toString("hex")), data);
  callback();
});
server.on("resumeSession", (id, callback) => {
  const file = join(folder, id.toString("hex"));
  callback(null, existsSync(file) ? readFileSync(file) : null);
});
server.on("tlsClientError", (error) => console.error(error.message));
server.listen(0, "127.0.0.1", () => console.log(`port ${server.address()!.port}`));
process.stdin.once("end", () => server.close()).resume();
