import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { example, Served } from "./serve_support.ts";
import { Program, runtimeNamed, until, within } from "./server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { versions } from "./support.ts";

/** Starts tests/http2_client.mjs on Node. */
async function clientThat(action: string, server: Served, version: string): Promise<Program> {
  const { command } = await runtimeNamed("node24");
  return new Program(command, ["tests/http2_client.mjs", String(server.port), action, version]);
}

const linesOf = ({ stdout }: Program) => stdout.trim().split("\n");

for (const version of versions) {
  describe(`${version}: a client of node:http2 and serve()`, () => {
    it(
      "make twenty requests at once, each with a body of its own, on one connection",
      leavingNothingLater(async () => {
        await using server = await Served.start(example);
        await using client = await clientThat("several", server, version);
        await client.end();
        assertEquals(linesOf(client), ["same 20", "closed"], client.stderr);
        const { accepted, requests, failedRequests } = server.server.stats();
        assertEquals([accepted, requests, failedRequests, server.errors], [1, 20, 0, []]);
      }),
    );

    it(
      "stream a request's body and its answer at the same time",
      leavingNothingLater(async () => {
        await using server = await Served.start(example);
        await using client = await clientThat("talk", server, version);
        await client.end();
        const heard = ["heard one", "heard two", "heard three"];
        assertEquals(linesOf(client), ["status 200", ...heard, "ended", "closed"], client.stderr);
      }),
    );

    it(
      "part by GOAWAY, with the answer that is under way",
      leavingNothingLater(async () => {
        const { promise: came, resolve: come } = Promise.withResolvers<void>();
        const { promise: answer, resolve: give } = Promise.withResolvers<Response>();
        const server = await Served.start((request) => {
          if (request.url.endsWith("/quick")) return new Response("at once");
          come();
          return answer;
        });
        await using client = await clientThat("wait", server, version);
        await within(came, "the request");
        const closed = server.server.close({ grace: 30_000 });
        await client.writes(/goaway 0/);
        assertEquals([client.stdout.includes("closed"), server.server.connections], [false, 1]);
        give(new Response("at last"));
        await client.end();
        // It ends by itself as there is nothing left that would keep it.
        assertEquals(new Set(linesOf(client)), new Set(["answer at once", "goaway 0", "answer at last", "closed"]));
        await within(closed, "the server to close");
        assertEquals([server.server.connections, server.errors], [0, []]);
      }),
    );

    it(
      "resume on a second connection",
      leavingNothingLater(async () => {
        await using server = await Served.start(example);
        await using client = await clientThat("resume", server, version);
        await client.end();
        assertEquals(linesOf(client), ["resumed false", "closed", "resumed true", "reused true", "closed"]);
        await until(() => server.server.connections === 0, "the connections to end");
        const { accepted, handshakes, resumed } = server.server.stats();
        assertEquals([accepted, handshakes, resumed], [2, 2, 1]);
      }),
    );
  });
}
