import { assertEquals, assertMatch } from "@std/assert";
import { needing } from "./outside_programs.ts";
import { RedisServer } from "./redis_server.ts";
import { output, ownRuntime, Program, runtimeNamed } from "./server_support.ts";
import "./support.ts";

const { describe, it } = needing(["redis-server"], "redis-server");

describe("examples/demo.ts", () => {
  it("goes as expected with Redis for a store, and leaves nothing readable there", async () => {
    await using redis = await RedisServer.start();
    const env = {
      OPENSSL_SESSIONS_DENO: (await runtimeNamed("deno")).command,
      OPENSSL_SESSIONS_BUN: (await runtimeNamed("bun")).command,
    };
    const { command, args } = ownRuntime();
    const { code, stdout, stderr } = await output(
      new Program(command, [...args, "examples/demo.ts", redis.url], { env }),
    );
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout, /\n10 of 10 as expected\n$/);
    assertMatch(await redis.command("KEYS", "*"), /openssl-sessions:[0-9a-f]{64}/);
  });
});
