import { assertEquals } from "@std/assert";
import { afterAll, beforeAll } from "@std/testing/bdd";
import { Cluster } from "ioredis";
import { createCluster } from "redis";
import { RedisStore } from "../cache/redis_store.ts";
import { testSessionStore } from "../testing.ts";
import { needing } from "./outside_programs.ts";
import { RedisServer } from "./redis_server.ts";
import { within } from "./server_support.ts";

const { describe, it } = needing(["redis-server"], "redis-server");

/** Two servers that share the keys between them. */
async function startCluster(): Promise<RedisServer[]> {
  const parameters = [
    "--cluster-enabled",
    "yes",
    "--cluster-config-file",
    "nodes.conf",
    "--cluster-node-timeout",
    "5000",
  ];
  const servers: RedisServer[] = [];
  try {
    for (let index = 0; index < 2; index++) servers.push(await RedisServer.start(parameters, 55_000));
    const [first, second] = servers as [RedisServer, RedisServer];
    await first.command("CLUSTER", "ADDSLOTSRANGE", "0", "8191");
    await second.command("CLUSTER", "ADDSLOTSRANGE", "8192", "16383");
    await second.command("CLUSTER", "SET-CONFIG-EPOCH", "2");
    await first.command("CLUSTER", "MEET", "127.0.0.1", `${second.port}`);
    await within(Promise.all(servers.map(isWhole)), "the cluster to come together");
    return servers;
  } catch (error) {
    for (const server of servers) await server[Symbol.asyncDispose]();
    throw error;
  }
}

/** No event tells of it. */
async function isWhole(server: RedisServer): Promise<void> {
  for (;;) {
    const info = await server.command("CLUSTER", "INFO");
    if (/cluster_state:ok/.test(info) && /cluster_known_nodes:2/.test(info)) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("RedisStore over a cluster", () => {
  let servers: RedisServer[] = [];
  beforeAll(async () => {
    servers = await startCluster();
  });
  afterAll(async () => {
    for (const server of servers) await server[Symbol.asyncDispose]();
  });

  const ends = new Map<RedisStore, () => unknown>();
  const close = async (store: RedisStore) => {
    await ends.get(store)!();
  };

  const overRedis = async () => {
    const cluster = createCluster({ rootNodes: servers.map(({ url }) => ({ url })) });
    cluster.on("error", () => {});
    await cluster.connect();
    const store = new RedisStore({ sendCommand: (command) => cluster.sendCommand(command[1], false, command) });
    ends.set(store, () => cluster.close());
    return store;
  };
  testSessionStore("redis", overRedis, { describe, it, close, makeSecond: overRedis });

  const overIoredis = async () => {
    const cluster = new Cluster(servers.map(({ port }) => ({ host: "127.0.0.1", port })), { lazyConnect: true });
    await cluster.connect();
    const store = new RedisStore({ sendCommand: ([name, ...rest]) => cluster.call(name, ...rest) });
    ends.set(store, () => cluster.quit());
    return store;
  };
  testSessionStore("ioredis", overIoredis, { describe, it, close, makeSecond: overIoredis });

  it("has sessions on both servers", async () => {
    const store = await overIoredis();
    try {
      const keys = Array.from({ length: 40 }, (_, index) => `key ${index}`);
      for (const key of keys) await store.put(key, new Uint8Array([1]), new Date(Date.now() + 60_000));
      const sizes = await Promise.all(servers.map((server) => server.command("DBSIZE")));
      assertEquals(sizes.map((size) => parseInt(size.slice(1)) > 5), [true, true]);
    } finally {
      await close(store);
    }
  });
});
