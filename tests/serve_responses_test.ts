import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { curl } from "./curl_support.ts";
import { Served } from "./serve_support.ts";
import { within } from "./server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";

// As it was before any server was there: on Node serve() has another one put in its place.
const FirstResponse = Response;

/** A server over plain HTTP to ask for what is handed on. */
async function upstream(): Promise<{ url: string; [Symbol.asyncDispose](): Promise<void> }> {
  const server = createServer((_request, response) => {
    response.writeHead(203, { "x-from": "upstream", connection: "close" });
    response.end("handed on");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => void server.close(() => resolve())),
  };
}

function streamOf(...parts: string[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(new TextEncoder().encode(part));
      controller.close();
    },
  });
}

for (const [name, option] of [["HTTP/1.1", "--http1.1"], ["HTTP/2", "--http2"]] as const) {
  describe(`${name}: a handler of serve() answers`, () => {
    it(
      "a Response, however it was made",
      leavingNothingLater(async () => {
        await using origin = await upstream();
        const headers = { "x-from": "handler" };
        const made: Record<string, [status: number, from: string, body: string, () => Response | Promise<Response>]> = {
          "/first": [200, "handler", "first", () => new FirstResponse("first", { headers })],
          "/string": [201, "handler", "string", () => new Response("string", { status: 201, headers })],
          "/bytes": [200, "handler", "bytes", () => new Response(new TextEncoder().encode("bytes"), { headers })],
          "/blob": [200, "handler", "blob", () => new Response(new Blob(["blob"]), { headers })],
          "/stream": [200, "handler", "a stream", () => new Response(streamOf("a ", "stream"), { headers })],
          "/form": [200, "handler", "a=b", () => new Response(new URLSearchParams({ a: "b" }), { headers })],
          "/json": [200, "handler", '{"a":1}', () => Response.json({ a: 1 }, { headers })],
          "/none": [204, "handler", "", () => new Response(null, { status: 204, headers })],
          "/clone": [200, "handler", "clone", () => new Response("clone", { headers }).clone() as Response],
          "/again": [202, "handler", "again", () => {
            return new Response(new Response("again", { headers }).body, {
              status: 202,
              headers: new Headers(headers),
            });
          }],
          "/async": [200, "handler", "async", async () => {
            const text = await new Response("async").text();
            return new Response(text, { headers });
          }],
          "/redirect": [307, "", "", () => Response.redirect("https://example.org/", 307)],
          "/fetched": [203, "upstream", "handed on", () => fetch(origin.url) as unknown as Promise<Response>],
        };
        await using server = await Served.start((request) => made[new URL(request.url).pathname]![3]());
        for (const [path, [status, from, body]] of Object.entries(made)) {
          const answer = await curl("-k", option, "-w", "|%{http_code}|%header{x-from}", server.url(path));
          assertEquals(answer, `${body}|${status}|${from}`, path);
        }
        assertEquals(server.errors, []);
      }),
    );

    it(
      "what cannot be sent: its client gets a 500, and the operator is told",
      leavingNothingLater(async () => {
        const made: Record<string, () => Response> = {
          "/name": () => new Response("", { headers: { "a name": "" } }),
          "/value": () => new Response("", { headers: { name: "a\nvalue" } }),
          "/status": () => new Response("", { status: 99 }),
        };
        await using server = await Served.start((request) => made[new URL(request.url).pathname]!());
        for (const path of Object.keys(made)) {
          assertEquals(await curl("-k", option, "-w", "%{http_code}", server.url(path)), "Internal Server Error\n500");
        }
        assertEquals(server.errors.length, 3);
        const { requests, activeRequests, failedRequests } = server.server.stats();
        assertEquals([requests, activeRequests, failedRequests], [3, 0, 3]);
      }),
    );

    it(
      "HEAD without reading a body that has no end",
      leavingNothingLater(async () => {
        const { promise: cancelled, resolve: cancel } = Promise.withResolvers<void>();
        await using server = await Served.start(() => {
          const body = new ReadableStream({
            pull: (controller) => controller.enqueue(new Uint8Array(64 * 1024)),
            cancel: () => cancel(),
          });
          return new Response(body, { status: 202, headers: { "x-from": "handler" } });
        });
        const answer = await curl("-k", option, "--head", "-w", "%{http_code}|%header{x-from}", server.url("/"));
        assertEquals(answer.slice(-"202|handler".length), "202|handler");
        await within(cancelled, "the body to be cancelled");
        assertEquals(
          await curl("-k", option, "--head", "-o", "/dev/null", "-w", "%{http_code}", server.url("/")),
          "202",
        );
      }),
    );
  });
}
