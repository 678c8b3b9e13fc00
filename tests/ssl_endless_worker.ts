/** A worker for ssl_process_end_test.ts: shakes hands until it is ended, and says so after the first time. */

import { parentPort } from "node:worker_threads";
import { Contexts, versions } from "./support.ts";

function work(): void {
  for (const version of versions) {
    using contexts = new Contexts(version);
    contexts.server.setNewSessionCallback(() => false);
    contexts.server.setGetSessionCallback(() => undefined);
    contexts.server.setClientHelloCallback(() => "continue");
    contexts.server.setRemoveSessionCallback(() => {});
    for (let n = 0; n < 10; n++) contexts.visit(contexts.sessions.at(-1));
    // One that lives when the thread ends, and its contexts with it.
    contexts.link().connect();
  }
}

work();
parentPort!.postMessage("working");
// The messages that end it come between two rounds; terminate() comes at any time.
setInterval(work, 0);
