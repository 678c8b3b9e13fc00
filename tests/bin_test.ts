import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { openLibrary } from "../mod.ts";
import { output, ownRuntime, Program, root, thisRuntime } from "./server_support.ts";
import "./support.ts";

const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** Runs bin/openssl_sessions.ts. */
function run(args: readonly string[], env: Record<string, string> = {}) {
  const { command, args: own } = ownRuntime();
  return output(new Program(command, [...own, join(root, "bin/openssl_sessions.ts"), ...args], { env }));
}

describe("openssl-sessions", () => {
  it("tells which libssl it finds", async () => {
    const { code, stdout, stderr } = await run([]);
    const libssl = openLibrary();
    assertEquals(stdout, `openssl-sessions ${version}, on ${thisRuntime}\n${libssl.version}, ${libssl.path}\n`);
    assertEquals([code, stderr], [0, ""]);
  });

  it("says why it cannot use one", async () => {
    const { code, stdout, stderr } = await run([], { OPENSSL_SESSIONS_LIBSSL: "/nonexistent/libssl.so" });
    assertEquals([code, stdout], [1, ""]);
    assertStringIncludes(stderr, "/nonexistent/libssl.so");
  });

  it("has --help and --version, and refuses what it does not know", async () => {
    assertMatch((await run(["--help"])).stdout, /^usage: openssl-sessions /);
    assertEquals((await run(["--version"])).stdout, `${version}\n`);
    const { code, stdout, stderr } = await run(["--verbose"]);
    assertEquals([code, stdout], [2, ""]);
    assertMatch(stderr, /--verbose.*--help/);
  });
});
