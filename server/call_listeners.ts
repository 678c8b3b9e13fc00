import type { EventEmitter } from "node:events";

/** Emits an event, where what listeners throw, and reject with, goes to `fail` and the other listeners are called. */
export function callListeners(
  emitter: EventEmitter,
  event: string,
  parameters: readonly unknown[],
  fail: (error: unknown) => void,
): void {
  for (const listener of emitter.rawListeners(event)) {
    try {
      const answer: unknown = Reflect.apply(listener, emitter, parameters);
      if (answer instanceof Promise) answer.catch(fail);
    } catch (error) {
      fail(error);
    }
  }
}

/** Does something once, before an event's first listener is added. The types of a typed emitter do not all have this. */
export function beforeListeners(emitter: EventEmitter, event: string, act: () => void): void {
  const look = (added: string | symbol) => {
    if (added !== event) return;
    emitter.off("newListener", look);
    act();
  };
  emitter.on("newListener", look);
}
