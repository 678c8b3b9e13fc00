// A WebSocket client, the package ws on Node's own TLS. Says what it is told to, writes what it hears.
import process from "node:process";
import WebSocket from "ws";

const [port, path, largeLength] = process.argv.slice(2);
const socket = new WebSocket(`wss://localhost:${port}${path}`, { rejectUnauthorized: false });
const large = Buffer.alloc(Number(largeLength), "0123456789abcdef");
socket.on("open", () => socket.send("hello"));
socket.on("message", (data, isBinary) => {
  if (!isBinary) {
    console.log(`text ${data}`);
    socket.send(large);
  } else {
    console.log(`binary ${data.equals(large)}`);
    socket.ping("are you there");
  }
});
socket.on("pong", (data) => {
  console.log(`pong ${data}`);
  socket.close(4001, "enough");
});
socket.on("close", (code, reason) => console.log(`closed ${code} ${reason}`));
socket.on("unexpected-response", (_request, response) => console.log(`refused ${response.statusCode}`));
socket.on("error", (error) => console.log(`failed ${error.message}`));
