/** Whatever code has put into Object.prototype is no option: the library does not look there. */

import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { once } from "node:events";
import {
  ClientSessions,
  connect,
  createServer,
  listen,
  MemoryStore,
  selfSigned,
  serve,
  SessionCache,
  SslConnection,
  SslContext,
  type TlsDuplex,
} from "../mod.ts";
import { visit } from "./client_support.ts";
import { declaredOptions } from "./declared_options.ts";
import { root, within } from "./server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { credentials } from "./support.ts";

/** Names that the runtimes themselves look for in objects that they are handed. */
const ofRuntimes = ["hostname", "port", "signal", "options", "session", "store", "context", "reusePort", "websocket"];

const names = [
  ...declaredOptions("ssl/context_options.ts", "CertificateOptions").keys(),
  ...declaredOptions("ssl/context_options.ts", "SslContextOptions").keys(),
  ...declaredOptions("server/tls_server_options.ts", "ServerCertificates").keys(),
  ...declaredOptions("server/tls_server_options.ts", "TlsServerOptions").keys(),
  ...declaredOptions("server/limits.ts", "ConnectionLimits").keys(),
  ...declaredOptions("server/serve.ts", "ServeOptions").keys(),
  ...declaredOptions("server/connect.ts", "ConnectOptions").keys(),
  ...declaredOptions("server/node_tls_options.ts", "NodeTlsContextOptions").keys(),
  ...declaredOptions("server/node_tls_options.ts", "NodeTlsServerOptions").keys(),
  ...declaredOptions("cache/session_cache_options.ts", "SessionCacheOptions").keys(),
].filter((name) => !ofRuntimes.includes(name));

/** Which of the names the library looks for in Object.prototype meanwhile, and where it does. */
async function lookedFor(act: () => Promise<void>): Promise<string[]> {
  const found = new Set<string>();
  for (const name of names) {
    Object.defineProperty(Object.prototype, name, {
      configurable: true,
      get() {
        const caller = new Error().stack!.split("\n").find((line) => line.includes(":") && !line.includes("pollution"));
        if (caller && ["ssl/", "cache/", "server/"].some((folder) => caller.includes(root + folder))) {
          found.add(`${name} ${caller.trim().replace(root, "")}`);
        }
        return undefined;
      },
      set(value) {
        Object.defineProperty(this, name, { value, configurable: true, enumerable: true, writable: true });
      },
    });
  }
  try {
    await act();
  } finally {
    for (const name of names) delete (Object.prototype as Record<string, unknown>)[name];
  }
  return [...found];
}

const echo = (stream: TlsDuplex) => {
  stream.on("error", () => {});
  stream.pipe(stream);
};
const here = { ...credentials, hostname: "127.0.0.1" };
const mutual = { verify: "require", certificateAuthorities: credentials.certificate } as const;

describe("Object.prototype", () => {
  it("is not where contexts, connections and caches look for options", async () => {
    const looked = await lookedFor(async () => {
      using server = SslContext.server({ ...credentials, ...mutual, moreCertificates: [] });
      using client = SslContext.client({ certificateAuthorities: credentials.certificate });
      SslConnection.client(client, {}).dispose();
      new SessionCache({ store: new MemoryStore() }).attach(server);
      await Promise.resolve();
    });
    assertEquals(looked, []);
  });

  it(
    "is not where servers and connect() look for options",
    leavingNothingLater(async () => {
      const other = selfSigned(["other.example"]);
      const looked = await lookedFor(async () => {
        await using listening = await listen({ ...here, ...mutual, certificates: [other] }, echo);
        listening.reload({ ...credentials });
        using sessions = new ClientSessions();
        for (let turn = 0; turn < 2; turn++) await visit(listening.port, { ...credentials, sessions });
        await using serving = await serve({ ...here, ...mutual, alpnProtocols: ["http/1.1"] }, () => new Response("x"));
        serving.reload();
        await using facade = createServer({
          key: credentials.privateKey,
          cert: credentials.certificate,
          ca: credentials.certificate,
          requestCert: true,
        }, echo);
        facade.addContext("other.example", { key: other.privateKey, cert: other.certificate });
        facade.listen(0, "127.0.0.1");
        await within(once(facade, "listening"), "the server to listen");
        facade.setSecureContext({ ...credentials, ca: credentials.certificate });
        await visit(facade.address()!.port, { ...credentials, sessions });
        const stream = await connect({
          hostname: "127.0.0.1",
          port: serving.port,
          certificateAuthorities: credentials.certificate,
          sessions,
          ...credentials,
        });
        const closed = new Promise((resolve) => stream.once("close", resolve));
        stream.destroy();
        await within(closed, "the connection to close");
      });
      assertEquals(looked, []);
    }),
  );
});
