import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { MemoryStore, serve, type ServeOptions } from "../mod.ts";
import { curl } from "./curl_support.ts";
import { Served } from "./serve_support.ts";
import { Program, until, within } from "./server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { bytes, credentials } from "./support.ts";

for (const [name, option] of [["HTTP/1.1", "--http1.1"], ["HTTP/2", "--http2"]] as const) {
  describe(`${name}: a handler of serve()`, () => {
    it(
      "that throws, rejects, or answers nothing costs its client a 500, and the operator is told",
      leavingNothingLater(async () => {
        const handlers: Record<string, () => Response | Promise<Response>> = {
          "/thrown": () => {
            throw new Error("thrown");
          },
          "/rejected": () => Promise.reject(new Error("rejected")),
          "/nothing": () => null as unknown as Response,
        };
        await using server = await Served.start((request) => handlers[new URL(request.url).pathname]!());
        const expected = ["thrown", "rejected", "Cannot answer the request: its handler did not return a Response"];
        for (const path of Object.keys(handlers)) {
          const answer = await curl("-k", option, "-w", " %{http_code}", server.url(path));
          assertEquals(answer, "Internal Server Error\n 500");
        }
        assertEquals(server.errors.map(({ message }) => message), expected);
        const { requests, activeRequests, failedRequests } = server.server.stats();
        assertEquals([requests, activeRequests, failedRequests], [3, 0, 3]);
      }),
    );

    it(
      "that fails does so no worse where the operator's handler of errors fails as well",
      leavingNothingLater(async () => {
        const failures = [() => Promise.reject(new Error("rejected")), () => {
          throw new Error("thrown");
        }];
        for (const fail of failures) {
          await using server = await Served.start(() => null as unknown as Response, { onError: fail as () => void });
          const url = server.url("/");
          assertEquals(await curl("-k", option, "-o", "/dev/null", "-w", "%{http_code}", url), "500");
          const { requests, activeRequests, failedRequests } = server.server.stats();
          assertEquals([requests, activeRequests, failedRequests], [1, 0, 1]);
        }
      }),
    );

    it(
      "has its request's signal aborted when the client goes",
      leavingNothingLater(async () => {
        const { promise: came, resolve: come } = Promise.withResolvers<void>();
        const { promise: aborted, resolve: abort } = Promise.withResolvers<void>();
        const { promise: over, resolve: end } = Promise.withResolvers<Response>();
        await using server = await Served.start((request) => {
          request.signal.addEventListener("abort", () => abort());
          come();
          return over;
        });
        await using client = new Program("curl", ["-sk", option, server.url("/")]);
        await within(came, "the request");
        client.child.kill("SIGKILL");
        await within(aborted, "the signal");
        end(new Response("too late"));
      }),
    );

    it(
      "sends what a stream gives as it comes",
      leavingNothingLater(async () => {
        let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
        await using server = await Served.start(() =>
          new Response(new ReadableStream({ start: (given) => void (controller = given) }), {
            headers: { "content-type": "text/event-stream" },
          })
        );
        await using client = new Program("curl", ["-skN", option, server.url("/")]);
        await until(() => controller !== undefined, "the request");
        for (const part of ["one", "two", "three"]) {
          controller!.enqueue(bytes(`data: ${part}\n\n`));
          await client.writes(new RegExp(`data: ${part}\n\n`));
        }
        controller!.close();
        assertEquals((await client.end()).code, 0);
      }),
    );

    it(
      "reads a body as it comes",
      leavingNothingLater(async () => {
        const parts: string[] = [];
        await using server = await Served.start(async (request) => {
          const decoder = new TextDecoder();
          for await (const bytes of request.body!) parts.push(decoder.decode(bytes));
          return new Response("all read");
        });
        const upload = ["-X", "POST", "-T", ".", "-H", "expect:"];
        await using client = new Program("curl", ["-sk", option, ...upload, server.url("/")]);
        for (const part of ["one", "two"]) {
          client.child.stdin!.write(part);
          await until(() => parts.join("").endsWith(part), part);
        }
        client.child.stdin!.end();
        await client.writes(/all read/);
        assertEquals(parts.join(""), "onetwo");
      }),
    );
  });
}

describe("serve() refuses", () => {
  const handler = () => new Response("never");
  const refusals: [string, ServeOptions, RegExp][] = [
    ["no certificate", {}, /Cannot make a server without a certificate/],
    [
      "a time for heads that is none",
      { ...credentials, headerTimeout: -1 },
      /option headerTimeout with serve\(\): .*, not -1$/,
    ],
    [
      "protocols that it does not speak",
      { ...credentials, alpnProtocols: ["h3"] },
      /option alpnProtocols\[0\] with serve\(\): it takes one of "h2", "http\/1.1", not "h3"$/,
    ],
    [
      "a store for a cache",
      { ...credentials, sessions: new MemoryStore() as never },
      /option sessions with serve\(\): it takes a SessionCache/,
    ],
    [
      "an authorize that is no function",
      { ...credentials, authorize: true as never },
      /option authorize with serve\(\): it takes a function, not true$/,
    ],
    [
      "a port that is none",
      { ...credentials, port: 70_000 },
      /option port with serve\(\): .* from 0 to 65535, not 70000$/,
    ],
    ["an address of another machine", { ...credentials, hostname: "192.0.2.1" }, /the address is not this machine's/],
  ];
  for (const [what, options, message] of refusals) {
    it(
      what,
      leavingNothingLater(async () => {
        const error = await serve(options, handler).then(() => undefined, (error) => error);
        assertMatch(String(error?.message), message);
      }),
    );
  }

  it("no handler", async () => {
    const nothing = undefined as unknown as typeof handler;
    await assertRejects(() => serve({ ...credentials }, nothing), TypeError, "Cannot serve without a handler");
  });

  it(
    "a port in use",
    leavingNothingLater(async () => {
      await using server = await Served.start(handler);
      const again = () => serve({ ...credentials, hostname: "127.0.0.1", port: server.port }, handler);
      await assertRejects(again, Error, "the port is in use");
    }),
  );
});
