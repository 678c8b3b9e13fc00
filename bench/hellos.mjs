// Part four: for how long one ClientHello of 64 KiB holds a server's thread.

import { fileURLToPath } from "node:url";
import { Program } from "./processes.mjs";
import { progress, timesTable } from "./report.mjs";

/**
 * @param runtimes `{ title, command }` for each runtime
 * @param plan `{ rounds }`
 * @returns the table
 */
export async function worstHellos(runtimes, plan) {
  const script = fileURLToPath(new URL("hellos.ts", import.meta.url));
  const columns = [];
  for (const { title, command } of runtimes) {
    progress(`hellos: ${title}`);
    const program = new Program(title, [...command, script]);
    await program.ask();
    // The first rounds are for the compilers.
    await program.ask("3");
    columns.push({ title, times: await program.ask(`${plan.rounds}`) });
    await program.stop();
  }
  progress("");
  return timesTable(columns);
}
