import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import process from "node:process";
import { root, runSelf } from "./process.ts";

/** How often each program is run. */
const times = Number(process.env.OPENSSL_SESSIONS_ENDS ?? 3);

const common = `
  import process from "node:process";
  import { Worker } from "node:worker_threads";
  const { shakeHands } = await import("${root}tests/ssl_thread_load.ts");
  const started = () => new Promise((resolve, reject) => {
    const worker = new Worker(new URL("${root}tests/ssl_endless_worker.ts"));
    worker.once("message", () => resolve(worker)).once("error", reject);
  });
`;

const programs: Record<string, string> = {
  "a process ends while two workers shake hands": `
    await Promise.all([started(), started()]);
    shakeHands("TLSv1.2");
    console.log("alive");
    process.exit();
  `,
  "a process ends by a callback of libssl's while a worker shakes hands": `
    await started();
    shakeHands("TLSv1.3", () => {
      console.log("alive");
      process.exit();
    });
  `,
  "a process ends while workers that shook hands end": `
    const workers = await Promise.all([started(), started()]);
    console.log("alive");
    for (const worker of workers) void worker.terminate();
    process.exit();
  `,
  "workers are ended while they shake hands, and the process goes on": `
    for (let n = 0; n < 4; n++) {
      const worker = await started();
      shakeHands("TLSv1.2");
      await worker.terminate();
      shakeHands("TLSv1.3");
    }
    console.log("alive");
  `,
};

describe("the end of a thread and of the process", () => {
  for (const [what, program] of Object.entries(programs)) {
    it(`${what}: ${times} times`, async () => {
      const flags = ["--allow-all", "--config=deno.json"];
      for (let n = 0; n < times; n++) {
        assertEquals(await runSelf(common + program, {}, flags), { code: 0, stdout: "alive\n", stderr: "" });
      }
    });
  }
});
