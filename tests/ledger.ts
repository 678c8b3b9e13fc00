/** The ledger: whatever a file's tests do, none of libssl's objects is left when they are over. support.ts opens it. */

import { assertEquals } from "@std/assert";
import { afterAll } from "@std/testing/bdd";
import { setTimeout } from "node:timers/promises";
import { closeLibrary } from "../mod.ts";
import { counts } from "./counts.ts";

/** Opens the ledger of this file: what lives now may live on, and nothing else. */
export function openLedger(): void {
  const before = counts();
  afterAll(async () => {
    // Sockets that a test has closed may be gone a moment later.
    const end = performance.now() + 5000;
    while (JSON.stringify(counts()) !== JSON.stringify(before) && performance.now() < end) {
      try {
        // Gives back what is kept for the whole program.
        closeLibrary();
      } catch {
        // Something is held: it is counted.
      }
      await setTimeout(5);
    }
    assertEquals(counts(), before, "Of libssl's objects, some were left");
  });
}
