import express, { type NextFunction, type Request, type Response } from "express";
import { createServer } from "node:http";
import { pipeline } from "node:stream/promises";
import { describeFramework, digestOf, largeStream } from "./framework_support.ts";

function application() {
  const app = express();
  app.post("/json", express.json(), ({ protocol, secure, ip, body }, response) => {
    response.json({ protocol, secure, ip, body });
  });
  app.get("/download", (_request, response) => pipeline(largeStream(), response.type("bin")));
  app.post("/upload", async (request, response) => void response.send(await digestOf(request)));
  app.get("/throw", () => {
    throw new Error("boom");
  });
  app.use((error: Error, _request: Request, response: Response, _next: NextFunction) => {
    response.status(500).send(`handled: ${error.message}`);
  });
  return app;
}

describeFramework("Express", () => createServer(application()));
