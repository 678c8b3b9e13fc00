import { ownership } from "./ownership.ts";
import { parsers } from "./parsers.ts";
import { records } from "./records.ts";
import { sockets } from "./sockets.ts";
import type { Target } from "./target.ts";

/** All fuzzers. */
export const targets: readonly Target[] = [ownership, records, parsers, sockets];
