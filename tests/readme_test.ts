import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { connect, type Session, SessionCacheMode, SslContext } from "../mod.ts";
import { output, ownRuntime, Program, root, runtimeNamed, TemporaryFolder } from "./server_support.ts";
import "./support.ts";

/** README's first program, as a reader would save it, but on a free port. */
function firstProgram(): string {
  const program = readFileSync(join(root, "README.md"), "utf8").match(/```ts ignore\n(\/\/ server\.ts\n[^]*?)```/)?.[1];
  assert(program, "README.md does not begin with a server");
  return program.replace("@openssl-sessions/openssl-sessions", pathToFileURL(join(root, "mod.ts")).href).replace(
    "port: 8443",
    "port: 0",
  );
}

describe("README's first program", () => {
  it("has no type errors", async () => {
    using folder = new TemporaryFolder();
    writeFileSync(folder.file("server.ts"), firstProgram());
    const { command } = await runtimeNamed("deno");
    const { code, stderr } = await output(new Program(command, ["check", "--no-config", folder.file("server.ts")]));
    assertEquals(code, 0, stderr);
  });

  it("is a server whose clients resume after it was killed and started anew", async () => {
    using folder = new TemporaryFolder();
    writeFileSync(folder.file("server.ts"), firstProgram());
    let session: Session | undefined;
    using context = SslContext.client({
      verify: "none",
      sessionCacheMode: SessionCacheMode.Client | SessionCacheMode.NoInternal,
    });
    context.setNewSessionCallback((_connection, ticket) => {
      session?.dispose();
      session = ticket;
      return true;
    });
    const answers: string[] = [];
    for (const visits of [2, 1]) {
      const { command, args } = ownRuntime();
      await using program = new Program(command, [...args, folder.file("server.ts")], {
        cwd: folder.path,
        env: { SESSION_SECRET: "a secret of more than sixteen bytes" },
      });
      const [, port] = await program.writes(/^https:\/\/localhost:(\d+)$/m);
      for (let visit = 0; visit < visits; visit++) answers.push(await get(Number(port)));
      assertEquals(program.stderr.replace(/^.*(MODULE_TYPELESS|Reparsing|To eliminate|Use `).*\n/gm, ""), "");
    }
    session?.dispose();
    assertEquals(answers, ["a full handshake\n", "resumed\n", "resumed\n"]);

    /** The body of the answer to one request. */
    async function get(port: number): Promise<string> {
      const { promise: closed, resolve: close } = Promise.withResolvers<void>();
      let text = "";
      const decoder = new TextDecoder();
      const offered = session ? { session } : {};
      const socket = await connect({ context, hostname: "localhost", port, ...offered }, {
        data: (_socket, bytes) => text += decoder.decode(bytes, { stream: true }),
        close: () => close(),
      });
      socket.write(new TextEncoder().encode("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"));
      await closed;
      return text.split("\r\n\r\n")[1]!;
    }
  });
});
