import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { SqliteStore } from "../cache/sqlite_store.ts";
import { Random } from "./fuzz/random.ts";
import { ownRuntime, Program, TemporaryFolder } from "./server_support.ts";
import { valueOf } from "./sqlite_writer.ts";

// A longer run says how many.
const rounds = Number(process.env.OPENSSL_SESSIONS_ROUNDS ?? 15);

describe("two processes that write one SQLite file", () => {
  it(`are killed at random moments ${rounds} times, and the file is sound each time`, async () => {
    using folder = new TemporaryFolder();
    const file = folder.file("sessions.db");
    const random = new Random(rounds);
    let found = 0;
    for (let round = 0; round < rounds; round++) {
      const writers = [0, 1].map((which) =>
        Program.run(ownRuntime(), "tests/sqlite_writer.ts", [file, `${2 * round + which}`])
      );
      try {
        for (const writer of writers) await writer.writes(/^ready$/m);
        for (const writer of writers) {
          await new Promise((resolve) => setTimeout(resolve, random.below(30)));
          writer.child.kill("SIGKILL");
        }
        for (const writer of writers) {
          assertEquals(await writer.end(), { code: null, signal: "SIGKILL" }, writer.stderr);
        }
      } finally {
        for (const writer of writers) await writer[Symbol.asyncDispose]();
      }
      found += look(file);
    }
    assert(found > 0, "No process stored anything");
  });
});

/** Opens the file as the next server does: it is sound, and each key has its own value or none. Answers how many have. */
function look(file: string): number {
  let found = 0;
  using store = new SqliteStore(file);
  for (let key = 0; key < 500; key++) {
    const value = store.get(`key ${key}`);
    if (!value) continue;
    assertEquals(value, valueOf(`key ${key}`));
    found++;
  }
  using database = new DatabaseSync(file);
  const [answer] = database.prepare("PRAGMA integrity_check").all();
  assertEquals({ ...answer }, { integrity_check: "ok" });
  return found;
}
