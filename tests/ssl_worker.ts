/** A worker for ssl_workers_test.ts: makes, uses and frees contexts while others do. */

import { parentPort } from "node:worker_threads";
import { handshakesOfAThread } from "./ssl_worker_load.ts";

parentPort!.postMessage(handshakesOfAThread());
