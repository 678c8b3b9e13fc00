/** Run by tests, several at once, to be killed: puts and takes in an SQLite file for ever. */

import process from "node:process";
import { createHash } from "node:crypto";
import { SqliteStore } from "../cache/sqlite_store.ts";
import { Random } from "./fuzz/random.ts";

/** The only value that a key may have. */
export function valueOf(key: string): Uint8Array {
  const digest = createHash("sha256").update(key).digest();
  // Some of several pages, as a session with a client's certificate has.
  const length = 32 * (1 + digest[0]! * digest[1]! % 300);
  return Uint8Array.from({ length }, (_, at) => digest[at % 32]!);
}

if (process.argv[2]) {
  const [path, seed] = process.argv.slice(2);
  const store = new SqliteStore(path!, { busyTimeout: 20_000 });
  const random = new Random(Number(seed));
  for (let turn = 0;; turn++) {
    const key = `key ${random.below(500)}`;
    if (random.oneIn(3)) store.take(key);
    else store.put(key, valueOf(key), new Date(Date.now() + random.pick([-1000, 60_000])));
    if (turn === 0) console.log("ready");
    // The other one has its turn.
    if (turn % 50 === 49) await new Promise((resolve) => setTimeout(resolve, 0));
  }
}
