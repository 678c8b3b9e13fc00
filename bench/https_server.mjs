// One HTTPS server, ours or one of the runtime's: https_server.mjs kind certificate.pem key.pem
//
// Answers `/` with 13 bytes and `/large` with 1 GiB. Prints its ports as a line of JSON, one for each version of HTTP, and
// ends when its input does.

import { readFileSync } from "node:fs";
import { createSecureServer } from "node:http2";
import { createServer } from "node:https";
import process from "node:process";

const [kind, certificateFile, privateKeyFile] = process.argv.slice(2);
const [cert, key] = [certificateFile, privateKeyFile].map((file) => readFileSync(file, "utf8"));
const hostname = "127.0.0.1";
const text = { "content-type": "text/plain", "content-length": "13" };
const chunk = new Uint8Array(64 * 1024).fill(0x61);
const chunks = 16 * 1024;
const large = { "content-type": "application/octet-stream", "content-length": String(chunk.length * chunks) };

function fetchHandler(request) {
  if (!request.url.endsWith("/large")) return new Response("Hello, world!", { headers: text });
  let left = chunks;
  const body = new ReadableStream({
    pull(controller) {
      controller.enqueue(chunk);
      if (--left === 0) controller.close();
    },
  });
  return new Response(body, { headers: large });
}

function plainListener(request, response) {
  if (!request.url.endsWith("/large")) {
    response.writeHead(200, text);
    response.end("Hello, world!");
    return;
  }
  let left = chunks;
  function send() {
    while (left > 0) {
      left--;
      if (!response.write(chunk)) return;
    }
    response.end();
  }
  response.writeHead(200, large);
  response.on("drain", send);
  send();
}

/** node:https, and node:http2 for HTTP/2. */
async function startNode(listener) {
  const options = { cert, key };
  const servers = [createServer(options, listener), createSecureServer({ ...options, allowHTTP1: true }, listener)];
  const [http1, http2] = await Promise.all(
    servers.map((server) => new Promise((resolve) => server.listen(0, hostname, () => resolve(server.address().port)))),
  );
  return { http1, http2 };
}

const start = {
  async ours() {
    const { serve } = await import("../mod.ts");
    const { port } = await serve({ certificateFile, privateKeyFile, hostname, onError() {} }, fetchHandler);
    return { http1: port, http2: port };
  },
  deno() {
    const { port } = Deno.serve({ cert, key, hostname, port: 0, onListen() {} }, fetchHandler).addr;
    return { http1: port, http2: port };
  },
  bun() {
    // It speaks no HTTP/2.
    return { http1: Bun.serve({ tls: { cert, key }, hostname, port: 0, fetch: fetchHandler }).port };
  },
  node: () => startNode(plainListener),
  async hono() {
    const { getRequestListener } = await import("@hono/node-server");
    return await startNode(getRequestListener(fetchHandler));
  },
};

console.log(JSON.stringify(await start[kind]()));
process.stdin.resume();
process.stdin.on("end", () => process.exit());
