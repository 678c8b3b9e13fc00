/**
 * An HTTPS server whose clients resume: after a restart, on another server, in another runtime.
 *
 *   export OPENSSL_SESSIONS_SECRET=$(openssl rand -hex 32)
 *   deno run -A examples/https_server.ts --sessions sqlite:sessions.db
 *   bun examples/https_server.ts --sessions sqlite:sessions.db --port 8444
 *   node examples/https_server.ts --sessions sqlite:sessions.db --port 8445
 *
 * It answers GET / (JSON, or a page for a browser), GET /bytes/N and GET /stats, by HTTP/2 and HTTP/1.1.
 */

import process from "node:process";
import { parseArgs } from "node:util";
import {
  MemoryStore,
  openLibrary,
  type ProtocolVersion,
  RedisStore,
  selfSigned,
  serve,
  type ServeInfo,
  SessionCache,
  SqliteStore,
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

async function start(options: Options): Promise<void> {
  const { runtime, version } = openLibrary();
  const openssl = version.split(" ", 2).join(" ");
  const { cert, key, minVersion, maxVersion } = options;

  // The session cache: these lines are all it takes.
  const store = openStore(options.sessions);
  const sessions = new SessionCache({
    store,
    ...(options.secrets ? { secrets: options.secrets } : { unsealed: true }),
    durableTickets: true, // a client may come back at once, and to another server
    onStoreError: (error) => console.error(error.message),
  });

  function answer(request: Request, { tls }: ServeInfo): Response {
    const path = new URL(request.url).pathname;
    const bytes = path.match(/^\/bytes\/(\d{1,10})$/);
    if (request.method !== "GET" && request.method !== "HEAD") {
      return json({ error: "This server answers GET and HEAD" }, 405);
    }
    if (path === "/") {
      const { protocol, alpnProtocol: alpn, isResumed: resumed } = tls;
      const facts = { runtime, openssl, protocol, cipher: tls.cipher.name, alpn, resumed, pid: process.pid };
      return request.headers.get("accept")?.includes("text/html") ? page(facts) : json(facts);
    }
    if (bytes) return zeros(Number(bytes[1]));
    if (path === "/stats") return json({ server: server.stats(), cache: sessions.stats() });
    return json({ error: `There is no ${path}. Try /, /bytes/1000 or /stats` }, 404);
  }

  // So that the first client need not wait for it. Without Redis clients make full handshakes, until it comes.
  if (store instanceof RedisStore) await store.ready().catch((error: Error) => console.error(error.message));

  const server = await serve({
    ...(cert && key ? { certificateFile: cert, privateKeyFile: key } : selfSigned()),
    ...{ minVersion, maxVersion, sessions, port: options.port, hostname: options.host },
    onError: (error, { kind, socket }) => console.error(`${kind}: ${socket?.remoteAddress ?? "?"}: ${error.message}`),
  }, answer);

  async function stop(): Promise<void> {
    await server.close({ grace: 10_000 }); // requests that are under way are answered
    await sessions.close();
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

function json(body: unknown, status = 200): Response {
  return new Response(JSON.stringify(body) + "\n", { status, headers: { "content-type": "application/json" } });
}

/** That many bytes, made as the client reads them. */
function zeros(count: number): Response {
  let left = count;
  const body = new ReadableStream({
    pull(controller) {
      const chunk = new Uint8Array(Math.min(left, 64 * 1024));
      left -= chunk.length;
      if (chunk.length > 0) controller.enqueue(chunk);
      if (left === 0) controller.close();
    },
  });
  const headers = { "content-type": "application/octet-stream", "content-length": `${count}` };
  return new Response(body, { headers });
}

function page(facts: Record<string, unknown>): Response {
  const rows = Object.entries(facts).map(([name, value]) => `<tr><th>${name}<td>${value}`).join("\n");
  const verdict = facts.resumed ? "This visit resumed a session." : "This visit made a full handshake.";
  const text = `<!doctype html>
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
`;
  return new Response(text, { headers: { "content-type": "text/html; charset=utf-8" } });
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
    await start(options);
  } catch (error) {
    console.error((error as Error).message);
    process.exit(1);
  }
}
