import { Worker } from "node:worker_threads";
import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { handshakesOfAThread } from "./ssl_worker_load.ts";

/** What the worker answered, once it has ended. */
function answerOf(worker: Worker): Promise<number> {
  return new Promise((resolve, reject) => {
    let answer: number | undefined;
    worker.on("message", (message) => answer = message);
    worker.on("error", reject);
    worker.on("exit", () => answer === undefined ? reject(new Error("The worker said nothing")) : resolve(answer));
  });
}

describe("several threads", () => {
  it("each use the library for themselves, at once", async () => {
    const workers = [0, 1].map(() => new Worker(new URL("./ssl_worker.ts", import.meta.url)));
    const answers = workers.map(answerOf);
    // This thread does the same meanwhile: each one's contexts are freed while the others' callbacks are in place.
    assertEquals(handshakesOfAThread(), 100);
    assertEquals(await Promise.all(answers), [100, 100]);
    assertEquals(handshakesOfAThread(), 100);
  });
});
