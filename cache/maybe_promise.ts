import type { MaybePromise } from "./session_store.ts";

/** Whether it is a Promise; also one of another library, which is no instance of Promise. */
export function isPromise<T>(value: MaybePromise<T>): value is Promise<T> {
  return typeof (value as Promise<T> | undefined)?.then === "function";
}
