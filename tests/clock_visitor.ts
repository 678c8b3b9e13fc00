/**
 * Run by a test that sets its clock: for each line that it reads, a client visits a server with the session that it was
 * given first, and whether that resumed is written, with the year and what the cache refused.
 */

import process from "node:process";
import { createInterface } from "node:readline";
import { MemoryStore, Session, SessionCache } from "../mod.ts";
import { Contexts, type Version } from "./support.ts";

const contexts = new Contexts(process.argv[2] as Version, { sessionTimeout: 7200 });
const cache = new SessionCache({ store: new MemoryStore(), maxLineageAge: Infinity, singleUse: false });
cache.attach(contexts.server);

let offered: Session | undefined;
for await (const line of createInterface({ input: process.stdin })) {
  if (line === "forget") offered = undefined;
  // The client takes its session for a new one, whatever the clock says.
  if (offered) offered.created = new Date();
  const { resumed } = contexts.visit(offered);
  offered ??= Session.fromDer(contexts.sessions.at(-1)!.toDer());
  console.log(JSON.stringify({ resumed, year: new Date().getFullYear(), tooOld: cache.stats().tooOld }));
}
