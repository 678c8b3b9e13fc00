import { assertEquals, assertInstanceOf, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import process from "node:process";
import { type Session, SessionCacheMode } from "../mod.ts";
import { assertNothingLeft, standing } from "./counts.ts";
import { Contexts, thrownBy, type Version, versions } from "./support.ts";

// deno-lint-ignore no-explicit-any -- a callback that no type allows
type Asynchronous = any;

const callbacks: Record<string, (contexts: Contexts, answer: Asynchronous) => void> = {
  "new session": ({ server }, answer) => server.setNewSessionCallback(answer),
  "remove session": ({ server }, answer) => server.setRemoveSessionCallback(answer),
  "get session": ({ server }, answer) => server.setGetSessionCallback(answer),
  "client hello": ({ server }, answer) => server.setClientHelloCallback(answer),
  "keylog": ({ server }, answer) => server.setKeylogCallback(answer),
};

/** What the calls on the server's side throw in a connection's life. */
function lifeOf(version: Version, set: (contexts: Contexts) => void): unknown[] {
  using contexts = new Contexts(version, { numTickets: 1 });
  contexts.server.sessionCacheMode = SessionCacheMode.Server | SessionCacheMode.NoInternal;
  const session = contexts.resumable();
  set(contexts);
  const link = contexts.link(session);
  const thrown: unknown[] = [];
  const attempt = (act: () => unknown) => {
    try {
      act();
    } catch (error) {
      thrown.push(...(error instanceof AggregateError ? error.errors : [error]));
    }
  };
  for (let turn = 0; turn < 4 && thrown.length < 1; turn++) {
    link.client.handshake();
    link.toServer();
    attempt(() => link.server.handshake());
    link.toClient();
  }
  attempt(() => link.dispose());
  link.dispose();
  return thrown;
}

for (const version of versions) {
  describe(`${version}: a callback that returns a Promise`, () => {
    for (const [name, set] of Object.entries(callbacks)) {
      for (const how of ["resolves", "rejects"]) {
        it(`${name}: is an error that says so, where it ${how}, and no rejection goes unhandled`, async () => {
          const before = standing();
          const unhandled: unknown[] = [];
          const listener = (reason: unknown) => unhandled.push(reason);
          process.on("unhandledRejection", listener);
          let calls = 0;
          const thrown = lifeOf(version, (contexts) =>
            set(contexts, () => {
              calls++;
              return how === "rejects" ? Promise.reject(new Error("later")) : Promise.resolve(true);
            }));
          // One macrotask later, a runtime would have told of a rejection that nobody handles.
          await new Promise((resolve) => setTimeout(resolve, 0));
          process.off("unhandledRejection", listener);
          assertEquals(unhandled, []);
          assertEquals(thrown.length >= calls, true);
          assertInstanceOf(thrown[0], TypeError);
          assertStringIncludes((thrown[0] as Error).message, `The ${name} callback returned a Promise`);
          assertNothingLeft(before);
        });
      }
    }

    it("does not keep a session by way of a Promise of true", async () => {
      const before = standing();
      let lent: Session | undefined;
      lifeOf(version, ({ server }) => {
        server.setGetSessionCallback(() => undefined);
        server.setNewSessionCallback(
          ((_connection: unknown, session: Session) => {
            lent = session;
            return Promise.resolve(true);
          }) as Asynchronous,
        );
      });
      await Promise.resolve();
      assertStringIncludes(String(thrownBy(() => lent!.id)), "which did not keep it");
      assertNothingLeft(before);
    });
  });
}
