import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { type Session, SslConnection, SslContext } from "../mod.ts";
import { assertNothingLeft, counts, standing } from "./counts.ts";
import { canCollect, collect, collectUntil } from "./garbage.ts";
import { Contexts, type Link, versions } from "./support.ts";

for (const version of versions) {
  describe(`${version}: what was forgotten is freed eventually`, () => {
    it("a session", { ignore: !canCollect }, async () => {
      const before = standing();
      {
        using contexts = new Contexts(version, { numTickets: 1 });
        contexts.server.setNewSessionCallback(() => true);
        for (let n = 0; n < 20; n++) contexts.visit();
      }
      const { sessions } = counts();
      assert(sessions > before.living.sessions, "They were freed at once");
      assert(await collectUntil(() => counts().sessions === before.living.sessions), "Sessions are left");
      assertNothingLeft(before);
    });

    it("a connection, and with it a context that is disposed", { ignore: !canCollect }, async () => {
      const before = standing();
      // In a function of its own: nothing of it stays on this one's stack.
      function forget(): void {
        using contexts = new Contexts(version);
        for (let n = 0; n < 20; n++) contexts.link().connect();
        for (let n = 0; n < 5; n++) contexts.link().half();
      }
      forget();
      assert(counts().connections > before.living.connections, "They were freed at once");
      assert(await collectUntil(() => counts().contexts === before.living.contexts), "Contexts are left");
      assertNothingLeft(before);
    });

    it("a context with callbacks", { ignore: !canCollect }, async () => {
      const before = standing();
      function forget(): void {
        for (let n = 0; n < 20; n++) {
          const context = SslContext.server({ alpnProtocols: ["h2"] });
          context.setNewSessionCallback(() => {});
          context.setRemoveSessionCallback(() => {});
          if (n % 2) SslConnection.server(context);
        }
      }
      forget();
      assert(counts().contexts > before.living.contexts, "They were freed at once");
      assert(await collectUntil(() => counts().contexts === before.living.contexts), "Contexts are left");
      assertNothingLeft(before);
    });
  });

  describe(`${version}: what is held is not freed`, () => {
    it("a session returned by the get callback with copy 1", { ignore: !canCollect }, async () => {
      const before = standing();
      {
        using contexts = new Contexts(version, { numTickets: 1 });
        const kept: Session[] = [];
        contexts.server.setNewSessionCallback((_connection, session) => kept.push(session) > 0);
        const proposed = contexts.resumable();
        contexts.server.flushSessions("all");
        kept[0]!.dispose();
        kept.length = 0;
        contexts.server.setNewSessionCallback(null);
        contexts.visit();
        // Made inside the callback and kept by nobody: alive for as long as libssl looks at it.
        contexts.server.setGetSessionCallback(() => {
          const session = proposed.clone();
          for (let n = 0; n < 3; n++) collect();
          return session;
        });
        if (version === "TLSv1.2") assertEquals(contexts.visit(proposed), { resumed: true });
        else contexts.visit(proposed);
        contexts.server.setGetSessionCallback(null);
      }
      assert(await collectUntil(() => counts().sessions === before.living.sessions), "Sessions are left");
      assertNothingLeft(before);
    });

    it("a connection's context, by the connection alone", { ignore: !canCollect }, async () => {
      const before = standing();
      const calls: string[] = [];
      function linkOfForgottenContexts(): Link {
        const contexts = new Contexts(version, { numTickets: 1 });
        contexts.server.setNewSessionCallback(() => {
          calls.push("new");
        });
        contexts.server.setRemoveSessionCallback((context) => {
          calls.push(context instanceof SslContext ? "remove" : "wrong");
        });
        contexts.client.setNewSessionCallback(null);
        return contexts.link();
      }
      const link = linkOfForgottenContexts();
      for (let n = 0; n < 5; n++) {
        collect();
        await new Promise((resolve) => setTimeout(resolve, 0));
      }
      link.connect();
      link.dispose();
      assertEquals(calls, ["new", "remove"]);
      assert(await collectUntil(() => counts().contexts === before.living.contexts), "Contexts are left");
      assertNothingLeft(before);
    });
  });
}
