import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { root, runSelf } from "./process.ts";

/** Runs a program of its own with the library, as closing would take it away from the other tests. */
async function lines(code: string): Promise<string[]> {
  const { stdout, stderr, code: exit } = await runSelf(`
    import * as module from "${root}mod.ts";
    const { closeLibrary, openLibrary, selfSigned, Session, SslConnection, SslContext } = module;
    function attempt(act: () => unknown): void {
      try {
        console.log(String(act()));
      } catch (error) {
        console.log((error as Error).message);
      }
    }
    ${code}
  `);
  assertEquals({ exit, stderr }, { exit: 0, stderr: "" });
  return stdout.trimEnd().split("\n");
}

describe("closeLibrary()", () => {
  it("does nothing where nothing is open, any number of times", async () => {
    assertEquals(await lines(`attempt(closeLibrary); attempt(closeLibrary);`), ["undefined", "undefined"]);
  });

  it("refuses while objects live, and says which", async () => {
    assertEquals(
      await lines(`
        const context = SslContext.server(selfSigned());
        attempt(closeLibrary);
        const connection = SslConnection.server(context);
        context.dispose();
        attempt(closeLibrary);
        connection.dispose();
        attempt(closeLibrary);
      `),
      [
        "Cannot close libssl: 1 contexts not disposed",
        "Cannot close libssl: 1 connections not disposed",
        "undefined",
      ],
    );
  });

  it("refuses from within a callback", async () => {
    assertEquals(
      await lines(`
        const client = SslContext.client({ keylog: () => {} });
        client.setRemoveSessionCallback((context) => {
          context.dispose();
          attempt(closeLibrary);
        });
        const { Contexts } = await import("${root}tests/support.ts");
        const contexts = new Contexts("TLSv1.2");
        client.removeSession(contexts.resumable());
        contexts[Symbol.dispose]();
        attempt(closeLibrary);
      `),
      ["Cannot close libssl from within a callback of it", "undefined"],
    );
  });

  it("lets the library be opened again, and everything work as before", async () => {
    assertEquals(
      await lines(`
        const { Contexts } = await import("${root}tests/support.ts");
        for (let round = 0; round < 20; round++) {
          const contexts = new Contexts(round % 2 ? "TLSv1.2" : "TLSv1.3");
          let calls = 0;
          contexts.server.setNewSessionCallback(() => {
            calls++;
          });
          // The certificate made at the first opening is text, and good at any other.
          const { resumed } = contexts.visit(contexts.resumable());
          if (!resumed || calls === 0) throw new Error("It does not work as before");
          contexts[Symbol.dispose]();
          closeLibrary();
        }
        attempt(() => openLibrary().version.split(" ")[0]);
        closeLibrary();
        attempt(() => new Session());
      `),
      ["OpenSSL", "Cannot construct a Session: use fromDer(), fromPem() or a connection's"],
    );
  });

  it("lets another path be opened", async () => {
    assertEquals(
      await lines(`
        const { path } = openLibrary();
        closeLibrary();
        attempt(() => openLibrary({ path: "/nowhere/libssl.so" }).path);
        attempt(() => openLibrary({ path }).path === path);
      `).then((all) => [all[0], all.at(-1)]),
      ["Cannot open libssl. Tried:", "true"],
    );
  });

  it("leaves other code's context without callbacks that would be gone", async () => {
    assertEquals(
      await lines(`
        const { library } = await import("${root}ssl/library.ts");
        const { ssl } = library();
        const pointer = ssl.SSL_CTX_new(ssl.TLS_server_method());
        const context = SslContext.fromPointer(pointer);
        for (const kind of ["New", "Remove", "Get"] as const) context[\`set\${kind}SessionCallback\`](() => undefined);
        context.setClientHelloCallback(() => "continue");
        context.setKeylogCallback(() => {});
        context.dispose();
        for (const kind of ["new", "remove", "get"] as const) {
          attempt(() => !ssl[\`SSL_CTX_sess_get_\${kind}_cb\`](pointer));
        }
        ssl.SSL_CTX_free(pointer);
        attempt(closeLibrary);
      `),
      ["true", "true", "true", "undefined"],
    );
  });
});
