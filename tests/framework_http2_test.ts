import { createServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import { pipeline } from "node:stream/promises";
import type { TlsDuplex } from "../mod.ts";
import { describeFramework, digestOf, largeStream } from "./framework_support.ts";

async function answer(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
  if (request.url === "/json") {
    const { encrypted, remoteAddress: ip } = request.socket as unknown as TlsDuplex;
    let text = "";
    for await (const part of request.setEncoding("utf8")) text += part;
    const seen = { protocol: request.scheme, secure: encrypted, ip, body: JSON.parse(text) };
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(seen));
  } else if (request.url === "/download") await pipeline(largeStream(), response);
  else if (request.url === "/upload") response.end(await digestOf(request));
  else if (request.url === "/throw") throw new Error("boom");
  else {
    response.statusCode = 404;
    response.end();
  }
}

function makeServer() {
  return createServer((request, response) => {
    answer(request, response).catch((error: Error) => {
      response.statusCode = 500;
      response.end(`handled: ${error.message}`);
    });
  });
}

describeFramework("node:http2", makeServer, "h2");
