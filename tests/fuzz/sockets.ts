import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import process from "node:process";
import { listen, MemoryStore, serve, type Server, SessionCache } from "../../mod.ts";
import { until, within } from "../server_support.ts";
import { credentials } from "../support.ts";
import { FuzzClient } from "./fuzz_client.ts";
import type { Random } from "./random.ts";
import type { Target } from "./target.ts";

/** What nobody caught: a find in itself. */
const uncaught: unknown[] = [];
const note = (reason: unknown) => void uncaught.push(reason);

const limits = { handshakeTimeout: 400, idleTimeout: 400, maxConnectionsPerAddress: 1000 };

/**
 * Clients of listen() and serve() over real sockets that say what they should, or damage it, and end or reset at any
 * point. One that does all well is answered afterwards, and no connection is left.
 */
export const sockets: Target = {
  name: "sockets",
  async run(random) {
    process.on("unhandledRejection", note);
    const servers = [await echo(random), await http(random)];
    try {
      const clients = Array.from({ length: random.between(5, 20) }, async () => {
        const server = random.pick(servers);
        using client = new FuzzClient(random, server.port);
        await client.misbehave();
      });
      await within(Promise.all(clients), "the clients to have done their worst");
      for (const server of servers) {
        using client = new FuzzClient(random, server.port);
        const answer = await within(client.behave(), "the answer to a client that does all well");
        assert(/^(GET|HTTP\/1.1 200)/.test(answer), `It was answered ${JSON.stringify(answer)}`);
      }
      for (const server of servers) await until(() => server.connections === 0, "the end of all connections");
    } finally {
      for (const server of servers) await within(server.close({ grace: 0 }), "the end of a server");
      process.off("unhandledRejection", note);
    }
    assertEquals(uncaught.splice(0), []);
  },
};

function sessionsOf(random: Random): SessionCache {
  const inner = new MemoryStore();
  if (random.oneIn(2)) return new SessionCache({ store: inner });
  // A store that takes its time, and fails now and then.
  const later = async <T>(answer: () => T): Promise<T> => {
    await new Promise((resolve) => setTimeout(resolve, random.below(5)));
    if (random.oneIn(6)) throw new Error("The store fails");
    return answer();
  };
  return new SessionCache({
    store: {
      get: (key) => later(() => inner.get(key)),
      take: (key) => later(() => inner.take(key)),
      put: (key, value, expires) => later(() => inner.put(key, value, expires)),
      delete: (key) => later(() => inner.delete(key)),
    },
    lookupTimeout: 50,
  });
}

async function echo(random: Random): Promise<Server> {
  const options = { ...credentials, ...limits, hostname: "127.0.0.1", sessions: sessionsOf(random), onError() {} };
  if (random.oneIn(2)) return await listen(options, (stream) => void stream.pipe(stream));
  return await listen(options, {
    data: (socket, bytes) => void (socket.write(bytes) || socket.pause()),
    drain: (socket) => socket.resume(),
  });
}

async function http(random: Random): Promise<Server> {
  const options = { ...credentials, ...limits, headerTimeout: 400, hostname: "127.0.0.1", onError() {} };
  return await serve({ ...options, sessions: sessionsOf(random) }, async (request) => {
    const body = await request.text();
    return new Response(Buffer.from(body).subarray(0, 1000), { headers: { connection: "close" } });
  });
}
