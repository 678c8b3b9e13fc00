/**
 * Run by tests, several at once: takes keys from an SQLite file that others take from too, and writes those it got.
 * It begins when it reads a line.
 */

import process from "node:process";
import { createInterface } from "node:readline";
import { SqliteStore } from "../cache/sqlite_store.ts";

const [path = "", keys = "0"] = process.argv.slice(2);
const store = new SqliteStore(path, { busyTimeout: 20_000 });
const lines = createInterface({ input: process.stdin });
console.log("ready");
lines.once("line", () => {
  lines.close();
  const taken: string[] = [];
  for (let key = 0; key < Number(keys); key++) {
    const value = store.take(`${key}`);
    if (!value) continue;
    taken.push(new TextDecoder().decode(value));
    // A write in between, as servers do.
    store.put(`put by ${process.pid}: ${key}`, value, new Date(Date.now() + 60_000));
  }
  store.close();
  console.log(`taken ${JSON.stringify(taken)}`);
});
