import { assert, assertEquals, assertGreater } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { join } from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { curl, run } from "./curl_support.ts";
import { ownRuntime, Program, root, until } from "./server_support.ts";
import { Client, leavingNothingLater, TcpClient } from "./socket_support.ts";

/** A server with few file descriptors, and the limit on them real. */
class Starved {
  readonly program: Program;
  readonly port: number;

  private constructor(program: Program, port: number) {
    this.program = program;
    this.port = port;
  }

  static async start(kind: "listen" | "serve"): Promise<Starved> {
    const { command, args } = ownRuntime();
    const words = [command, ...args, join(root, "tests/descriptor_server.ts"), kind];
    const program = new Program("/bin/sh", ["-c", `ulimit -n 120; exec "$@"`, "sh", ...words]);
    const [, port] = await program.writes(/port (\d+)\n/);
    return new Starved(program, Number(port));
  }

  /** Has it do something; answers what it said to that. */
  async does(action: string): Promise<unknown> {
    const length = this.program.stdout.length;
    this.program.child.stdin!.write(action + "\n");
    await until(() => this.program.stdout.slice(length).endsWith("\n"), `an answer to ${action}`);
    const said = this.program.stdout.slice(length).slice(action.length).trim();
    return said === "" ? undefined : JSON.parse(said);
  }

  async stats(): Promise<{ acceptFailures: number; accepted: number; errors: string[] }> {
    return await this.does("stats") as { acceptFailures: number; accepted: number; errors: string[] };
  }

  /** Has no descriptor left until a client's connection has failed for it. */
  async starve(): Promise<void> {
    const { acceptFailures: before } = await this.stats();
    const clients: TcpClient[] = [];
    const end = performance.now() + 8_000;
    let stats = await this.stats();
    while (stats.acceptFailures === before && performance.now() < end) {
      // What ended a moment ago gives some back.
      assertEquals(await this.does("exhaust 0"), "EMFILE");
      clients.push(await TcpClient.connect(this.port));
      await setTimeout(50);
      stats = await this.stats();
    }
    for (const client of clients) await client[Symbol.asyncDispose]();
    assertGreater(stats.acceptFailures, before);
    const words = "accept: Cannot accept connections: the process has too many open files; raise the limit (ulimit -n)";
    assert(stats.errors.some((error) => error.startsWith(words)), stats.errors.join("\n"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
  }
}

if (process.platform === "linux") {
  describe("A server without file descriptors", () => {
    it(
      "tells the operator, and goes on when there are some again",
      leavingNothingLater(async () => {
        await using server = await Starved.start("listen");
        using client = new Client({ verify: "none" });
        await client.visit(server.port);
        await server.starve();
        await server.does("release");
        await client.visit(server.port);
        // A second time, as the first might have taken something with it.
        await server.starve();
        await server.does("release");
        await client.visit(server.port);
      }),
    );

    for (const option of ["--http1.1", "--http2"]) {
      it(
        `serves again when there are some, by ${option}`,
        leavingNothingLater(async () => {
          await using server = await Starved.start("serve");
          const url = `https://127.0.0.1:${server.port}/`;
          assertEquals(await curl("-k", option, url), "served\n");
          await server.starve();
          await server.does("release");
          assertEquals(await curl("-k", "--retry", "5", "--retry-all-errors", option, url), "served\n");
          // Enough for the client's connection, and not for what is behind it.
          for (let left = 1; left < 6; left++) {
            await server.does(`exhaust ${left}`);
            await run("curl", ["-k", "-s", "--max-time", "1", option, url]);
            await server.does("release");
          }
          assertEquals(await curl("-k", "--retry", "5", "--retry-all-errors", option, url), "served\n");
        }),
      );
    }
  });
}
