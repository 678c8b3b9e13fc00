import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { RedisStore } from "../cache/redis_store.ts";
import { freePort, needing } from "./outside_programs.ts";
import { RedisServer } from "./redis_server.ts";
import { within } from "./server_support.ts";
import { bytes } from "./support.ts";

const { describe, it } = needing(["redis-server"], "redis-server");
const value = bytes("a session of some client");
const later = () => new Date(Date.now() + 60_000);

/** Asks until the store is well again. */
async function recovered(store: RedisStore): Promise<void> {
  const ask = async () => {
    for (;;) {
      try {
        return await store.ready();
      } catch {
        // It says when it tries again: in two seconds at most. Other work goes on.
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  };
  await within(ask(), "the store to connect again");
}

/** A store that remembers what it told the operator. */
function watched(url: string, timeout = 2000): { store: RedisStore; errors: string[] } {
  const errors: string[] = [];
  const store = new RedisStore({ url, timeout, onError: (error) => void errors.push(error.message) });
  return { store, errors };
}

describe("RedisStore while Redis is away", () => {
  it("fails when it cannot connect, and says so to the operator", async () => {
    const port = await freePort();
    const { store, errors } = watched(`redis://user:hunter2@127.0.0.1:${port}`);
    await using _ = store;
    const message = `Cannot connect to Redis at 127.0.0.1:${port}`;
    await assertRejects(() => store.get("aa"), Error, `Redis failed to GET: ${message}`);
    await assertRejects(() => store.ready(), Error, message);
    assertStringIncludes(errors[0]!, `${message}: `);
    assert(!errors[0]!.includes("hunter2"));
  });

  it("survives an operator's handler that throws", async () => {
    const onError = () => {
      throw new Error("the handler is broken");
    };
    await using store = new RedisStore({ url: `redis://127.0.0.1:${await freePort()}`, onError });
    await assertRejects(() => store.get("aa"), Error, "Cannot connect to Redis");
  });

  it("connects when Redis has come", async () => {
    await using server = await RedisServer.start();
    await server.stop();
    const { store } = watched(server.url);
    await using _ = store;
    await assertRejects(() => store.get("aa"), Error, "Cannot connect to Redis");
    await server.restart();
    await recovered(store);
    await store.put("aa", value, later());
    assertEquals((await store.take("aa"))?.length, value.length);
  });

  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    it(`fails when Redis ends by ${signal}, keeps no command for later, and connects again`, async () => {
      await using server = await RedisServer.start();
      const { store, errors } = watched(server.url);
      await using _ = store;
      await store.put("before", value, later());
      await server.stop(signal);
      for (let times = 0; times < 50; times++) await assertRejects(() => store.put("while away", value, later()));
      assertStringIncludes(errors[0]!, "was lost");
      assertStringIncludes(errors[1]!, "Cannot connect");
      await server.restart();
      await recovered(store);
      assertEquals(await store.get("while away"), undefined);
      await store.put("after", value, later());
      assertEquals((await store.take("after"))?.length, value.length);
    });
  }

  it("does not notice a restart between two commands", async () => {
    await using server = await RedisServer.start();
    let lost = () => {};
    const isLost = new Promise<void>((resolve) => lost = resolve);
    await using store = new RedisStore({ url: server.url, onError: () => lost() });
    await store.ready();
    await server.stop();
    await server.restart();
    await within(isLost, "the connection's end");
    assertEquals(await store.get("aa"), undefined);
  });
});

describe("RedisStore while Redis hangs", () => {
  it("gives up, lets the others fail at once, and goes on when Redis does", async () => {
    await using server = await RedisServer.start();
    const { store, errors } = watched(server.url, 300);
    await using _ = store;
    await store.put("aa", value, later());
    server.pause();
    await Promise.all([1, 2, 3].map(() => assertRejects(() => store.get("aa"), Error, "did not answer in 300 ms")));
    assertEquals(errors.length, 1);

    // One tries to connect, which the kernel makes look like success.
    let isSettled = false;
    const trying = assertRejects(() => store.get("aa"), Error, "did not answer in 300 ms").then(() => isSettled = true);
    for (let times = 0; times < 100; times++) await assertRejects(() => store.get("aa"), Error, "did not answer");
    assertEquals(isSettled, false);
    await trying;

    server.resume();
    await recovered(store);
    assertEquals((await store.get("aa"))?.length, value.length);
  });

  it("rejects with the reason of an abort", async () => {
    await using server = await RedisServer.start();
    const { store } = watched(server.url);
    await using _ = store;
    await store.ready();
    server.pause();
    const controller = new AbortController();
    const reason = new Error("nobody waits");
    const asking = assertRejects(() => store.get("aa", { signal: controller.signal }));
    controller.abort(reason);
    assertEquals(await asking, reason);
    server.resume();
  });

  it("rejects with the reason of an abort while it connects", async () => {
    await using server = await RedisServer.start();
    server.pause();
    const { store } = watched(server.url, 500);
    await using _ = store;
    const controller = new AbortController();
    const reason = new Error("nobody waits");
    const asking = assertRejects(() => store.take("aa", { signal: controller.signal }));
    controller.abort(reason);
    assertEquals(await asking, reason);
    server.resume();
  });

  it("can be closed", async () => {
    await using server = await RedisServer.start();
    const { store } = watched(server.url, 300);
    await store.ready();
    server.pause();
    const asking = assertRejects(() => store.get("aa"), Error, "did not answer in 300 ms");
    await within(store.close(), "the store to close");
    await asking;
    server.resume();
  });

  it("can be closed while it connects", async () => {
    await using server = await RedisServer.start();
    server.pause();
    const { store } = watched(server.url, 300);
    const asking = assertRejects(() => store.get("aa"), Error, "did not answer in 300 ms");
    await within(store.close(), "the store to close");
    await asking;
    server.resume();
  });
});
