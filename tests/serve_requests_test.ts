import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import process from "node:process";
import { request as httpRequest } from "node:http";
import { serve, type ServeOptions } from "../mod.ts";
import { curl } from "./curl_support.ts";
import { Served } from "./serve_support.ts";
import { Program, thisRuntime, until, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording } from "./socket_support.ts";
import { bytes, credentials } from "./support.ts";

const http1 = { alpnProtocols: ["http/1.1"] };

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

describe("A stranger to serve()'s HTTP server inside the process", () => {
  if (thisRuntime === "node" || process.platform !== "linux") {
    it("finds none: on Node there is no port", async () => {
      const before = listening();
      await using server = await Served.start(() => new Response("never"));
      if (process.platform === "linux") {
        assertEquals(listening().filter((port) => !before.includes(port)), [server.port]);
      }
    });
    return;
  }

  it(
    "gets 403, whatever address it comes from, and the handler hears nothing",
    leavingNothingLater(async () => {
      let requests = 0;
      const before = listening();
      await using server = await Served.start(() => new Response(`${++requests}`));
      const [inner] = listening().filter((port) => !before.includes(port) && port !== server.port);
      assert(inner, "there is no port inside the process");
      // A connection of the server's own is there, whose port the stranger takes on another address.
      using client = new Client(http1);
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      socket.write(bytes("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"));
      await until(() => recording.text.endsWith("1"), "the answer");
      const ours = peersOf(inner);
      assertEquals(ours.length, 1);
      for (const from of [{}, { localAddress: "127.0.0.2" }, { localAddress: "127.0.0.2", localPort: ours[0]! }]) {
        const status = await new Promise((resolve, reject) => {
          const request = httpRequest({ host: "127.0.0.1", port: inner, agent: false, ...from }, (response) => {
            response.resume().once("end", () => resolve(response.statusCode));
          });
          request.once("error", reject).end();
        });
        assertEquals([from, status], [from, 403]);
      }
      assertEquals([requests, server.server.stats().requests], [1, 1]);
      socket.end();
      await within(recording.closed, "the connection to close");
    }),
  );
});

/** The ports that this process listens on. */
function listening(): number[] {
  return sockets().filter(({ state }) => state === "0A").map(({ local }) => local);
}

/** The ports that are connected to this one of this process. */
function peersOf(port: number): number[] {
  return sockets().filter(({ state, local }) => state === "01" && local === port).map(({ remote }) => remote);
}

function sockets(): { local: number; remote: number; state: string }[] {
  // The system's list has other processes' sockets as well: this one's are known by their inodes.
  const own = new Set(
    readdirSync("/proc/self/fd").map((descriptor) => {
      try {
        return readlinkSync(`/proc/self/fd/${descriptor}`);
      } catch {
        // Closed meanwhile, as the folder's own is.
        return undefined;
      }
    }),
  );
  const lines = readFileSync("/proc/net/tcp", "utf8").trim().split("\n").slice(1);
  return lines.map((line) => line.trim().split(/\s+/)).filter((fields) => own.has(`socket:[${fields[9]}]`)).map(
    (fields) => {
      const [, local, remote, state] = fields as [string, string, string, string];
      const port = (address: string) => parseInt(address.split(":")[1]!, 16);
      return { local: port(local), remote: port(remote), state };
    },
  );
}

describe("serve() refuses", () => {
  const handler = () => new Response("never");
  const refusals: [string, ServeOptions, RegExp][] = [
    ["no certificate", {}, /Cannot make a server without a certificate/],
    ["a time for heads that is none", { ...credentials, headerTimeout: -1 }, /Cannot wait -1 ms for a request's head/],
    ["a port that is none", { ...credentials, port: 70_000 }, /Cannot listen on port 70000/],
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
