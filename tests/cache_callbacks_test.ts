import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { MemoryStore, SessionCache, SslContext } from "../mod.ts";
import { leavingNothing } from "./counts.ts";
import { Contexts, credentials, versions } from "./support.ts";

const cacheOf = (more: { secrets?: string[] } = {}) => new SessionCache({ store: new MemoryStore(), ...more });
const secrets = ["a secret of thirty-two characters"];

/** The callbacks that there is one of, and a way to set each. */
const setters = {
  "new session": (context: SslContext) => context.setNewSessionCallback(() => false),
  "get session": (context: SslContext) => context.setGetSessionCallback(() => undefined),
  "remove session": (context: SslContext) => context.setRemoveSessionCallback(() => {}),
  "generate session id": (context: SslContext) => context.setGenerateSessionIdCallback(() => undefined),
};

for (const version of versions) {
  describe(`${version}: a client hello callback beside a session cache`, () => {
    for (const when of ["before", "after"]) {
      it(
        `that is set ${when} it is attached is called first, and sessions resume`,
        leavingNothing(() => {
          using contexts = new Contexts(version);
          const cache = cacheOf();
          const seen: (string | undefined)[] = [];
          const set = () =>
            contexts.server.setClientHelloCallback((_connection, hello) => {
              seen.push(`${hello.serverName} ${cache.stats().lookups}`);
              return "continue";
            });
          if (when === "before") set();
          cache.attach(contexts.server);
          if (when === "after") set();
          const session = contexts.resumable();
          const lookups = cache.stats().lookups;
          assertEquals(contexts.visit(session).resumed, true);
          // The cache asks after it.
          assertEquals(seen, ["localhost 0", `localhost ${lookups}`]);
          assertEquals(cache.stats().lookups, lookups + 1);
          // Cleared, it leaves the cache where it is.
          contexts.server.setClientHelloCallback(null);
          assertEquals(contexts.visit(contexts.resumable()).resumed, true);
          assertEquals(seen.length, 2);
        }),
      );
    }

    it(
      "that refuses or suspends keeps the cache from looking",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        const cache = cacheOf();
        cache.attach(contexts.server);
        const session = contexts.resumable();
        const { lookups } = cache.stats();
        let answer: "suspend" | "refuse" | "continue" = "suspend";
        contexts.server.setClientHelloCallback(() => answer);
        {
          using link = contexts.link(session);
          link.client.handshake();
          link.toServer();
          assertEquals(link.server.handshake(), "wants-lookup");
          assertEquals(cache.stats().lookups, lookups);
          answer = "continue";
          link.connect();
          assertEquals(link.server.isResumed, true);
          link.close();
        }
        answer = "refuse";
        using link = contexts.link(contexts.sessions.at(-1)!);
        link.client.handshake();
        link.toServer();
        assertThrows(() => link.server.handshake());
        assertEquals(cache.stats().lookups, lookups + 1);
      }),
    );
  });
}

describe("SessionCache.attach()", () => {
  for (const [name, set] of Object.entries(setters)) {
    it(
      `and a ${name} callback refuse each other by name, and both go on as they were`,
      leavingNothing(() => {
        using own = SslContext.server(credentials);
        set(own);
        const error = assertThrows(() => cacheOf({ secrets }).attach(own), TypeError);
        assertStringIncludes(error.message, `Cannot attach a SessionCache: the context has a ${name} callback`);

        using contexts = new Contexts("TLSv1.3");
        const cache = cacheOf({ secrets });
        cache.attach(contexts.server);
        const later = assertThrows(() => set(contexts.server), TypeError);
        assertStringIncludes(later.message, `Cannot set the ${name} callback: a SessionCache is attached`);
        assertEquals(contexts.visit(contexts.resumable()).resumed, true);
      }),
    );
  }

  it(
    "leaves the making of ids to the user where it makes none",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.3");
      setters["generate session id"](contexts.server);
      cacheOf().attach(contexts.server);
      setters["generate session id"](contexts.server);
      assertEquals(contexts.visit(contexts.resumable()).resumed, true);
    }),
  );

  it(
    "takes a context whose callbacks were cleared, and its own again, and no other cache's",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.3");
      setters["new session"](contexts.server);
      contexts.server.setNewSessionCallback(null);
      const cache = cacheOf();
      cache.attach(contexts.server);
      cache.attach(contexts.server);
      assertThrows(() => cacheOf().attach(contexts.server), TypeError, "another one is attached");
      assertThrows(() => contexts.server.setGetSessionCallback(null), TypeError, "Cannot set the get session callback");
      const session = contexts.resumable();
      cacheOf().detach(contexts.server);
      assertEquals(contexts.visit(session).resumed, true);
      const last = contexts.resumable();
      cache.detach(contexts.server);
      assertEquals(contexts.server.getNewSessionCallback(), null);
      assertEquals(contexts.visit(last).resumed, false);
      cacheOf({ secrets }).attach(contexts.server);
      assertEquals(contexts.visit(contexts.resumable()).resumed, true);
    }),
  );

  it(
    "takes and gives back a context as a whole, or not at all",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.2");
      const { server } = contexts;
      const refused = "from within the context's remove session callback";
      const [cache, seen] = [cacheOf({ secrets }), [] as string[]];
      using link = contexts.link().connect();
      using session = link.server.session()!;
      server.setRemoveSessionCallback(() => {
        server.setRemoveSessionCallback(null);
        assertThrows(() => cache.attach(server), Error, refused);
        seen.push("attach");
      });
      server.removeSession(session);
      assertEquals([server.getNewSessionCallback(), server.getGetSessionCallback()], [null, null]);

      const other = new SessionCache({
        store: new MemoryStore(),
        secrets,
        onEvent: ({ type }) => {
          if (type !== "removed") return;
          for (const change of ["detach", "attach"] as const) {
            assertThrows(() => other[change](server), Error, refused);
            seen.push(change);
          }
        },
      });
      other.attach(server);
      server.removeSession(session);
      assertEquals(seen, ["attach", "detach", "attach"]);
      // It is that cache's all the same, callbacks and all.
      assertThrows(() => cache.attach(server), TypeError, "another one is attached");
      assertEquals(contexts.visit(contexts.resumable()).resumed, true);
      other.detach(server);
      cache.attach(server);
      assertEquals(contexts.visit(contexts.resumable()).resumed, true);
    }),
  );

  it(
    "keeps nothing of a connection that goes on with another cache",
    leavingNothing(() => {
      // With a HelloRetryRequest, after which the client hello callback is called again.
      using contexts = new Contexts("TLSv1.3", { groups: "P-384" }, { groups: "P-256:P-384" });
      const [one, other] = [cacheOf(), cacheOf()];
      one.attach(contexts.server);
      using link = contexts.link(contexts.resumable());
      link.half();
      link.toClient();
      one.detach(contexts.server);
      other.attach(contexts.server);
      link.connect();
      assertEquals([one.stats().hits, other.stats().lookups, link.server.isResumed], [1, 1, false]);
    }),
  );

  it(
    "refuses a context that has been disposed",
    leavingNothing(() => {
      const context = SslContext.server(credentials);
      context.dispose();
      assertThrows(() => cacheOf().attach(context), Error, "dispose()");
    }),
  );
});
