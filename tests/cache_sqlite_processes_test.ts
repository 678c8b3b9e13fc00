import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { SqliteStore } from "../cache/sqlite_store.ts";
import { bytes } from "./support.ts";
import { ownRuntime, Program, type Runtime, runtimeNamed, TemporaryFolder } from "./server_support.ts";

const keys = 300;

/** Has processes take the same keys at the same time. Answers what each got. */
async function race(runtimes: readonly Runtime[]): Promise<string[][]> {
  using folder = new TemporaryFolder();
  const file = folder.file("sessions.db");
  using store = new SqliteStore(file);
  for (let key = 0; key < keys; key++) store.put(`${key}`, bytes(`value ${key}`), new Date(Date.now() + 60_000));
  const takers = runtimes.map((runtime) => Program.run(runtime, "tests/sqlite_taker.ts", [file, `${keys}`]));
  try {
    for (const taker of takers) await taker.writes(/^ready$/m);
    for (const taker of takers) taker.child.stdin!.end("go\n");
    const taken: string[][] = [];
    for (const taker of takers) {
      taken.push(JSON.parse((await taker.writes(/^taken (.*)$/m))[1]!));
      assertEquals(await taker.end(), { code: 0, signal: null });
      assertEquals(taker.stderr, "");
    }
    for (let key = 0; key < keys; key++) assertEquals(store.get(`${key}`), undefined);
    return taken;
  } finally {
    for (const taker of takers) await taker[Symbol.asyncDispose]();
  }
}

const all = Array.from({ length: keys }, (_, key) => `value ${key}`).sort();

describe("SqliteStore in several processes", () => {
  it("lets one process take each session", async () => {
    const own = ownRuntime();
    const taken = await race([own, own, own, own]);
    assertEquals(taken.flat().sort(), all);
  });

  it("lets one process take each session, across Deno, Bun and Node", async () => {
    const runtimes = await Promise.all(["deno", "bun", "node24", "node26"].map(runtimeNamed));
    const taken = await race(runtimes);
    assertEquals(taken.flat().sort(), all);
  });

  it("opens one new file from several processes at once", async () => {
    using folder = new TemporaryFolder();
    const own = ownRuntime();
    const takers = Array.from(
      { length: 4 },
      () => Program.run(own, "tests/sqlite_taker.ts", [folder.file("sessions.db"), "1"]),
    );
    try {
      for (const taker of takers) {
        await taker.writes(/^ready$/m);
        taker.child.stdin!.end("go\n");
        assertEquals(await taker.end(), { code: 0, signal: null });
        assertEquals(taker.stderr, "");
      }
    } finally {
      for (const taker of takers) await taker[Symbol.asyncDispose]();
    }
  });

  it("finds what a process left that was killed", async () => {
    using folder = new TemporaryFolder();
    const file = folder.file("sessions.db");
    {
      using store = new SqliteStore(file);
      store.put("0", bytes("value"), new Date(Date.now() + 60_000));
    }
    const taker = Program.run(ownRuntime(), "tests/sqlite_taker.ts", [file, "1"]);
    try {
      await taker.writes(/^ready$/m);
      taker.child.kill("SIGKILL");
      assertEquals((await taker.end()).signal, "SIGKILL");
    } finally {
      await taker[Symbol.asyncDispose]();
    }
    using store = new SqliteStore(file);
    assertEquals(new TextDecoder().decode(store.take("0")), "value");
  });
});
