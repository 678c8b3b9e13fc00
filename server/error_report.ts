import { isPromise } from "../cache/maybe_promise.ts";
import type { TlsSocket } from "./tls_socket.ts";

/**
 * Where an error comes from:
 *
 * - `accept`: a connection could not be accepted, for want of file descriptors, say
 * - `handshake`: a client's handshake failed, took too long, or `authorize` refused it by throwing. On the open internet
 *   most of these are scanners
 * - `connection`: a connection went wrong after its handshake, or a handler of its events threw
 * - `request`: the handler of {@linkcode serve} threw or answered nonsense, or its answer could not be sent
 * - `reload`: certificates or the log of keys could not be loaded or written: what was there before goes on
 */
export type ErrorKind = "accept" | "handshake" | "connection" | "request" | "reload";

/** What is known of an error beside the error itself. */
export interface ErrorReport {
  /** Where it comes from. */
  readonly kind: ErrorKind;
  /** The connection that it is about; undefined where there is none. */
  readonly socket: TlsSocket | undefined;
}

/** Takes what goes wrong. */
export type ReportError = (error: Error, report: ErrorReport) => void;

/** Calls the operator's handler of errors, which must not take the server with it, nor a rejection the program. */
export function heedless(onError: ReportError | undefined): ReportError {
  return (error, report) => {
    try {
      const answer: unknown = onError?.(error, report);
      if (isPromise(answer)) Promise.resolve(answer).catch(() => {});
    } catch {
      // There is nobody left to tell.
    }
  };
}

/** Where nobody listens to errors: as Deno.serve and Bun.serve have it, what handlers throw is seen. */
export const printRequestErrors: ReportError = (error, { kind }) => {
  if (kind === "request") console.error(error);
};
