import { getRequestListener, type HttpBindings } from "@hono/node-server";
import { getConnInfo } from "@hono/node-server/conninfo";
import { Hono } from "hono";
import { createServer } from "node:http";
import { Readable } from "node:stream";
import { describeFramework, digestOf, largeStream } from "./framework_support.ts";

function application() {
  const app = new Hono<{ Bindings: HttpBindings }>();
  app.post("/json", async (context) => {
    const protocol = new URL(context.req.url).protocol.slice(0, -1);
    const ip = getConnInfo(context).remote.address;
    return context.json({ protocol, secure: protocol === "https", ip, body: await context.req.json() });
  });
  app.get("/download", (context) => context.body(Readable.toWeb(largeStream()) as ReadableStream));
  app.post("/upload", async (context) => context.text(await digestOf(context.req.raw.body!)));
  app.get("/throw", () => {
    throw new Error("boom");
  });
  app.onError((error, context) => context.text(`handled: ${error.message}`, 500));
  return getRequestListener(app.fetch);
}

describeFramework("Hono", () => createServer(application()));
