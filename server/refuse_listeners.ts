import type { EventEmitter } from "node:events";

/** Events of a Server of node:tls that are not here, with what there is in their place. */
const refusals: Readonly<Record<string, string>> = {
  connection: "there is no socket of node:net below. Use secureConnection, and drop for those that are turned away",
  OCSPRequest: "give the response as the option ocspResponse, or to setSecureContext() when it is renewed",
};

/** Refuses listeners that would never be called: a program that counts on one must not go without it in silence. */
export function refuseListeners(emitter: EventEmitter): void {
  emitter.on("newListener", (event) => {
    const why = typeof event === "string" && Object.hasOwn(refusals, event) ? refusals[event] : undefined;
    if (why) throw new TypeError(`Cannot listen for the event ${String(event)}: ${why}`);
  });
}
