// Part three: serve() with a fetch handler, beside the TLS servers that the runtime has itself.

import { fileURLToPath } from "node:url";
import { downloadSpeed, requestsPerSecond } from "./http_clients.mjs";
import { Program, Trouble } from "./processes.mjs";
import { cases, comparison, progress } from "./report.mjs";

const threads = 4;

/** At most so much of the CPU time of node:https for a resumed connection. */
const cpuTarget = { most: 1.00 };

/** At least so much of the speed of the runtime's own server. */
const speedTarget = { least: 0.85 };

/**
 * What serve() is held against in each runtime, by the kinds of https_server.mjs. `own` are the versions of HTTP for
 * which it is the runtime's own server.
 */
const others = {
  deno: [{ kind: "deno", name: "Deno.serve", own: ["1.1", "2"] }, { kind: "node", name: "node:https", own: [] }],
  bun: [{ kind: "bun", name: "Bun.serve", own: ["1.1"] }, { kind: "node", name: "node:https", own: ["2"] }],
  node24: [
    { kind: "node", name: "node:https", own: ["1.1", "2"] },
    { kind: "hono", name: "@hono/node-server", own: ["1.1", "2"] },
  ],
};

/** The runtimes that are measured. */
export const servingRuntimes = Object.keys(others);

const loads = [
  { version: "1.1", connections: 10, atOnce: 1 },
  { version: "1.1", connections: 100, atOnce: 1 },
  { version: "1.1", connections: 10, atOnce: 10 },
  { version: "1.1", connections: 100, atOnce: 10 },
  { version: "2", connections: 10, atOnce: 10 },
  { version: "2", connections: 100, atOnce: 10 },
];

/** What is measured of each server: `{ title, unit, client, version, targetOver(other), measure(server, milliseconds) }`. */
function measuresOf(generator) {
  const speedTargetOver = (version) => ({ own }) => own.includes(version) ? speedTarget : undefined;
  return [
    ...cases.map(({ protocol, kind, title }) => ({
      title: `connection, ${title}`,
      unit: "µs",
      client: "load",
      version: "1.1",
      wantedShare: kind === "resumed" ? 1 : 0,
      targetOver: (other) => kind === "resumed" && other.kind === "node" ? cpuTarget : undefined,
      async measure({ ports, program }, milliseconds) {
        const line = `${ports.http1} ${program.pid} ${protocol} ${kind} ${milliseconds}`;
        const { connections, resumed, failures, failure, micros } = await generator.ask(line);
        if (failures > 0) throw new Trouble(`${failures} connections failed: ${failure}`);
        return { value: micros, resumed: resumed / connections };
      },
    })),
    ...loads.map((load) => ({
      title: `HTTP/${load.version}, ${load.connections} connections, ${load.atOnce} at once`,
      unit: "req/s",
      client: "h2load",
      version: load.version,
      targetOver: speedTargetOver(load.version),
      measure: async ({ ports }, milliseconds) => ({
        value: await requestsPerSecond(load.version === "2" ? ports.http2 : ports.http1, load, milliseconds),
      }),
    })),
    ...["1.1", "2"].map((version) => ({
      title: `HTTP/${version}, 1 GiB`,
      unit: "GB/s",
      client: "curl",
      version,
      targetOver: speedTargetOver(version),
      measure: async ({ ports }) => ({
        value: await downloadSpeed(version === "2" ? ports.http2 : ports.http1, version),
      }),
    })),
  ];
}

/**
 * @param load the compiled load.c
 * @param runtime `{ name, title, command }`
 * @param files the certificate's and the key's file
 * @param clients the names of the clients that are there, of h2load and curl
 * @param plan `{ rounds, milliseconds, warmUp }`
 * @param onTrouble handed what one server could not be measured in; it is left out of that line
 * @returns the table, whether every target was met, and which servers did not resume: `{ text, met, notes }`
 */
export async function besideOwn(load, { name, title, command }, files, clients, plan, onTrouble) {
  const script = fileURLToPath(new URL("https_server.mjs", import.meta.url));
  const servers = [];
  for (const { kind, name: serverName, own } of [{ kind: "ours", name: "serve()", own: [] }, ...others[name]]) {
    const program = new Program(`${title}, ${serverName}`, [...command, script, kind, ...files]);
    servers.push({ kind, name: serverName, own, program, ports: await program.ask() });
  }
  const generator = new Program("load generator", [load, String(threads)]);
  await generator.ask();
  const measures = measuresOf(generator).filter(({ client }) => client === "load" || clients.includes(client));
  const rows = measures.map(({ title, unit, targetOver }) => ({
    title,
    unit,
    targets: servers.slice(1).map(targetOver),
    rounds: servers.map(() => []),
  }));
  const shares = new Map();
  const failed = new Set();

  async function take(row, column, milliseconds) {
    const [one, server] = [measures[row], servers[column]];
    const place = `${server.name}, ${one.title}`;
    if (failed.has(place) || (one.version === "2" && server.ports.http2 === undefined)) return undefined;
    try {
      const { value, resumed } = await one.measure(server, milliseconds);
      if (resumed !== undefined && Math.abs(resumed - one.wantedShare) > 0.01) {
        if (column === 0) throw new Trouble(`${Math.round(resumed * 100)} % of the connections were resumed`);
        shares.set(place, resumed);
      }
      return value;
    } catch (error) {
      failed.add(place);
      if (!(error instanceof Trouble)) throw error;
      rows[row].rounds[column] = [];
      onTrouble(new Trouble(`${title}, ${place}: ${error.message}`));
      server.program.requireAlive();
      return undefined;
    }
  }

  for (const row of measures.keys()) {
    if (measures[row].client !== "load") continue;
    progress(`${title}: warming up, ${measures[row].title}`);
    for (const column of servers.keys()) await take(row, column, plan.warmUp);
  }
  for (let round = 0; round < plan.rounds; round++) {
    for (const [row, { title: what }] of measures.entries()) {
      progress(`${title}: round ${round + 1} of ${plan.rounds}, ${what}`);
      for (const column of servers.keys()) {
        const value = await take(row, column, plan.milliseconds);
        if (value !== undefined) rows[row].rounds[column].push(value);
      }
    }
  }
  await generator.stop();
  await Promise.all(servers.map(({ program }) => program.stop()));
  progress("");
  return {
    ...comparison(servers.map(({ name }) => name), rows),
    notes: [...shares].map(([place, share]) => `${place}: ${Math.round(share * 100)} % were resumed`),
  };
}
