// Part one: handshakes in one process, the library beside a loop in C.

import { fileURLToPath } from "node:url";
import { Program } from "./processes.mjs";
import { cases, progress } from "./report.mjs";

/** At most so many times what C takes. */
export const target = 1.10;

/**
 * @param loop the compiled handshakes.c
 * @param runtimes `{ title, command }` for each runtime
 * @param files the arguments: the certificate's and the key's file
 * @param plan `{ rounds, milliseconds, warmUp }`
 * @returns the rows of the table, C's first, and the OpenSSL that each found
 */
export async function inProcess(loop, runtimes, files, plan) {
  const script = fileURLToPath(new URL("handshakes.ts", import.meta.url));
  const programs = [
    { name: "C", program: new Program("C", [loop, ...files]) },
    ...runtimes.map(({ title, command }) => ({
      name: title,
      target,
      program: new Program(title, [...command, script, ...files]),
    })),
  ];
  const rows = [];
  const versions = [];
  for (const { name, target, program } of programs) {
    versions.push((await program.ask()).version);
    for (const { protocol, kind, title } of cases) {
      progress(`in process: warming up ${name}, ${title}`);
      await program.ask(`${protocol} ${kind} ${plan.warmUp}`);
    }
    rows.push({ name, target, rounds: cases.map(() => []) });
  }
  for (let round = 0; round < plan.rounds; round++) {
    for (const [index, { protocol, kind, title }] of cases.entries()) {
      progress(`in process: round ${round + 1} of ${plan.rounds}, ${title}`);
      // One after the other within a moment, so that what disturbs the machine disturbs them alike.
      for (const [row, { program }] of programs.entries()) {
        rows[row].rounds[index].push((await program.ask(`${protocol} ${kind} ${plan.milliseconds}`)).micros);
      }
    }
  }
  for (const { program } of programs) await program.stop();
  progress("");
  return { rows, versions };
}
