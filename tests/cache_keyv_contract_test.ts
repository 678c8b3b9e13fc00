import { afterAll, beforeAll, describe, it } from "@std/testing/bdd";
import { KeyvMemcache } from "@keyv/memcache";
import { KeyvPostgres } from "@keyv/postgres";
import { Keyv } from "keyv";
import { Keyv as Keyv6 } from "keyv6";
import { KeyvStore } from "../cache/keyv_store.ts";
import { testSessionStore } from "../testing.ts";
import { MemcachedServer } from "./memcached_server.ts";
import { needing } from "./outside_programs.ts";
import { PostgresServer } from "./postgres_server.ts";

testSessionStore("KeyvStore over a Map, Keyv 5", () => new KeyvStore(new Keyv()), { describe, it, take: false });
testSessionStore("KeyvStore over a Map, Keyv 6", () => new KeyvStore(new Keyv6()), { describe, it, take: false });

const withMemcached = needing(["memcached"], "memcached");
withMemcached.describe("KeyvStore over memcached", () => {
  let server: MemcachedServer;
  beforeAll(async () => {
    server = await MemcachedServer.start();
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });
  for (const [version, Class] of [[5, Keyv], [6, Keyv6 as unknown as typeof Keyv]] as const) {
    const adapters = new Map<KeyvStore, KeyvMemcache>();
    const make = () => {
      const adapter = new KeyvMemcache(`127.0.0.1:${server.port}`);
      const store = new KeyvStore(new Class({ store: adapter }));
      adapters.set(store, adapter);
      return store;
    };
    testSessionStore(`Keyv ${version}`, make, {
      ...withMemcached,
      take: false,
      makeSecond: make,
      close: (store) => adapters.get(store)!.client.close(),
    });
  }
});

const withPostgres = needing(["initdb", "postgres"], "postgresql");
withPostgres.describe("KeyvStore over PostgreSQL", () => {
  let server: PostgresServer;
  let keyv: Keyv;
  beforeAll(async () => {
    server = await PostgresServer.start();
    keyv = new Keyv({ store: new KeyvPostgres({ uri: server.url }) });
  });
  afterAll(async () => {
    await keyv.disconnect();
    await server[Symbol.asyncDispose]();
  });
  // The adapter has one pool for all, which opens connections in one test and uses them in the next.
  testSessionStore("Keyv 5", () => new KeyvStore(keyv), { ...withPostgres, take: false });
});
