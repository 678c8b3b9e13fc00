import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { writeFileSync } from "node:fs";
import { Authority } from "./authority.ts";
import { run } from "./curl_support.ts";
import { example, Served } from "./serve_support.ts";
import { runtimeNamed, TemporaryFolder } from "./server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";

/**
 * Programs of a server's URL and its authority's file. Each asks three times, on connections of its own, and writes what
 * it heard; then posts 1 MiB, and writes whether the same came back.
 */
const fetchingTwice = (perConnection: string) => `
  for (let visit = 0; visit < 3; visit++) console.log(await (await fetch(url, ${perConnection})).text());
  const body = new Uint8Array(1024 * 1024).map((_, index) => (index * 31) ^ (index >> 8));
  const answer = await fetch(url + "echo", { method: "POST", body, ...${perConnection} });
  const echoed = new Uint8Array(await answer.arrayBuffer());
  console.log(JSON.stringify({ isSame: echoed.length === body.length && body.every((byte, at) => byte === echoed[at]) }));`;

const onDeno = (http2: boolean) => `
  const [url, file] = Deno.args;
  const caCerts = [Deno.readTextFileSync(file)];
  using client = Deno.createHttpClient({ caCerts, http2: ${http2}, poolMaxIdlePerHost: 0 });
  ${fetchingTwice("{ client }")}`;

const clients: { name: string; runtime: string; alpnProtocol?: string; source: string }[] = [
  { name: "Deno's fetch, HTTP/1.1", runtime: "deno", alpnProtocol: "http/1.1", source: onDeno(false) },
  { name: "Deno's fetch, HTTP/2", runtime: "deno", alpnProtocol: "h2", source: onDeno(true) },
  {
    name: "Bun's fetch",
    runtime: "bun",
    alpnProtocol: "http/1.1",
    source: `
      const [url, file] = process.argv.slice(2);
      const tls = { ca: Bun.file(file) };
      ${fetchingTwice("{ tls, keepalive: false }")}`,
  },
  {
    // Its fetch takes no authority without the package undici.
    name: "Node's https",
    runtime: "node24",
    source: `
      import { request, Agent } from "node:https";
      import { readFileSync } from "node:fs";
      import { buffer } from "node:stream/consumers";
      const [url, file] = process.argv.slice(2);
      const agent = new Agent({ ca: readFileSync(file) });
      const fetch = (url, { method = "GET", body } = {}) => new Promise((resolve, reject) => {
        const headers = { connection: "close" };
        request(url, { agent, method, headers }, (response) => {
          const arrayBuffer = () => buffer(response);
          resolve({ arrayBuffer, text: async () => String(await arrayBuffer()) });
        }).once("error", reject).end(body);
      });
      ${fetchingTwice("{}")}`,
  },
];

describe("The runtimes' own clients and serve()", () => {
  for (const { name, runtime, alpnProtocol, source } of clients) {
    it(
      `${name}: three requests, of which two resume, and a body there and back`,
      leavingNothingLater(async () => {
        using folder = new TemporaryFolder();
        // rustls takes no authority's certificate for a server's.
        using authority = new Authority("an authority");
        writeFileSync(folder.file("ca.pem"), authority.chain);
        writeFileSync(folder.file("client.mjs"), source);
        await using server = await Served.start(example, authority.issue(["localhost"]));
        const { command, args } = await runtimeNamed(runtime);
        const url = `https://localhost:${server.port}/`;
        const { stdout, stderr } = await run(command, [...args, folder.file("client.mjs"), url, folder.file("ca.pem")]);
        const answers = stdout.trim().split("\n").map((line) => JSON.parse(line || "null"));
        const heard = answers.slice(0, 3).map((answer) => [
          answer?.method,
          answer?.url,
          answer?.tls.serverName,
          answer?.tls.alpnProtocol,
          answer?.tls.isResumed,
        ]);
        const expected = [false, true, true].map((isResumed) => ["GET", url, "localhost", alpnProtocol, isResumed]);
        assertEquals(heard, expected, stderr);
        assertEquals(answers.slice(3), [{ isSame: true }], stderr);
        const { accepted, requests, resumed } = server.server.stats();
        assertEquals([accepted, requests, resumed, server.errors], [4, 4, 3, []]);
      }),
    );
  }
});
