/**
 * An HTTPS server whose clients resume: after a restart, on another server, in another runtime.
 *
 *   export OPENSSL_SESSIONS_SECRET=$(openssl rand -hex 32)
 *   deno run -A examples/https_server.ts --sessions sqlite:sessions.db
 *   bun examples/https_server.ts --sessions sqlite:sessions.db --port 8444
 *   node examples/https_server.ts --sessions sqlite:sessions.db --port 8445
 *
 * It answers GET / (JSON, or a page for a browser), GET /bytes/N and GET /stats.
 */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import process from "node:process";
import { pipeline, Readable } from "node:stream";
import { parseArgs } from "node:util";
import {
  httpConnections,
  listen,
  MemoryStore,
  openLibrary,
  type ProtocolVersion,
  RedisStore,
  selfSigned,
  SessionCache,
  SqliteStore,
  SslContext,
  type TlsDuplex,
} from "../mod.ts";

const usage = `usage: https_server.ts [options]

  --port N             the port, by default 8443; 0 for a free one
  --host H             the address or name to listen on, by default localhost
  --sessions STORE     memory: (the default), sqlite:PATH or redis://HOST:PORT
  --secret TEXT        seals the sessions in a store outside of this process, as OPENSSL_SESSIONS_SECRET does;
                       commas between the current one and previous ones
  --no-seal            stores them as they are; needed for Redis where there is no secret
  --cert FILE          the certificate with its chain, PEM; by default one is made for localhost
  --key FILE           its private key, PEM
  --min-version 1.2    the oldest TLS version, 1.2 or 1.3
  --max-version 1.3    the newest

It answers GET / (JSON, or a page for a browser), GET /bytes/N and GET /stats.`;

interface Options {
  port: number;
  host: string;
  sessions: string;
  secrets: string[] | undefined;
  unsealed: boolean;
  cert: string | undefined;
  key: string | undefined;
  minVersion: ProtocolVersion;
  maxVersion: ProtocolVersion;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      port: { type: "string", default: "8443" },
      host: { type: "string", default: "localhost" },
      sessions: { type: "string", default: "memory:" },
      secret: { type: "string" },
      "no-seal": { type: "boolean" },
      cert: { type: "string" },
      key: { type: "string" },
      "min-version": { type: "string", default: "1.2" },
      "max-version": { type: "string", default: "1.3" },
      help: { type: "boolean" },
    },
  });
  if (values.help) {
    console.log(usage);
    process.exit(0);
  }
  if (values.host === "") throw new TypeError("--host takes an address or a name");
  if (!/^\d{1,5}$/.test(values.port) || Number(values.port) > 65535) {
    throw new TypeError(`--port takes 0 to 65535, not ${values.port}`);
  }
  if (!/^(memory:|sqlite:.+|rediss?:\/\/.+)$/.test(values.sessions)) {
    throw new TypeError(`--sessions takes memory:, sqlite:PATH or redis://HOST:PORT, not ${values.sessions}`);
  }
  const secret = (values.secret ?? process.env.OPENSSL_SESSIONS_SECRET) || undefined;
  if (values.sessions.startsWith("redis") && !secret && !values["no-seal"]) {
    throw new TypeError("--sessions redis: needs --secret to seal the sessions with, or --no-seal");
  }
  const unsealed = values["no-seal"] ?? false;
  const secrets = unsealed ? undefined : secret?.split(",").filter((part) => part !== "");
  if ((values.cert === undefined) !== (values.key === undefined)) throw new TypeError("--cert and --key go together");
  const version = (name: "min-version" | "max-version"): ProtocolVersion => {
    if (values[name] !== "1.2" && values[name] !== "1.3") {
      throw new TypeError(`--${name} takes 1.2 or 1.3, not ${values[name]}`);
    }
    return `TLSv${values[name]}`;
  };
  const [minVersion, maxVersion] = [version("min-version"), version("max-version")];
  if (minVersion > maxVersion) throw new TypeError("--min-version is above --max-version");
  const { host, sessions, cert, key } = values;
  return { port: Number(values.port), host, sessions, secrets, unsealed, cert, key, minVersion, maxVersion };
}

async function serve(options: Options): Promise<void> {
  const { runtime, version } = openLibrary();
  const openssl = version.split(" ", 2).join(" ");
  const { cert, key, minVersion, maxVersion } = options;
  const credentials = cert && key ? { certificateFile: cert, privateKeyFile: key } : selfSigned();
  const context = SslContext.server({ ...credentials, minVersion, maxVersion });

  // The session cache: these lines are all it takes.
  const store = openStore(options.sessions);
  const cache = new SessionCache({
    store,
    ...(options.secrets ? { secrets: options.secrets } : { unsealed: true }),
    durableTickets: true, // a client may come back at once, and to another server
    onStoreError: (error) => console.error(error.message),
  });
  cache.attach(context);

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const { tls } = request.socket as unknown as TlsDuplex;
    const [path = "/"] = (request.url ?? "/").split("?");
    const bytes = path.match(/^\/bytes\/(\d{1,10})$/);
    if (request.method !== "GET" && request.method !== "HEAD") {
      send(response, 405, { error: "This server answers GET and HEAD" });
    } else if (path === "/") {
      const { protocol, cipher, isResumed: resumed } = tls;
      const facts = { runtime, openssl, protocol, cipher, resumed, pid: process.pid };
      if (request.headers.accept?.includes("text/html")) sendPage(response, facts);
      else send(response, 200, facts);
    } else if (bytes) {
      sendBytes(response, Number(bytes[1]));
    } else if (path === "/stats") {
      send(response, 200, { cache: cache.stats(), libssl: context.counters() });
    } else {
      send(response, 404, { error: `There is no ${path}. Try /, /bytes/1000 or /stats` });
    }
  }

  // So that the first client need not wait for it. Without Redis clients make full handshakes, until it comes.
  if (store instanceof RedisStore) await store.ready().catch((error: Error) => console.error(error.message));

  const server = await listen(
    {
      context,
      port: options.port,
      hostname: options.host,
      onError: (error, socket) => console.error(`${socket?.remoteAddress ?? "?"}: ${error.message}`),
    },
    httpConnections(createServer(answer)),
  );
  async function stop(): Promise<void> {
    await server.close();
    await cache.close();
    context.dispose();
    if (!(store instanceof MemoryStore)) await store.close();
    process.exit(0);
  }
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);

  const host = options.host.includes(":") ? `[${options.host}]` : options.host;
  if (options.sessions.startsWith("sqlite:") && !options.secrets && !options.unsealed) {
    console.error("The sessions are stored with their keys in clear: give --secret to seal them, or --no-seal");
  }
  console.log(`https://${host}:${server.port} ${runtime} ${openssl} ${options.sessions}`);
}

function openStore(sessions: string): MemoryStore | SqliteStore | RedisStore {
  if (sessions === "memory:") return new MemoryStore();
  if (sessions.startsWith("sqlite:")) return new SqliteStore(sessions.slice("sqlite:".length));
  return new RedisStore({ url: sessions });
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body) + "\n");
}

function sendBytes(response: ServerResponse, count: number): void {
  const chunk = new Uint8Array(64 * 1024);
  function* chunks(): Generator<Uint8Array> {
    for (let left = count; left > 0; left -= chunk.length) yield chunk.subarray(0, Math.min(left, chunk.length));
  }
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": count });
  // A client that goes in the middle is no error of ours.
  pipeline(Readable.from(chunks()), response, () => {});
}

function sendPage(response: ServerResponse, facts: Record<string, unknown>): void {
  const rows = Object.entries(facts).map(([name, value]) => `<tr><th>${name}<td>${value}`).join("\n");
  const verdict = facts.resumed ? "This visit resumed a session." : "This visit made a full handshake.";
  response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
  response.end(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${verdict}</title>
<link rel="icon" href="data:,">
<style>
  body { font: 18px/1.5 system-ui, sans-serif; max-width: 34em; margin: 12vh auto; padding: 0 1em; color: #223 }
  h1 { font-size: 1.6em; color: ${facts.resumed ? "#17703c" : "#8a4b08"} }
  th { text-align: left; padding-right: 2em; font-weight: 500; color: #667 }
</style>
<h1>${verdict}</h1>
<table>
${rows}
</table>
<p>Restart the server, or go to another one that shares its session store, and load the page anew.</p>
</html>
`);
}

let options: Options | undefined;
try {
  options = readOptions();
} catch (error) {
  console.error(`${(error as Error).message.split("\n")[0]} (see --help)`);
  process.exitCode = 2;
}
if (options) {
  try {
    await serve(options);
  } catch (error) {
    console.error((error as Error).message);
    process.exit(1);
  }
}
