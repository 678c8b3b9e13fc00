import { assert, assertEquals } from "@std/assert";
import { ClientSessions, connect, listen, RedisStore, SessionCache, type SessionStoreError } from "../mod.ts";
import { needing } from "./outside_programs.ts";
import { type RedisFault, RedisProxy } from "./redis_proxy.ts";
import { RedisServer } from "./redis_server.ts";
import { until, within } from "./server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { credentials, type Version, versions } from "./support.ts";

const { describe, it } = needing(["redis-server"], "redis-server");

/** Asks a question over a connection of its own. Answers whether that resumed. */
async function visit(port: number, version: Version, sessions: ClientSessions): Promise<boolean> {
  const socket = await connect({
    hostname: "127.0.0.1",
    port,
    serverName: "localhost",
    certificateAuthorities: credentials.certificate,
    minVersion: version,
    maxVersion: version,
    sessions,
  });
  const isResumed = socket.isSessionReused();
  let heard = "";
  socket.end("Hello");
  for await (const bytes of socket) heard += String(bytes);
  assertEquals(heard, "Hello");
  return isResumed;
}

describe("servers whose Redis", () => {
  const faults: Record<Exclude<RedisFault, "none">, string> = {
    slow: "is slow",
    refusing: "refuses connections",
    cut: "is cut off in the middle of its answers",
    disorder: "answers one question with the answer to another",
  };
  for (const version of versions) {
    for (const [fault, what] of Object.entries(faults)) {
      it(
        `${what} make full handshakes with ${version}, and resume when it is well again`,
        leavingNothingLater(async () => {
          await using redis = await RedisServer.start();
          await using proxy = await RedisProxy.start(redis.port);
          await using store = new RedisStore({ url: proxy.url, timeout: 300, onError() {} });
          const errors: SessionStoreError[] = [];
          let stored = 0;
          const cache = new SessionCache({
            store,
            secrets: ["a secret of sixteen bytes or more"],
            lookupTimeout: 100,
            onStoreError: (error) => void errors.push(error),
            onEvent: ({ type }) => void (type === "stored" && stored++),
          });
          await using server = await listen(
            { ...credentials, hostname: "127.0.0.1", sessions: cache },
            (stream) => void stream.pipe(stream),
          );
          const clients = Array.from({ length: 6 }, () => new ClientSessions());
          const visitAll = () => Promise.all(clients.map((sessions) => visit(server.port, version, sessions)));
          await store.ready();
          await visitAll();
          await until(() => stored >= 6, "the sessions in the store");
          assertEquals(await visitAll(), clients.map(() => true));

          proxy.set(fault as RedisFault);
          for (let round = 0; round < 3; round++) await within(visitAll(), "the clients' answers");
          assert(proxy.faults > 0, "Nothing went wrong");
          const stats = cache.stats();
          assert(stats.errors + stats.timedOut + stats.notOpened > 0, JSON.stringify(stats));
          assertEquals(stats.errors, errors.length);

          proxy.set("none");
          const resumes = async () => {
            // A store that was lost is asked again after a while.
            while (!(await visitAll()).every(Boolean)) await new Promise((resolve) => setTimeout(resolve, 20));
          };
          await within(resumes(), "resumptions by all", 30_000);
          for (const sessions of clients) sessions.dispose();
        }),
      );
    }
  }
});
