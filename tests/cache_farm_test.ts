import { writeFileSync } from "node:fs";
import { assert, assertEquals, assertGreater } from "@std/assert";
import type { Session } from "../mod.ts";
import { needing } from "./outside_programs.ts";
import { RedisServer } from "./redis_server.ts";
import { ownRuntime, Program, TemporaryFolder, within } from "./server_support.ts";
import { Client, Recording } from "./socket_support.ts";
import { bytes, credentials, versions } from "./support.ts";

const { describe, it } = needing(["redis-server"], "redis-server");

/** Server processes with one Redis. */
class Farm {
  readonly redis: RedisServer;
  readonly #folder = new TemporaryFolder();
  readonly #programs: Program[] = [];

  private constructor(redis: RedisServer) {
    this.redis = redis;
    writeFileSync(this.#folder.file("cert.pem"), credentials.certificate);
    writeFileSync(this.#folder.file("key.pem"), credentials.privateKey);
  }

  static async start(): Promise<Farm> {
    return new Farm(await RedisServer.start());
  }

  /** Starts a server; answers its port, and how to stop it. */
  async add(secrets: string): Promise<{ port: number; program: Program }> {
    const program = Program.run(ownRuntime(), "tests/farm_server.ts", [
      ...[this.redis.url, secrets, this.#folder.file("cert.pem"), this.#folder.file("key.pem")],
    ]);
    this.#programs.push(program);
    const [, port] = await program.writes(/^port (\d+)$/m);
    return { port: Number(port), program };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const program of this.#programs) await program[Symbol.asyncDispose]();
    await this.redis[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }
}

/** One connection that waits for its answer, and so for its ticket. Whether it resumed. */
async function visit(client: Client, port: number, session: Session | undefined): Promise<boolean> {
  const recording = new Recording();
  const socket = await client.connect(port, recording.handlers, session ? { session } : {});
  const resumed = socket.isResumed;
  socket.write(bytes("question"));
  assertEquals(await within(recording.closed, "the answer"), undefined);
  assertEquals(recording.text, "answer");
  return resumed;
}

/** Makes a full handshake, and comes back until the store has its session: TLS 1.2 does not wait for that. */
async function begin(client: Client, port: number): Promise<void> {
  assertEquals(await visit(client, port, undefined), false);
  let resumed = false;
  while (!resumed) resumed = await visit(client, port, keepLast(client));
}

/** Lets all sessions go but the last. */
function keepLast(client: Client): Session {
  for (const session of client.sessions.splice(0, client.sessions.length - 1)) session.dispose();
  return client.sessions[0]!;
}

describe("two server processes with one Redis", () => {
  it("that race a thousand times for one TLS 1.3 ticket resume it a thousand times", async () => {
    await using farm = await Farm.start();
    const servers = [await farm.add("the secret of the farm"), await farm.add("the secret of the farm")];
    using client = new Client({ version: "TLSv1.3" });
    await visit(client, servers[0]!.port, undefined);
    let resumptions = 0;
    for (let round = 0; round < 1000; round++) {
      const ticket = keepLast(client);
      const resumed = await Promise.all(servers.map(({ port }) => visit(client, port, ticket)));
      resumptions += resumed.filter(Boolean).length;
    }
    assertEquals(resumptions, 1000);
  });

  it("go through a rotation of secrets in three steps without a full handshake", async () => {
    const [old, next] = ["the old secret of the farm", "the next secret of the farm"];
    await using farm = await Farm.start();
    let servers = [await farm.add(old), await farm.add(old)];
    for (const version of versions) {
      using client = new Client({ version });
      await begin(client, servers[1]!.port);
      for (const secrets of [`${old},${next}`, `${next},${old}`, next]) {
        for (const index of [0, 1]) {
          await servers[index]!.program[Symbol.asyncDispose]();
          servers[index] = await farm.add(secrets);
          // What was sealed with the old secret is due for a full handshake when it is dropped, and not before.
          if (secrets === next && index === 0) await begin(client, servers[1]!.port);
          for (const { port } of [...servers, ...servers]) {
            assertEquals(await visit(client, port, keepLast(client)), true, `${version}, ${secrets}`);
          }
        }
      }
      for (const { program } of servers) {
        assertEquals(program.stdout.replace(/^port \d+\n/, ""), "");
        await program[Symbol.asyncDispose]();
      }
      servers = [await farm.add(old), await farm.add(old)];
    }
  });

  it("lose no connection while Redis is killed and started anew, and resume again by themselves", async () => {
    await using farm = await Farm.start();
    const servers = [await farm.add("the secret of the farm"), await farm.add("the secret of the farm")];
    const log: boolean[] = [];
    let stop = false;
    async function visitAllTheTime(index: number): Promise<void> {
      using client = new Client({ version: versions[index % versions.length]! });
      while (!stop) {
        const session = client.sessions.length > 0 ? keepLast(client) : undefined;
        log.push(await visit(client, servers[index % 2]!.port, session));
      }
    }
    const visitors = Promise.all([0, 1, 2, 3].map(visitAllTheTime));
    /** Waits until the last visits went like this. */
    const last = (count: number, resumed: boolean) =>
      within(
        (async () => {
          const from = log.length;
          while (log.slice(from).filter((visit) => visit === resumed).length < count) {
            await new Promise((resolve) => setTimeout(resolve, 10));
          }
        })(),
        `${count} visits that ${resumed ? "resume" : "do not"}`,
        60_000,
      );
    try {
      await last(20, true);
      for (let outage = 0; outage < 2; outage++) {
        await farm.redis.stop();
        await last(20, false);
        await farm.redis.restart();
        await last(20, true);
      }
    } finally {
      stop = true;
      await visitors;
    }
    assertGreater(log.length, 100);
    for (const { program } of servers) {
      assert(!/unhandled|failed/.test(program.stdout.replaceAll("failed to", "")), program.stdout);
      assert(program.stdout.includes("The session store failed to"), "The operator was told nothing");
    }
  });
});
