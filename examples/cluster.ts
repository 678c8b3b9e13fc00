/**
 * An HTTPS server with a process per core, all on one port and one session store: clients resume on each of them.
 *
 *   deno run -A examples/cluster.ts
 *   bun examples/cluster.ts --workers 4
 *   node examples/cluster.ts --sessions redis://localhost:6379
 *
 * `kill -HUP` replaces the workers one after the other, as for a new version or a new certificate: the new one listens
 * before the old one is told to go, and that one answers what it has begun. A worker that dies is replaced. SIGTERM and
 * SIGINT end them all.
 *
 * Linux shares the connections out (SO_REUSEPORT). Those that it has given to a process and that this has not accepted
 * yet are reset when the process stops listening: none or a few in a rolling restart, before anything was sent. Browsers
 * connect again by themselves. `sysctl net.ipv4.tcp_migrate_req=1` has Linux give them to another process instead.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { openLibrary, RedisStore, selfSigned, serve, SessionCache, SqliteStore } from "../mod.ts";

const { values: options } = parseArgs({
  options: {
    port: { type: "string", default: "8443" },
    host: { type: "string", default: "localhost" },
    workers: { type: "string", default: `${availableParallelism()}` },
    sessions: { type: "string" }, // sqlite:PATH or redis://HOST:PORT, by default a temporary file
    cert: { type: "string" }, // PEM files; by default a certificate is made for localhost
    key: { type: "string" },
    worker: { type: "boolean" }, // how the parent starts its workers
  },
});

/** One of the processes. It says its port when it listens. */
async function work(): Promise<void> {
  const { runtime } = openLibrary();
  const store = options.sessions!.startsWith("sqlite:")
    ? new SqliteStore(options.sessions!.slice("sqlite:".length))
    : new RedisStore({ url: options.sessions! });
  const sessions = new SessionCache({
    store,
    secrets: [process.env.OPENSSL_SESSIONS_SECRET!],
    durableTickets: true, // a client's next connection may go to another process
    onStoreError: (error) => console.error(error.message),
  });
  const server = await serve(
    {
      port: Number(options.port),
      hostname: options.host,
      reusePort: true,
      certificateFile: options.cert!,
      privateKeyFile: options.key!,
      sessions,
    },
    (_request, { tls }) => Response.json({ runtime, pid: process.pid, protocol: tls.protocol, resumed: tls.isResumed }),
  );

  async function stop(): Promise<void> {
    await server.close({ grace: 10_000 });
    await sessions.close();
    await store.close();
    process.exit(0);
  }
  process.once("SIGTERM", stop);
  process.on("SIGINT", () => {}); // Ctrl-C reaches all processes of a terminal; the parent says what to do
  process.stdin.once("end", stop).resume(); // the parent is gone
  console.log(server.port);
}

interface Worker {
  readonly child: ChildProcess;
  readonly ended: Promise<string>;
  /** Whether its end is as wanted. */
  isLeaving: boolean;
}

/** The parent: starts workers, and has as many of them as it should. */
async function lead(): Promise<void> {
  if (process.platform !== "linux") {
    throw new Error(
      `Cannot share a port among processes on ${process.platform}, only on Linux: ` +
        "start examples/https_server.ts on several ports, behind a load balancer",
    );
  }
  const count = Number(options.workers);
  if (!Number.isInteger(count) || count < 1) throw new TypeError(`--workers takes 1 and more, not ${options.workers}`);
  if ((options.cert === undefined) !== (options.key === undefined)) throw new TypeError("--cert and --key go together");
  if (options.sessions !== undefined && !/^(sqlite:.+|rediss?:\/\/.+)$/.test(options.sessions)) {
    throw new TypeError(`--sessions takes sqlite:PATH or redis://HOST:PORT, not ${options.sessions}`);
  }

  const folder = mkdtempSync(join(tmpdir(), "openssl-sessions-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  let { cert, key } = options;
  if (!cert || !key) {
    [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
    const { certificate, privateKey } = selfSigned();
    writeFileSync(cert, certificate);
    writeFileSync(key, privateKey, { mode: 0o600 });
  }
  const sessions = options.sessions ?? `sqlite:${join(folder, "sessions.db")}`;
  const environment = {
    ...process.env,
    OPENSSL_SESSIONS_SECRET: process.env.OPENSSL_SESSIONS_SECRET || randomBytes(32).toString("hex"),
  };
  const runtimeArguments = "Deno" in globalThis ? ["run", "-A", "--no-prompt", "--unstable-net"] : [];
  const { url } = import.meta;
  const program = url.startsWith("file:") ? fileURLToPath(url) : url; // Deno runs it from a URL too
  let port = options.port;
  let isEnding = false;
  const workers = new Set<Worker>();

  function report(event: string, worker?: Worker, more = ""): void {
    const pid = worker ? `worker ${worker.child.pid}` : "parent";
    console.log(`${new Date().toISOString()}  ${pid.padEnd(15)}  ${event.padEnd(9)}  ${more}`.trimEnd());
  }

  /** Starts a worker, and waits until it listens. */
  async function start(): Promise<Worker> {
    const child = spawn(process.execPath, [
      ...[...runtimeArguments, program, "--worker", "--port", port, "--host", options.host],
      ...["--sessions", sessions, "--cert", cert!, "--key", key!],
    ], { env: environment, stdio: ["pipe", "pipe", "inherit"] });
    const ended = new Promise<string>((resolve) => {
      child.once("error", (error) => resolve(error.message));
      child.once("exit", (code, signal) => resolve(signal ?? `code ${code}`));
    });
    const worker: Worker = { child, ended, isLeaving: false };
    workers.add(worker);
    const listening = new Promise<string>((resolve) => createInterface({ input: child.stdout! }).once("line", resolve));
    const line = await Promise.race([listening, ended.then(() => undefined)]);
    if (line === undefined) {
      workers.delete(worker);
      throw new Error(`A worker ended before it listened: ${await ended}`);
    }
    port = line; // also where it was to be any free one
    report("listens", worker);
    ended.then((how) => void replace(worker, how));
    return worker;
  }

  async function replace(worker: Worker, how: string): Promise<void> {
    workers.delete(worker);
    report(worker.isLeaving ? "ended" : "died", worker, how);
    while (!worker.isLeaving && !isEnding) {
      try {
        await start();
        return;
      } catch (error) {
        report("failed", undefined, (error as Error).message);
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    }
  }

  /** Has a worker answer what it has begun, and end. */
  async function stop(worker: Worker): Promise<void> {
    if (!worker.isLeaving) {
      worker.isLeaving = true;
      report("leaves", worker);
      process.kill(worker.child.pid!, "SIGTERM");
    }
    await worker.ended;
  }

  let restarting: Promise<void> | undefined;
  async function restart(): Promise<void> {
    report("restarts", undefined, "all workers, one after the other");
    for (const worker of [...workers]) {
      if (isEnding || worker.isLeaving || !workers.has(worker)) continue;
      await start();
      await stop(worker);
    }
    report("restarted");
  }

  async function end(signal: string): Promise<void> {
    if (isEnding) return;
    isEnding = true;
    report("ends", undefined, signal);
    await Promise.all([...workers].map(stop));
    process.exit(0);
  }

  process.on("SIGINT", () => void end("SIGINT"));
  process.on("SIGTERM", () => void end("SIGTERM"));
  process.on("SIGHUP", () => {
    restarting ??= restart()
      .catch((error: Error) => report("failed", undefined, error.message))
      .finally(() => restarting = undefined);
  });
  report("started", undefined, sessions);
  try {
    await start();
    await Promise.all(Array.from({ length: count - 1 }, start));
  } catch (error) {
    if (isEnding) return;
    throw error;
  }
  report("listens", undefined, `https://${options.host}:${port}, ${count} workers`);
}

try {
  await (options.worker ? work() : lead());
} catch (error) {
  console.error((error as Error).message);
  process.exit(1);
}
