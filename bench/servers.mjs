// Part two: the server's CPU time for a connection with one request, listen() beside nginx.

import { fileURLToPath } from "node:url";
import { startNginx } from "./nginx.mjs";
import { Program, Trouble } from "./processes.mjs";
import { cases, progress } from "./report.mjs";

/** At most so many times what nginx takes. */
export const targets = { bun: 1.15, deno: 1.6, node24: 1.6, node26: 1.6 };

const threads = 4;

/**
 * @param load the compiled load.c
 * @param nginx what findNginx() answered
 * @param runtimes `{ name, title, command }` for each runtime
 * @param files the certificate's and the key's file
 * @param plan `{ rounds, milliseconds, warmUp }`
 * @returns the rows of the table, nginx's first where there is one
 */
export async function servers(load, nginx, runtimes, files, plan) {
  const script = fileURLToPath(new URL("server.ts", import.meta.url));
  const servers = [];
  if (nginx) servers.push({ name: nginx.title, ...await startNginx(nginx.path, files) });
  for (const { name, title, command } of runtimes) {
    const program = new Program(`${title}, server`, [...command, script, ...files]);
    servers.push({ name: title, target: targets[name], program, port: (await program.ask()).port });
  }
  const generator = new Program("load generator", [load, String(threads)]);
  await generator.ask();

  async function measure({ name, port, program }, { protocol, kind, title }, milliseconds) {
    const { connections, resumed, failures, failure, micros } = await generator.ask(
      `${port} ${program.pid} ${protocol} ${kind} ${milliseconds}`,
    );
    if (failures > 0) throw new Trouble(`${name}, ${title}: ${failures} connections failed: ${failure}`);
    const share = resumed / connections;
    if (kind === "resumed" ? !(share > 0.99) : share !== 0) {
      throw new Trouble(`${name}, ${title}: ${resumed} of ${connections} connections were resumed`);
    }
    return micros;
  }

  const rows = servers.map(({ name, target }) => ({ name, target, rounds: cases.map(() => []) }));
  for (const server of servers) {
    for (const one of cases) {
      progress(`servers: warming up ${server.name}, ${one.title}`);
      await measure(server, one, plan.warmUp);
    }
  }
  for (let round = 0; round < plan.rounds; round++) {
    for (const [index, one] of cases.entries()) {
      progress(`servers: round ${round + 1} of ${plan.rounds}, ${one.title}`);
      for (const [row, server] of servers.entries()) {
        rows[row].rounds[index].push(await measure(server, one, plan.milliseconds));
      }
    }
  }
  await generator.stop();
  await Promise.all(servers.map(({ program }) => program.stop()));
  progress("");
  return rows;
}
