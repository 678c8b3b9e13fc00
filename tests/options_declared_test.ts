/** Each option of each function that takes options: what it takes, and that undefined is left out. */

import { assertEquals, assertInstanceOf, assertStringIncludes } from "@std/assert";
import { afterAll, beforeAll, describe, it } from "@std/testing/bdd";
import {
  ClientSessions,
  connect,
  createServer,
  listen,
  MemoryStore,
  openLibrary,
  RedisStore,
  serve,
  type Server,
  SessionCache,
  SqliteStore,
  SslConnection,
  SslContext,
  TieredStore,
} from "../mod.ts";
import { testSessionStore } from "../testing.ts";
import { declaredOptions, type ValueKind } from "./declared_options.ts";
import { within } from "./server_support.ts";
import { credentials } from "./support.ts";

const ofCertificate = declaredOptions("ssl/context_options.ts", "CertificateOptions");
const ofContext = merged(ofCertificate, declaredOptions("ssl/context_options.ts", "SslContextOptions"));
const ofClientContext = without(ofContext, [
  "sessionIdContext",
  "sessionCacheMode",
  "sessionCacheSize",
  "sessionTimeout",
  "numTickets",
]);
const ofCertificates = merged(ofContext, declaredOptions("server/tls_server_options.ts", "ServerCertificates"));
const limits = declaredOptions("server/limits.ts", "ConnectionLimits");
const ofServer = merged(ofCertificates, limits, declaredOptions("server/tls_server_options.ts", "TlsServerOptions"));
const ofNodeContext = merged(
  without(ofContext, ["keylog", "sessionCacheMode"]),
  declaredOptions("server/node_tls_options.ts", "NodeTlsContextOptions"),
);
const ofNodeServer = merged(
  ofNodeContext,
  limits,
  declaredOptions("server/node_tls_options.ts", "NodeTlsServerOptions"),
);
const numbers = (...names: string[]) => new Map(names.map((name) => [name, new Set<ValueKind>(["number"])]));

/** The functions of node:tls's face take null for what is not given, as node:tls does. */
const takesNull = (of: string) => ["createServer()", "addContext()", "setSecureContext()"].includes(of);

interface Taker {
  readonly options: ReadonlyMap<string, ReadonlySet<ValueKind>>;
  /** Options with which it does what it is for. */
  readonly base: object;
  take(options: never): unknown;
}

let server: Server;
const port = () => server.port;
const store = new MemoryStore();
const here = { ...credentials, hostname: "127.0.0.1" };

const takers: Record<string, Taker> = {
  "openLibrary()": {
    options: new Map([["path", new Set<ValueKind>(["string"])]]),
    base: {},
    take: (options) => openLibrary(options),
  },
  "SslContext.server()": {
    options: ofContext,
    base: credentials,
    take: (options) => SslContext.server(options).dispose(),
  },
  "SslContext.client()": {
    options: ofContext,
    base: { certificateAuthorities: credentials.certificate },
    take: (options) => SslContext.client(options).dispose(),
  },
  "SslConnection.client()": {
    options: declaredOptions("ssl/connection.ts", "ClientConnectionOptions"),
    base: {},
    take: (options) => {
      using context = SslContext.client({ verify: "none" });
      SslConnection.client(context, options).dispose();
    },
  },
  "new SessionCache()": {
    options: declaredOptions("cache/session_cache_options.ts", "SessionCacheOptions"),
    base: { store },
    take: (options) => new SessionCache(options),
  },
  "new MemoryStore()": { options: numbers("maxEntries"), base: {}, take: (options) => new MemoryStore(options) },
  "new SqliteStore()": {
    options: numbers("busyTimeout"),
    base: {},
    take: (options) => new SqliteStore(":memory:", options).close(),
  },
  "new RedisStore()": {
    options: declaredOptions("cache/redis_store.ts", "RedisStoreOptions"),
    base: { sendCommand: () => Promise.resolve("OK") },
    take: (options) => new RedisStore(options),
  },
  "new TieredStore()": {
    options: declaredOptions("cache/tiered_store.ts", "TieredStoreOptions"),
    base: { near: store, far: store },
    take: (options) => new TieredStore(options),
  },
  "new ClientSessions()": {
    options: numbers("maxServers", "maxSessionsPerServer"),
    base: {},
    take: (options) => new ClientSessions(options).dispose(),
  },
  "listen()": {
    options: ofServer,
    base: here,
    take: async (options) => await (await listen(options, () => {})).close(),
  },
  "serve()": {
    options: merged(ofServer, declaredOptions("server/serve.ts", "ServeOptions")),
    base: { ...here, alpnProtocols: ["http/1.1"] },
    take: async (options) => await (await serve(options, () => new Response())).close({ grace: 0 }),
  },
  "connect()": {
    options: merged(ofClientContext, declaredOptions("server/connect.ts", "ConnectOptions")),
    base: {
      hostname: "127.0.0.1",
      get port() {
        return port();
      },
      certificateAuthorities: credentials.certificate,
      sessions: false,
    },
    take: async (options) => {
      const stream = await connect(options);
      const closed = new Promise((resolve) => stream.once("close", resolve));
      stream.destroy();
      await within(closed, "the connection to close");
    },
  },
  "createServer()": { options: ofNodeServer, base: credentials, take: (options) => createServer(options) },
  "addContext()": {
    options: ofNodeContext,
    base: credentials,
    take: (options) => createServer(credentials).addContext("localhost", options),
  },
  "setSecureContext()": {
    options: ofNodeContext,
    base: credentials,
    take: (options) => createServer(credentials).setSecureContext(options),
  },
  "testSessionStore()": {
    options: declaredOptions("testing.ts", "TestSessionStoreOptions"),
    base: { describe: () => {}, it: () => {} },
    take: (options) => testSessionStore("none", () => new MemoryStore(), options),
  },
  "reload()": { options: without(ofCertificates, ["watch"]), base: {}, take: (options) => server.reload(options) },
  "close()": {
    options: numbers("grace"),
    base: {},
    take: async (options) => {
      await using server = await listen(here, () => {});
      await server.close(options);
    },
  },
};

const values: readonly [ValueKind, unknown][] = [
  ["null", null],
  ["boolean", true],
  ["boolean", false],
  ["number", 1],
  ["string", "false"],
  ["function", () => true],
  ["array", [[]]],
  // A plain object stands for no class of this library, nor for options of other names.
  ["object", { noSuchMember: 1 }],
];

/** Whether nothing can be said of the value by its type. */
const takesAll = (name: string, kind: ValueKind) => name === "websocket" && (kind === "object" || kind === "array");

describe("options", () => {
  beforeAll(async () => {
    server = await listen(here, () => {});
  });
  afterAll(async () => {
    await server.close();
  });

  for (const [of, { options, base, take }] of Object.entries(takers)) {
    describe(`of ${of}: each of them`, () => {
      it("takes values of its own type alone, and says its name where one is of another", async () => {
        for (const [name, kinds] of options) {
          for (const [kind, value] of values) {
            if (kind === "null" && takesNull(of)) continue;
            if ((kinds.has(kind) && kind !== "object" && kind !== "array") || takesAll(name, kind)) continue;
            const error = await outcome(take, { ...base, [name]: value });
            assertInstanceOf(error, TypeError, `${name} took ${kind}: ${String(error)}`);
            if (name === "secrets") assertStringIncludes(error.message, "Cannot use these secrets");
            else assertStringIncludes(error.message, `Cannot use the option ${name}`);
          }
        }
      });

      it("refuses numbers that are out of every range by a RangeError that says its name", async () => {
        for (const [name, kinds] of options) {
          if (!kinds.has("number")) continue;
          for (const value of [-1, NaN, -Infinity]) {
            const error = await outcome(take, { ...base, [name]: value });
            assertInstanceOf(error, RangeError, `${name} took ${value}: ${String(error)}`);
            assertStringIncludes(error.message, `Cannot use the option ${name} with ${of}: `);
          }
        }
      });

      it("is left out where it is undefined", async () => {
        for (const name of options.keys()) {
          const { [name]: _left, ...rest } = base as Record<string, unknown>;
          const [given, left] = [await outcome(take, { ...base, [name]: undefined }), await outcome(take, rest)];
          assertEquals(String(given), String(left), name);
        }
        const all = Object.fromEntries([...options.keys()].map((name) => [name, undefined]));
        assertEquals(await outcome(take, { ...all, ...base }), undefined);
      });
    });
  }
});

/** What a function throws, or rejects with; undefined if it does what it is for. */
async function outcome(take: Taker["take"], options: object): Promise<unknown> {
  try {
    await take(options as never);
    return undefined;
  } catch (error) {
    return error;
  }
}

function merged(...all: readonly Map<string, Set<ValueKind>>[]): Map<string, Set<ValueKind>> {
  return new Map(all.flatMap((options) => [...options]));
}

function without(options: Map<string, Set<ValueKind>>, names: readonly string[]): Map<string, Set<ValueKind>> {
  return new Map([...options].filter(([name]) => !names.includes(name)));
}
