/** What other programs see in a SqliteStore's file. */

import { DatabaseSync } from "node:sqlite";

/** The rows that a query answers. */
export function query(file: string, sql: string): Record<string, unknown>[] {
  const database = new DatabaseSync(file);
  try {
    return database.prepare(sql).all().map((row) => ({ ...row }));
  } finally {
    database.close();
  }
}

/** How many sessions there are, expired ones among them. */
export function rows(file: string): number {
  return Number(query(file, "SELECT count(*) AS count FROM sessions")[0]!.count);
}
