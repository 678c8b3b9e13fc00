import { assert, assertEquals } from "@std/assert";
import { RedisStore, SessionCache, type SessionCacheEvent } from "../mod.ts";
import { needing } from "./outside_programs.ts";
import { RedisServer } from "./redis_server.ts";
import { until } from "./server_support.ts";
import { Client, echo, leavingNothingLater, Server } from "./socket_support.ts";
import { versions } from "./support.ts";

const { describe, it } = needing(["redis-server"], "redis-server");
const secrets = ["a secret of this farm, for its tests"];

/** A server of its own, with a connection to Redis of its own. */
class FarmServer {
  readonly server: Server;
  readonly store: RedisStore;
  readonly cache: SessionCache;
  readonly events: SessionCacheEvent["type"][] = [];
  readonly failures: string[] = [];

  private constructor(server: Server, redis: RedisServer) {
    this.server = server;
    this.store = new RedisStore({ url: redis.url });
    this.cache = new SessionCache({
      store: this.store,
      secrets,
      lookupTimeout: 10_000,
      onEvent: ({ type }) => void this.events.push(type),
      onStoreError: (error) => void this.failures.push(error.operation),
    });
    server.cache.detach(server.context);
    this.cache.attach(server.context);
  }

  static async start(redis: RedisServer): Promise<FarmServer> {
    return new FarmServer(await Server.start(echo), redis);
  }

  /** A visit that is over when its new session is in Redis, if there is one. Whether it resumed. */
  async visit(client: Client, session = client.sessions.at(-1)): Promise<boolean> {
    const stored = () => this.events.filter((type) => type === "stored" || type === "not stored").length;
    const sessions = client.sessions.length;
    const before = stored();
    const { resumed } = await client.visit(this.server.port, session);
    // With TLS 1.2, a session that resumes goes on and there is no new one.
    if (client.sessions.length > sessions) await until(() => stored() > before, "the session to be stored");
    return resumed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
    await this.cache.close();
    await this.store.close();
  }
}

for (const version of versions) {
  describe(`${version}: SessionCache with a RedisStore`, () => {
    it(
      "resumes on one server what another has begun",
      leavingNothingLater(async () => {
        await using redis = await RedisServer.start();
        await using first = await FarmServer.start(redis);
        await using second = await FarmServer.start(redis);
        using client = new Client({ version });
        const resumed: boolean[] = [];
        for (const server of [first, second, first, second]) resumed.push(await server.visit(client));
        assertEquals(resumed, [false, true, true, true]);
        assertEquals([...first.failures, ...second.failures], []);
      }),
    );

    it(
      version === "TLSv1.3"
        ? "resumes a session once, wherever that is"
        : "resumes a session as often as it is offered",
      leavingNothingLater(async () => {
        await using redis = await RedisServer.start();
        await using first = await FarmServer.start(redis);
        await using second = await FarmServer.start(redis);
        using client = new Client({ version });
        await first.visit(client);
        const session = client.sessions.at(-1)!;
        const visits = [first, second, first, second].map((server) => server.visit(client, session));
        const resumed = (await Promise.all(visits)).filter((resumed) => resumed).length;
        assertEquals(resumed, version === "TLSv1.3" ? 1 : 4);
      }),
    );

    it(
      "serves every client while Redis is away, and resumes when it is back",
      leavingNothingLater(async () => {
        await using redis = await RedisServer.start();
        await using server = await FarmServer.start(redis);
        using client = new Client({ version });
        await server.visit(client);
        await redis.stop();
        assertEquals(await server.visit(client), false);
        assert(server.failures.includes(version === "TLSv1.3" ? "take" : "get"));
        assert(server.failures.includes("put"));
        await redis.restart();
        await until(() => {
          server.store.ready().then(() => server.failures.push("recovered"), () => {});
          return server.failures.includes("recovered");
        }, "the store to connect again");
        assertEquals(await server.visit(client), false);
        assertEquals(await server.visit(client), true);
      }),
    );
  });
}
