/**
 * What an error of SQLite's means for a store: the file is of no more use, has no room, is held by others, cannot be read
 * or written, or not be had.
 */
export type SqliteFault = "damaged" | "full" | "busy" | "failing" | "lost" | "other";

/** SQLite's result codes, without what is behind them. https://sqlite.org/rescode.html */
const faults: Record<number, SqliteFault> = {
  5: "busy",
  6: "busy",
  8: "lost", // read-only
  10: "failing",
  11: "damaged",
  13: "full",
  14: "lost", // cannot open
  26: "damaged",
};

/** Deno leaves the codes out now and then. */
const messages: [RegExp, SqliteFault][] = [
  [/malformed|not a database/, "damaged"],
  [/is full/, "full"],
  [/is locked/, "busy"],
  [/disk I\/O error/, "failing"],
  [/readonly|unable to open/, "lost"],
];

/** What an error of SQLite's means. */
export function sqliteFault(error: unknown): SqliteFault {
  const { errcode, message } = error as { errcode?: number; message?: string };
  if (typeof errcode === "number") return faults[errcode & 0xff] ?? "other";
  return messages.find(([pattern]) => pattern.test(String(message)))?.[1] ?? "other";
}
