// `npm run bench`: what this library costs over OpenSSL itself, in process and in a server, and serve() beside the
// runtimes' own servers. `--quick` takes four minutes.

import { spawnSync } from "node:child_process";
import { cpus, release } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { findRuntime, runtimeNames } from "../tasks/runtimes.mjs";
import { setUpOrExit } from "../tasks/setup.mjs";
import { compile, compilerTitle } from "./build.mjs";
import { worstHellos } from "./hellos.mjs";
import { findHttpClients } from "./http_clients.mjs";
import { inProcess } from "./in_process.mjs";
import { findNginx } from "./nginx.mjs";
import { temporaryFolder, Trouble } from "./processes.mjs";
import { cases, plainTable, progress, table } from "./report.mjs";
import { besideOwn, servingRuntimes } from "./serve.mjs";
import { servers } from "./servers.mjs";

const thorough = {
  inProcess: { rounds: 60, milliseconds: 50, warmUp: 1000 },
  servers: { rounds: 7, milliseconds: 500, warmUp: 1000 },
  serve: { rounds: 3, milliseconds: 500, warmUp: 1000 },
  hellos: { rounds: 15 },
};
const quick = {
  inProcess: { rounds: 16, milliseconds: 25, warmUp: 400 },
  servers: { rounds: 2, milliseconds: 250, warmUp: 400 },
  serve: { rounds: 1, milliseconds: 250, warmUp: 400 },
  hellos: { rounds: 5 },
};

const parts = ["in-process", "servers", "serve", "hellos"];

function usage() {
  console.log(`npm run bench                     some twelve minutes
npm run bench -- --quick          some four
npm run bench -- --only PART      one of ${parts.join(", ")}`);
}

function parse() {
  try {
    const { values } = parseArgs({
      options: { quick: { type: "boolean" }, only: { type: "string" }, help: { type: "boolean" } },
    });
    if (values.only === undefined || parts.includes(values.only)) return values;
  } catch {
    // It is told below.
  }
  return undefined;
}

const parameters = parse();
if (!parameters || parameters.help) {
  usage();
  process.exit(parameters ? 0 : 2);
}
const plan = parameters.quick ? quick : thorough;

function wants(part) {
  return parameters.only === undefined || parameters.only === part;
}

/** What could not be measured. The run goes on without it, and ends with exit code 1. */
const troubles = [];

function trouble(error) {
  if (!(error instanceof Trouble)) throw error;
  progress("");
  troubles.push(error.message);
  console.log(`  ${error.message.replaceAll("\n", "\n  ")}\n`);
}

function findRuntimes() {
  const found = [];
  for (const name of runtimeNames) {
    try {
      const { title, path } = findRuntime(name);
      found.push({
        name,
        title,
        command: name === "deno" ? [path, "run", "-A", "--no-prompt", "--node-modules-dir=manual"] : [path],
      });
    } catch (error) {
      trouble(new Trouble(error.message));
    }
  }
  return found;
}

/** One certificate for all: P-256, made by the library. */
function makeCertificate({ command }) {
  const files = [join(temporaryFolder(), "certificate.pem"), join(temporaryFolder(), "key.pem")];
  const script = fileURLToPath(new URL("certificate.ts", import.meta.url));
  const { status, stderr } = spawnSync(command[0], [...command.slice(1), script, ...files], { encoding: "utf8" });
  if (status !== 0) throw new Trouble(`Cannot make a certificate:\n${stderr.trim()}`);
  return files;
}

/** How long a part will take, for who waits for it. */
function duration({ rounds, milliseconds, warmUp }, programs) {
  return `${Math.ceil((rounds * milliseconds + warmUp) * cases.length * programs / 1000)} s`;
}

const note =
  "µs and the ratio to the first line; * misses the target. Lower quartiles of rounds in which all take turns.";

async function showInProcess(runtimes, files) {
  const time = duration(plan.inProcess, runtimes.length + 1);
  console.log(`One handshake in one process, both ends over memory BIOs, with the store's callbacks (${time})\n`);
  try {
    const loop = compile("handshakes");
    const { rows, versions } = await inProcess(loop, runtimes, files, plan.inProcess);
    const { text, met } = table(rows);
    console.log(`${text}\n`);
    if (new Set(versions).size > 1) console.log(`  Not the same OpenSSL: ${[...new Set(versions)].join(", ")}\n`);
    return met;
  } catch (error) {
    trouble(error);
    return true;
  }
}

async function showServers(nginx, runtimes, files) {
  const time = duration(plan.servers, runtimes.length + (nginx ? 1 : 0));
  console.log(`Server's CPU time for a connection with one HTTP request, sessions in memory, tickets off (${time})\n`);
  try {
    if (process.platform !== "linux") throw new Trouble("Only Linux lets one process read another's CPU clock.");
    const rows = await servers(compile("load"), nginx, runtimes, files, plan.servers);
    if (nginx) {
      const { text, met } = table(rows);
      console.log(`${text}\n`);
      return met;
    }
    console.log(`${plainTable(rows)}\n`);
    throw new Trouble("There is no nginx to compare with. Install it: apt-get install nginx-light");
  } catch (error) {
    trouble(error);
    return true;
  }
}

const serveNote =
  "Figures are medians of rounds, ratios medians of each round's ratio, serve() to the other; * misses the target.\n" +
  "HTTP/2 of node:https and @hono/node-server is node:http2's. Connections are the server's CPU time for one with one " +
  "request.\n";

async function showServe(runtimes, files) {
  console.log("serve() with a fetch handler, beside the runtime's own TLS servers\n");
  let met = true;
  try {
    if (process.platform !== "linux") throw new Trouble("Only Linux lets one process read another's CPU clock.");
    const load = compile("load");
    const clients = await findHttpClients(trouble);
    if (clients.length > 0) console.log(`${clients.map(({ title }) => title).join(", ")}\n`);
    const names = clients.map(({ name }) => name);
    for (const runtime of runtimes.filter(({ name }) => servingRuntimes.includes(name))) {
      try {
        const { text, met: metHere, notes } = await besideOwn(load, runtime, files, names, plan.serve, trouble);
        console.log(`${runtime.title}\n\n${text}\n`);
        for (const note of notes) console.log(`  ${note}`);
        if (notes.length > 0) console.log();
        if (!metHere) met = false;
      } catch (error) {
        trouble(error);
      }
    }
    console.log(serveNote);
  } catch (error) {
    trouble(error);
  }
  return met;
}

async function showHellos(runtimes) {
  console.log("For how long one ClientHello holds a server that asks for certificates and seals its sessions\n");
  try {
    console.log(`${await worstHellos(runtimes, plan.hellos)}\n`);
  } catch (error) {
    trouble(error);
  }
}

await setUpOrExit();
const started = Date.now();
try {
  const compilerName = compilerTitle();
  const runtimes = findRuntimes();
  if (runtimes.length === 0) throw new Trouble("There is no runtime to measure.");
  const nginx = wants("servers") ? findNginx() : undefined;
  console.log(`${cpus()[0]?.model.trim()}, ${cpus().length} cores, ${process.platform} ${release()}`);
  console.log([compilerName, ...runtimes.map(({ title }) => title)].join(", "));
  if (nginx) console.log(`${nginx.title} with ${nginx.openssl}`);
  const files = makeCertificate(runtimes[0]);
  console.log();
  const met = [];
  if (wants("in-process")) met.push(await showInProcess(runtimes, files));
  if (wants("servers")) met.push(await showServers(nginx, runtimes, files));
  if (wants("in-process") || wants("servers")) console.log(`${note}\n`);
  if (wants("serve")) met.push(await showServe(runtimes, files));
  if (wants("hellos")) await showHellos(runtimes);
  if (met.includes(false)) console.log("Not every target was met.");
  else if (troubles.length === 0) console.log("Every target was met.");
} catch (error) {
  trouble(error);
}
if (troubles.length > 0) console.log("Not everything could be measured: see above.");
console.log(`${Math.round((Date.now() - started) / 1000)} s`);
process.exit(troubles.length > 0 ? 1 : 0);
