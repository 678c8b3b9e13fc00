/** A worker for ssl_process_end_test.ts: shakes hands until it is ended, and says so after the first time. */

import { parentPort } from "node:worker_threads";
import { selfSigned, SslConnection, SslContext } from "../mod.ts";
import { shakeHands } from "./ssl_thread_load.ts";

// They live when the thread ends.
const context = SslContext.server(selfSigned());
context.setRemoveSessionCallback(() => {});
const connection = SslConnection.server(context);

function work(): void {
  shakeHands("TLSv1.2");
  shakeHands("TLSv1.3");
}

work();
parentPort!.postMessage(connection.isEstablished ? "wrong" : "working");
// The messages that end it come between two rounds; terminate() comes at any time.
setInterval(work, 0);
