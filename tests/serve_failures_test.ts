import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { curl, curlFailing } from "./curl_support.ts";
import { Served } from "./serve_support.ts";
import { until, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording } from "./socket_support.ts";
import { bytes } from "./support.ts";

function locked(): Response {
  const response = new Response(new ReadableStream({ start: (controller) => controller.close() }));
  response.body!.getReader();
  return response;
}

async function used(): Promise<Response> {
  const response = new Response("used");
  await response.text();
  return response;
}

/** A Response whose body another one was made of. */
function anothers(): Response {
  const response = new Response(new ReadableStream({ start: (controller) => controller.close() }));
  new Response(response.body).text();
  return response;
}

/** A body that breaks off when a part of it has been sent. */
function broken(): Response {
  let count = 0;
  const body = new ReadableStream({
    async pull(controller) {
      if (count++ === 0) return controller.enqueue(bytes("part"));
      await new Promise((resolve) => setTimeout(resolve, 50));
      controller.error(new Error("a secret of the operator's"));
    },
  });
  return new Response(body);
}

for (const [name, option] of [["HTTP/1.1", "--http1.1"], ["HTTP/2", "--http2"]] as const) {
  describe(`${name}: serve()`, () => {
    for (const [what, make] of Object.entries({ "locked": locked, "used": used, "another's": anothers })) {
      it(
        `tells the operator of a Response whose body is ${what}, and goes on`,
        leavingNothingLater(async () => {
          const { promise: late, resolve } = Promise.withResolvers<void>();
          await using server = await Served.start(async (request) => {
            if (request.url.endsWith("/late")) await late;
            return /ok$|late$/.test(request.url) ? new Response("ok") : await make();
          });
          // Somebody else's request is under way meanwhile.
          const other = curl("-k", option, server.url("/late"));
          await until(() => server.server.stats().activeRequests === 1, "the other request");
          const answer = await curl("-k", option, "-w", "%{http_code}", server.url("/"));
          assertEquals(answer, "Internal Server Error\n500");
          assertEquals(server.server.stats().failedRequests, 1);
          resolve();
          assertEquals([await other, await curl("-k", option, server.url("/ok"))], ["ok", "ok"]);
          assertEquals(server.errors.length, 1);
        }),
      );
    }

    it(
      "breaks off an answer whose body fails, and does not tell the client of what",
      leavingNothingLater(async () => {
        await using server = await Served.start(broken);
        const { code, stdout } = await curlFailing("-k", option, server.url("/"));
        assert([18, 92].includes(code!), `curl ended with ${code}`);
        assertEquals(stdout, "part");
        assertEquals(server.errors.map(({ message }) => message), ["a secret of the operator's"]);
        assertEquals(server.server.stats().failedRequests, 1);
      }),
    );

    it(
      "sends a text that looks like the package's own message of a failure",
      leavingNothingLater(async () => {
        await using server = await Served.start(() => new Response("Error: none"));
        assertEquals(await curl("-k", option, server.url("/")), "Error: none");
        assertEquals(server.server.stats().failedRequests, 0);
      }),
    );

    it(
      "hands on what fetch() has decompressed",
      leavingNothingLater(async () => {
        const text = "0123456789".repeat(1000);
        const origin = createServer((_request, response) => {
          const body = gzipSync(text);
          response.writeHead(200, { "content-encoding": "gzip", "content-length": body.length, connection: "close" });
          response.end(body);
        });
        await new Promise<void>((resolve) => origin.listen(0, "127.0.0.1", resolve));
        const { port } = origin.address() as AddressInfo;
        try {
          await using server = await Served.start(() =>
            fetch(`http://127.0.0.1:${port}/`) as unknown as Promise<Response>
          );
          const answer = await curl("-k", option, "--include", server.url("/"));
          const [head, body] = answer.split("\r\n\r\n");
          assertEquals(body, text);
          assert(!/content-encoding|content-length: (?!10000)/i.test(head!), head);
          // What a handler has compressed itself is left as it is.
          const body2 = gzipSync(text);
          await using compressing = await Served.start(() =>
            new Response(body2, { headers: { "content-encoding": "gzip" } })
          );
          assertEquals(await curl("-k", option, "--compressed", compressing.url("/")), text);
        } finally {
          await new Promise<void>((resolve) => void origin.close(() => resolve()));
        }
      }),
    );

    it(
      "closes within its grace though a handler never answers",
      leavingNothingLater(async () => {
        const { promise: came, resolve: come } = Promise.withResolvers<void>();
        const { promise: never, resolve: answer } = Promise.withResolvers<Response>();
        const server = await Served.start(() => {
          come();
          return never;
        });
        const asking = curlFailing("-k", option, server.url("/"));
        await within(came, "the request");
        await within(server.server.close({ grace: 100 }), "the server to close");
        await within(asking, "the client to be told");
        // For the runtime's leak check: what waits for it is over then.
        answer(new Response("late"));
      }),
    );
  });
}

describe("headerTimeout", () => {
  it(
    "holds a client of HTTP/2 for its first request",
    leavingNothingLater(async () => {
      await using server = await Served.start(() => new Response("never"), { headerTimeout: 300 });
      using client = new Client({ alpnProtocols: ["h2"] });
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      socket.write(bytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"));
      await within(recording.closed, "the server to close the connection");
      const { headerTimeouts, requests } = server.server.stats();
      assertEquals([headerTimeouts, requests], [1, 0]);
    }),
  );
});
