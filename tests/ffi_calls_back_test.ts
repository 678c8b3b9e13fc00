import { callsBackIn } from "./c_calls.ts";
import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { callbacks } from "../ffi/callbacks.ts";
import { libcrypto } from "../ffi/libcrypto.ts";
import { libssl } from "../ffi/libssl.ts";
import type { Prototype } from "../ffi/types.ts";
import { library } from "../ssl/library.ts";
import { ways } from "./callback_ways.ts";
import { leavingNothing } from "./counts.ts";
import { root, runSelf } from "./process.ts";
import { versions } from "./support.ts";

const table: Record<string, Prototype> = { ...libcrypto, ...libssl };
const isMarked = (name: string) => table[name]?.callsBack === true;

/** "SSL_free: removeSession", for each callback that was called by each function. */
const seen = new Set<string>();

for (const version of versions) {
  describe(`${version}: what calls back is marked in the table`, () => {
    for (const [way, run] of Object.entries(ways)) {
      it(
        way,
        leavingNothing(() => {
          const calls = callsBackIn(() => run(version));
          assertEquals([...calls].filter((call) => !isMarked(call.split(":")[0]!)), []);
          for (const call of calls) seen.add(call);
        }),
      );
    }
  });
}

describe("the functions that are marked as calling back", () => {
  it("were all tried, with all callbacks", () => {
    // It lets go of an SSL_CTX, which this library always has another reference to.
    const untried = ["SSL_set_SSL_CTX"];
    const marked = Object.keys(library().ssl).filter(isMarked);
    const tried = new Set([...seen].map((call) => call.split(":")[0]!));
    assertEquals(marked.filter((name) => !tried.has(name)), untried);
    const called = new Set([...seen].map((call) => call.split(": ")[1]!));
    assertEquals(Object.keys(callbacks).filter((callback) => !called.has(callback)), []);
    const removing = ["SSL_free", "SSL_CTX_free", "SSL_CTX_add_session", "SSL_CTX_remove_session", "SSL_set_session"];
    for (const name of [...removing, "SSL_do_handshake", "SSL_read"]) {
      assertEquals(seen.has(`${name}: removeSession`), true, name);
    }
    for (const name of ["SSL_read", "SSL_write", "SSL_shutdown"]) assertEquals(seen.has(`${name}: info`), true, name);
  });

  it("begin with a pointer", () => {
    const marked = Object.entries(table).filter(([name]) => isMarked(name));
    assertEquals(marked.filter(([_, { parameters }]) => parameters[0] !== "pointer"), []);
  });

  it("Deno: survive that the code that called them is deoptimised meanwhile", {
    ignore: !("Deno" in globalThis),
  }, async () => {
    const permissions = ["--allow-all", "--config=deno.json", "--v8-flags=--allow-natives-syntax"];
    const outcome = await runSelf(`await import("${root}tests/deopt_in_callbacks.ts");`, {}, permissions);
    assertEquals(outcome, { code: 0, stdout: "alive\n", stderr: "" });
  });
});
