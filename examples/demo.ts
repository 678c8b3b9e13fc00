/**
 * One session store, two servers in two runtimes: a client that made a full handshake with one resumes with the other,
 * and again after both were killed.
 *
 *   npm run demo
 *   deno task demo
 *
 * The store is an SQLite file, or the Redis server whose URL it is given: npm run demo redis://localhost:6379
 */

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import {
  connect,
  openLibrary,
  type ProtocolVersion,
  selfSigned,
  type Session,
  SessionCacheMode,
  SslContext,
} from "../mod.ts";

const runtimes = {
  Deno: {
    command: process.env.OPENSSL_SESSIONS_DENO ?? "deno",
    args: ["run", "-A", "--no-prompt", "--node-modules-dir=manual"],
  },
  Bun: { command: process.env.OPENSSL_SESSIONS_BUN ?? "bun", args: [] },
};
type Runtime = keyof typeof runtimes;

const folder = mkdtempSync(join(tmpdir(), "openssl-sessions-"));
const credentials = selfSigned();
const sessions = process.argv[2] ?? `sqlite:${join(folder, "sessions.db")}`;
const secret = randomBytes(32).toString("hex");
const files = { cert: join(folder, "cert.pem"), key: join(folder, "key.pem") };
writeFileSync(files.cert, credentials.certificate);
writeFileSync(files.key, credentials.privateKey, { mode: 0o600 });

interface Server {
  process: ChildProcess;
  line: string;
  port: number;
}

const children: ChildProcess[] = [];

/** Starts the server, and waits for its line. */
function start(runtime: Runtime): Promise<Server> {
  const { command, args } = runtimes[runtime];
  const program = fileURLToPath(new URL("./https_server.ts", import.meta.url));
  const child = spawn(command, [
    ...[...args, program, "--port", "0", "--host", "127.0.0.1"],
    ...["--sessions", sessions, "--cert", files.cert, "--key", files.key],
  ], { env: { ...process.env, OPENSSL_SESSIONS_SECRET: secret }, stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  return new Promise((resolve, reject) => {
    child.once("error", (error) => reject(new Error(`Cannot start ${runtime}: ${error.message}`)));
    child.once("exit", (code) => reject(new Error(`${runtime}'s server ended with ${code} before it listened`)));
    createInterface({ input: child.stdout! }).once("line", (line) => {
      resolve({
        process: child,
        line: line.replace(`${folder}/`, ""),
        port: Number(new URL(line.split(" ")[0]!).port),
      });
    });
  });
}

async function startBoth(): Promise<Record<Runtime, Server>> {
  const [Deno, Bun] = await Promise.all([start("Deno"), start("Bun")]);
  for (const { line, port } of [Deno, Bun]) {
    console.log(`  ${line}`);
    // A first visit of nobody's, so that the times below are not those of programs that are just starting.
    for (const protocol of ["TLSv1.2", "TLSv1.3"] as const) {
      const stranger = new Client(protocol);
      await stranger.visit(port);
      stranger.dispose();
    }
  }
  return { Deno, Bun };
}

/** Ends a server as a crash would. */
function kill({ process: child }: Server): Promise<unknown> {
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  return gone;
}

process.once("SIGINT", () => {
  // The servers get the same signal from the terminal.
  rmSync(folder, { recursive: true, force: true });
  process.exit(130);
});

/** A client that keeps the last session it was given. */
class Client {
  readonly #context: SslContext;
  #session: Session | undefined;

  constructor(protocol: ProtocolVersion) {
    this.#context = SslContext.client({
      certificateAuthorities: credentials.certificate,
      minVersion: protocol,
      maxVersion: protocol,
      sessionCacheMode: SessionCacheMode.Client | SessionCacheMode.NoInternal,
    });
    this.#context.setNewSessionCallback((_connection, session) => {
      this.#session?.dispose();
      this.#session = session;
      return true;
    });
  }

  /** Makes one connection with one request. The new session, if there is one, comes before the answer does. */
  async visit(port: number): Promise<{ resumed: boolean; milliseconds: number }> {
    const began = performance.now();
    const { promise: closed, resolve: close } = Promise.withResolvers<void>();
    const socket = await connect({
      context: this.#context,
      hostname: "127.0.0.1",
      serverName: "localhost",
      port,
      ...(this.#session && { session: this.#session }),
    }, { close: () => close() });
    const milliseconds = performance.now() - began;
    const resumed = socket.isResumed;
    socket.write(new TextEncoder().encode("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"));
    await closed;
    return { resumed, milliseconds };
  }

  dispose(): void {
    this.#session?.dispose();
    this.#context.dispose();
  }
}

let rows = 0;
let asExpected = 0;

async function visit(
  client: Client,
  protocol: string,
  runtime: Runtime,
  servers: Record<Runtime, Server>,
  expected: string,
) {
  const { resumed, milliseconds } = await client.visit(servers[runtime].port);
  const actual = resumed ? "resumed" : "full";
  rows++;
  if (actual === expected) asExpected++;
  const remark = actual === expected ? "" : `  expected: ${expected}`;
  console.log(
    `  ${protocol.padEnd(10)}${runtime.padEnd(8)}${actual.padEnd(11)}${
      milliseconds.toFixed(1).padStart(6)
    } ms${remark}`,
  );
}

function heading(text: string): void {
  console.log(`\n${text}\n`);
}

try {
  console.log(`The client: ${openLibrary().runtime}, ${openLibrary().version}`);
  heading("Two servers, one session store:");
  let servers = await startBoth();
  const clients = [["TLSv1.2", new Client("TLSv1.2")], ["TLSv1.3", new Client("TLSv1.3")]] as const;

  heading("  protocol  server  handshake       time");
  for (const [protocol, client] of clients) {
    await visit(client, protocol, "Deno", servers, "full");
    await visit(client, protocol, "Bun", servers, "resumed");
    await visit(client, protocol, "Deno", servers, "resumed");
  }

  await Promise.all([kill(servers.Deno), kill(servers.Bun)]);
  heading("Both killed (SIGKILL), and started anew:");
  servers = await startBoth();

  heading("  protocol  server  handshake       time");
  for (const [protocol, client] of clients) {
    await visit(client, protocol, "Bun", servers, "resumed");
    await visit(client, protocol, "Deno", servers, "resumed");
    client.dispose();
  }
  console.log(`\n${asExpected} of ${rows} as expected`);
  process.exitCode = asExpected === rows ? 0 : 1;
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
} finally {
  for (const child of children) child.kill();
  rmSync(folder, { recursive: true, force: true });
}
