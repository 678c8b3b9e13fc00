import fastify from "fastify";
import { createServer, type Server } from "node:http";
import { describeFramework, digestOf, largeStream } from "./framework_support.ts";

async function makeServer(): Promise<Server> {
  const app = fastify({ serverFactory: (handler) => createServer(handler), bodyLimit: 16 * 1024 * 1024 });
  app.addContentTypeParser("application/octet-stream", (_request, payload, done) => done(null, payload));
  app.post("/json", ({ protocol, ip, body }) => ({ protocol, secure: protocol === "https", ip, body }));
  app.get("/download", (_request, reply) => reply.type("application/octet-stream").send(largeStream()));
  app.post("/upload", ({ body }) => digestOf(body as AsyncIterable<Uint8Array>));
  app.get("/throw", () => {
    throw new Error("boom");
  });
  app.setErrorHandler((error: Error, _request, reply) => reply.status(500).send(`handled: ${error.message}`));
  await app.ready();
  return app.server;
}

describeFramework("Fastify", makeServer);
