import { afterAll, beforeAll } from "@std/testing/bdd";
import { Redis } from "ioredis";
import { createClient } from "redis";
import { RedisStore } from "../cache/redis_store.ts";
import { testSessionStore } from "../testing.ts";
import { needing } from "./outside_programs.ts";
import { RedisServer } from "./redis_server.ts";
import { thisRuntime } from "./server_support.ts";

const { describe, it } = needing(["redis-server"], "redis-server");

/** A store over a client of the program's, and the way to end that. */
interface ClientStore {
  store: RedisStore;
  end(): unknown;
}

// Bun's own client, as far as it is used here.
interface BunRedisClient {
  connect(): Promise<void>;
  send(name: string, parameters: string[]): Promise<unknown>;
  close(): void;
}

const clients: Record<string, (url: string) => Promise<ClientStore>> = {
  async "redis"(url) {
    const client = createClient({ url, disableOfflineQueue: true });
    await client.connect();
    return {
      store: new RedisStore({ sendCommand: (command) => client.sendCommand(command) }),
      end: () => client.close(),
    };
  },
  async "redis, told to answer with bytes"(url) {
    const client = createClient({ url, commandOptions: { typeMapping: { 36: Uint8Array, 43: Uint8Array } as never } });
    await client.connect();
    return {
      store: new RedisStore({ sendCommand: (command) => client.sendCommand(command) }),
      end: () => client.close(),
    };
  },
  async "ioredis"(url) {
    const redis = new Redis(url, { lazyConnect: true, enableOfflineQueue: false });
    await redis.connect();
    const store = new RedisStore({ sendCommand: ([name, ...rest]) => redis.call(name, ...rest) });
    return { store, end: () => redis.quit() };
  },
};
if (thisRuntime === "bun") {
  clients["Bun.RedisClient"] = async (url) => {
    const { RedisClient } =
      (globalThis as unknown as { Bun: { RedisClient: new (url: string) => BunRedisClient } }).Bun;
    const client = new RedisClient(url);
    await client.connect();
    const store = new RedisStore({ sendCommand: ([name, ...rest]) => client.send(name, rest) });
    return { store, end: () => client.close() };
  };
}

describe("RedisStore", () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  const byUrl = () => new RedisStore({ url: server.url });
  testSessionStore("by URL", byUrl, { describe, it, makeSecond: byUrl });

  for (const [name, open] of Object.entries(clients)) {
    const ends = new Map<RedisStore, () => unknown>();
    const make = async () => {
      const { store, end } = await open(server.url);
      ends.set(store, end);
      return store;
    };
    testSessionStore(`over ${name}`, make, {
      describe,
      it,
      makeSecond: make,
      async close(store) {
        await ends.get(store)?.();
        ends.delete(store);
      },
    });
  }
});
