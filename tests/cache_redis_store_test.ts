import { assert, assertEquals, assertFalse, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { afterAll, beforeAll } from "@std/testing/bdd";
import { describe as describeAlways, it as itAlways } from "@std/testing/bdd";
import { Redis } from "ioredis";
import { inspect } from "node:util";
import { RedisStore, type RedisStoreOptions } from "../cache/redis_store.ts";
import { needing } from "./outside_programs.ts";
import { RedisServer } from "./redis_server.ts";
import { bytes } from "./support.ts";

const { describe, it } = needing(["redis-server"], "redis-server");
const value = bytes("a session of some client");
const inBase64 = "YSBzZXNzaW9uIG9mIHNvbWUgY2xpZW50";
const later = (milliseconds = 60_000) => new Date(Date.now() + milliseconds);
const text = (value: Uint8Array | undefined) => value && new TextDecoder().decode(value);

describeAlways("RedisStore's options", () => {
  itAlways("are a URL or a function, and not both", () => {
    const sendCommand = () => Promise.resolve("OK");
    assertThrows(() => new RedisStore({}), TypeError, "give either url or sendCommand");
    assertThrows(() => new RedisStore({ url: "redis://localhost", sendCommand }), TypeError, "give either url or");
  });

  itAlways("are refused where the URL is none of Redis, without showing the password", () => {
    for (const url of ["", "localhost:6379", "http://user:hunter2@localhost", "//user:hunter2@localhost:6379"]) {
      const error = assertThrows(() => new RedisStore({ url }), TypeError, "it is like redis://HOST:PORT");
      assertFalse(inspect(error).includes("hunter2"));
    }
  });

  itAlways("take a timeout that timers can be set to", () => {
    for (const timeout of [0, -1, NaN, Infinity, 2 ** 31]) {
      assertThrows(
        () => new RedisStore({ url: "redis://localhost", timeout }),
        RangeError,
        `not ${timeout}`,
      );
    }
  });

  itAlways("connect to nothing", async () => {
    const store = new RedisStore({ url: "redis://localhost:1" });
    await store.close();
    await store.close();
    await assertRejects(() => store.get("aa"), Error, "The connection to Redis was closed");
  });
});

/** A client of the tests' own, to look at what is in Redis. */
async function withClient<T>(server: RedisServer, use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(server.url, { lazyConnect: true });
  try {
    await redis.connect();
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}

describe("RedisStore in Redis", () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });
  const open = (options: RedisStoreOptions = {}) => new RedisStore({ url: server.url, ...options });

  it("keeps base64 text under a prefix, until it expires", async () => {
    await using store = open();
    await store.put("aa", value, later(50_000));
    await withClient(server, async (redis) => {
      assertEquals(await redis.get("openssl-sessions:aa"), inBase64);
      const milliseconds = await redis.pttl("openssl-sessions:aa");
      assert(milliseconds > 40_000 && milliseconds <= 50_000, `${milliseconds} ms`);
    });
  });

  it("leaves nothing in place of what it replaced by something expired", async () => {
    await using store = open();
    await store.put("gone", value, later());
    await store.put("gone", value, later(-1));
    await withClient(server, async (redis) => assertEquals(await redis.exists("openssl-sessions:gone"), 0));
  });

  it("keeps stores with different prefixes apart", async () => {
    await using one = open({ prefix: "one:" });
    await using two = open({ prefix: "two:" });
    await one.put("aa", value, later());
    assertEquals(await two.take("aa"), undefined);
    assertEquals(text(await one.take("aa")), text(value));
  });

  it("can use the database that the URL names", async () => {
    await using store = new RedisStore({ url: `${server.url}/3` });
    await store.put("third", value, later());
    await withClient(server, async (redis) => {
      assertEquals(await redis.exists("openssl-sessions:third"), 0);
      await redis.select(3);
      assertEquals(await redis.exists("openssl-sessions:third"), 1);
    });
  });

  it("takes what an aborted lookup did not ask for any more", async () => {
    await using store = open();
    await store.put("wanted", value, later());
    const reason = new Error("nobody waits");
    const error = await assertRejects(() => store.take("wanted", { signal: AbortSignal.abort(reason) }));
    assertEquals(error, reason);
    assertEquals(text(await store.take("wanted")), text(value));
  });

  it("lists all of its own, however much that is, and nothing else", async () => {
    await using store = open({ prefix: "li[s]t*:" });
    await using other = open({ prefix: "list*:" });
    const keys = Array.from({ length: 1200 }, (_, index) => `${index}`);
    await Promise.all(keys.map((key) => store.put(key, bytes(`value ${key}`), later())));
    await other.put("not mine", value, later());
    const listed = new Map<string, string>();
    for await (const [key, value] of store.entries!()) listed.set(key, text(value)!);
    assertEquals([...listed.keys()].sort(), keys.sort());
    assertEquals(listed.get("1199"), "value 1199");
  });

  it("lists nothing over a client, which may be a cluster's", () => {
    assertEquals(new RedisStore({ sendCommand: () => Promise.resolve(null) }).entries, undefined);
  });

  it("waits for what is under way when it is closed, and refuses what comes after", async () => {
    const store = open();
    const answers = Array.from({ length: 20 }, (_, index) => store.put(`last ${index}`, value, later()));
    await answers[0];
    const more = store.put("last of all", value, later());
    await store.close();
    await Promise.all([...answers, more]);
    await assertRejects(() => store.get("last 0"), Error, "The connection to Redis was closed");
    await withClient(server, async (redis) => assertEquals(await redis.exists("openssl-sessions:last of all"), 1));
  });

  it("rejects when there is something else under the key", async () => {
    await using store = open();
    await withClient(server, async (redis) => {
      await redis.set("openssl-sessions:text", "hello, world");
      await redis.lpush("openssl-sessions:list", "hello");
    });
    await assertRejects(
      () => store.get("text"),
      TypeError,
      "something under the key that this store has not put there",
    );
    await assertRejects(() => store.get("list"), Error, "Redis failed to GET: WRONGTYPE");
  });

  it("says so when sendCommand answers nothing", async () => {
    const store = new RedisStore({ sendCommand: () => Promise.resolve(undefined) });
    await assertRejects(() => store.put("aa", value, later()), TypeError, "Is it sendCommand?");
  });

  it("rejects with what sendCommand throws at once", async () => {
    const sendCommand = () => {
      throw new Error("not today");
    };
    await assertRejects(() => new RedisStore({ sendCommand }).get("aa"), Error, "Redis failed to GET: not today");
  });
});

describe("RedisStore in a Redis that lacks something", () => {
  it("says that Redis 6.2 is needed where there is no GETDEL", async () => {
    await using server = await RedisServer.start(["--rename-command", "GETDEL", ""]);
    await using store = new RedisStore({ url: server.url });
    await assertRejects(() => store.ready(), Error, "It must be Redis 6.2 or newer, or Valkey");
    await store.put("aa", value, later());
    await assertRejects(() => store.take("aa"), Error, "It must be Redis 6.2 or newer, or Valkey");
    assertEquals(text(await store.get("aa")), text(value));
  });

  it("shows no session in an error", async () => {
    await using server = await RedisServer.start(["--rename-command", "SET", ""]);
    await using byUrl = new RedisStore({ url: server.url });
    await withClient(server, async (redis) => {
      const overClient = new RedisStore({ sendCommand: ([name, ...rest]) => redis.call(name, ...rest) });
      for (const store of [byUrl, overClient]) {
        const error = await assertRejects(() => store.put("aa", value, later()), Error, "unknown command");
        assertFalse(inspect(error, { depth: 9, showHidden: true }).includes(inBase64.slice(0, 8)));
      }
    });
  });

  it("needs the password, and does not show it", async () => {
    await using server = await RedisServer.start(["--requirepass", "swordfish"]);
    const url = (password: string) => `redis://:${password}@127.0.0.1:${server.port}`;
    await using right = new RedisStore({ url: url("swordfish") });
    await right.ready();
    await using wrong = new RedisStore({ url: url("hunter2") });
    const error = await assertRejects(() => wrong.ready(), Error, "WRONGPASS");
    assertStringIncludes(error.message, `Cannot connect to Redis at 127.0.0.1:${server.port}`);
    assertFalse(inspect(error, { depth: 9, showHidden: true }).includes("hunter2"));
  });

  it("reports what Redis has no room for", async () => {
    await using server = await RedisServer.start(["--maxmemory", "1mb", "--maxmemory-policy", "noeviction"]);
    await using store = new RedisStore({ url: server.url });
    await assertRejects(() => store.put("aa", new Uint8Array(2_000_000), later()), Error, "OOM");
  });
});
