import Koa from "koa";
import { createServer } from "node:http";
import { describeFramework, digestOf, largeStream } from "./framework_support.ts";

function application() {
  const app = new Koa();
  app.use(async (context, next) => {
    try {
      await next();
    } catch (error) {
      context.status = 500;
      context.body = `handled: ${(error as Error).message}`;
    }
  });
  app.use(async (context) => {
    const { protocol, secure, ip } = context;
    if (context.path === "/json") {
      let text = "";
      for await (const part of context.req.setEncoding("utf8")) text += part;
      context.body = { protocol, secure, ip, body: JSON.parse(text) };
    } else if (context.path === "/download") context.body = largeStream();
    else if (context.path === "/upload") context.body = await digestOf(context.req);
    else if (context.path === "/throw") throw new Error("boom");
  });
  return app.callback();
}

describeFramework("Koa", () => createServer(application()));
