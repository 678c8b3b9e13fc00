import { assertEquals, assertLess } from "@std/assert";
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { needing } from "./outside_programs.ts";
import { Served } from "./serve_support.ts";
import { within } from "./server_support.ts";

const { describe, it } = needing(["curl"], "curl");
const MiB = 1024 * 1024;
const length = 256 * MiB;
const block0 = Buffer.from(Uint8Array.from({ length: MiB }, (_, index) => (index * 31) ^ (index >> 8)));

/** A MiB of a pattern that differs from MiB to MiB. */
function pattern(index: number): Buffer {
  const block = Buffer.from(block0);
  for (let at = 0; at < MiB; at += 4096) block.writeUInt32LE(Math.imul(index * 256 + at / 4096, 2654435761) >>> 0, at);
  return block;
}

const all = createHash("sha256");
for (let index = 0; index < length / MiB; index++) all.update(pattern(index));
const digest = all.digest("hex");

/** Waits until a count stands still, as it does when nobody reads: no event tells of it. */
async function standstill(count: () => number): Promise<number> {
  for (let last = -1;; last = count()) {
    await setTimeout(200);
    if (count() === last) return last;
  }
}

for (const [name, option] of [["HTTP/1.1", "--http1.1"], ["HTTP/2", "--http2"]] as const) {
  describe(`256 MiB by serve() and curl, ${name}`, () => {
    it("go down to a reader that pauses", async () => {
      let made = 0;
      await using server = await Served.start(() =>
        new Response(
          new ReadableStream<Uint8Array>({
            pull(controller) {
              if (made === length) return controller.close();
              controller.enqueue(pattern(made / MiB));
              made += MiB;
            },
          }, { highWaterMark: 0 }),
        )
      );
      const before = process.memoryUsage().rss;
      const child = spawn("curl", ["-sSk", option, server.url("/")], { stdio: ["ignore", "pipe", "inherit"] });
      const closed = once(child, "close");
      const hash = createHash("sha256");
      let read = 0, pauses = 0;
      for await (const chunk of child.stdout) {
        hash.update(chunk);
        read += chunk.length;
        if (pauses === 3 || read < (pauses + 1) * 64 * MiB) continue;
        pauses++;
        const ahead = await standstill(() => made) - read;
        const grown = process.memoryUsage().rss - before;
        assertLess(ahead, 64 * MiB);
        assertLess(grown, 128 * MiB);
      }
      assertEquals((await within(closed, "curl to end"))[0], 0);
      assertEquals([read, hash.digest("hex"), pauses], [length, digest, 3]);
      assertEquals(server.errors, []);
    });

    it("go up to a handler that pauses", async () => {
      let sent = 0, pauses = 0;
      let ahead = Infinity;
      await using server = await Served.start(async (request) => {
        const hash = createHash("sha256");
        let got = 0;
        for await (const chunk of request.body!) {
          hash.update(chunk);
          got += chunk.length;
          if (pauses > 0 || got < 32 * MiB) continue;
          pauses++;
          ahead = await standstill(() => sent) - got;
        }
        return new Response(`${got} ${hash.digest("hex")}`);
      });
      const args = ["-sSk", option, "-T", "-", "-X", "POST", server.url("/")];
      const child = spawn("curl", args, { stdio: ["pipe", "pipe", "inherit"] });
      let answer = "";
      child.stdout.setEncoding("utf8").on("data", (text: string) => answer += text);
      const closed = once(child, "close");
      for (; sent < length; sent += MiB) {
        if (!child.stdin.write(pattern(sent / MiB))) await once(child.stdin, "drain");
      }
      child.stdin.end();
      assertEquals((await within(closed, "curl to end", 40_000))[0], 0);
      assertEquals([answer, pauses], [`${length} ${digest}`, 1]);
      // What curl, the pipe and the system keep is among it.
      assertLess(ahead, 64 * MiB);
      assertEquals(server.errors, []);
    });
  });
}
