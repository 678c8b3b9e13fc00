// Two WebSocket clients, the package ws on Node's own TLS. The first speaks when both are there; what each hears is written.
import { once } from "node:events";
import process from "node:process";
import WebSocket from "ws";

const [port] = process.argv.slice(2);
const open = async (name) => {
  const socket = new WebSocket(`wss://localhost:${port}/`, { rejectUnauthorized: false });
  socket.on("message", (data) => console.log(`${name} heard ${data}`));
  socket.on("close", (code) => console.log(`${name} closed ${code}`));
  socket.on("error", (error) => console.log(`${name} failed ${error.message}`));
  // Each is greeted once it hears what others say.
  await once(socket, "message");
  return socket;
};

const [first, second] = [await open("first"), await open("second")];
first.send("to the others");
await once(second, "message");
first.send("to all");
await Promise.all([once(first, "message"), once(second, "message")]);
for (const socket of [first, second]) {
  socket.close(1000);
  await once(socket, "close");
}
