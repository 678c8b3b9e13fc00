import { errorCode } from "./error_code.ts";
import { library } from "./library.ts";

/** One entry of libcrypto's error queue. */
export interface OpenSslErrorEntry {
  /** The packed code, as `openssl errstr` takes it in hexadecimal. */
  readonly code: number;
  /** The part of OpenSSL that reported it: `SSL routines`. */
  readonly library: string;
  /** What went wrong: `http request`. */
  readonly reason: string;
  /** What OpenSSL added, such as a file's name or a peer's alert; often empty. */
  readonly data: string;
}

/**
 * A call into OpenSSL failed. Holds the whole error queue, oldest entry first, and leaves the queue empty.
 *
 * @see ERR_get_error(3)
 *
 * @example
 * ```ts
 * import { OpenSslError, Session } from "@openssl-sessions/openssl-sessions";
 *
 * try {
 *   Session.fromPem("no session");
 * } catch (error) {
 *   if (error instanceof OpenSslError) console.log(error.errors[0]?.reason); // no start line
 * }
 * ```
 */
export class OpenSslError extends Error {
  /** "OpenSslError". */
  override name = "OpenSslError";
  /** The error queue, oldest entry first. Empty where OpenSSL gave no reason. */
  readonly errors: readonly OpenSslErrorEntry[];
  /**
   * The oldest entry as node:tls names it: `ERR_SSL_NO_SHARED_CIPHER`, `ERR_OSSL_PEM_NO_START_LINE`. Undefined where
   * OpenSSL gave no reason. The words are those of the OpenSSL that is used, which versions change now and then.
   */
  readonly code: string | undefined;

  /**
   * Use {@linkcode openSslError} to make one of the error queue.
   *
   * @param message what was tried and what happened
   * @param errors the entries of the error queue
   */
  constructor(message: string, errors: readonly OpenSslErrorEntry[]) {
    super(message);
    this.errors = errors;
    this.code = errors[0] && errorCode(errors[0]);
  }
}

/**
 * Drains the error queue into an error that says what was tried.
 *
 * @param otherwise what happened where OpenSSL does not say
 */
export function openSslError(action: string, otherwise = "there is no memory left for it"): OpenSslError {
  const errors = drain();
  // Several of its parts may report the same.
  const reasons = new Set(errors.map(({ reason, data }) => data ? `${reason} (${data})` : reason));
  return new OpenSslError(`${action}: ${[...reasons].join("; ") || otherwise}`, errors);
}

function drain(): OpenSslErrorEntry[] {
  const { crypto, memory } = library();
  const entries: OpenSslErrorEntry[] = [];
  const pointer = new BigUint64Array(1);
  const data = new BigUint64Array(1);
  const line = new Int32Array(1);
  const flags = new Int32Array(1);
  const next = () =>
    crypto.ERR_get_error_all?.(pointer, line, pointer, data, flags) ??
      crypto.ERR_get_error_line_data!(pointer, line, data, flags);
  const isString = 2; // ERR_TXT_STRING
  for (let code = next(); code !== 0; code = next()) {
    entries.push({
      code,
      library: memory.readString(crypto.ERR_lib_error_string(code)) ?? "",
      reason: memory.readString(crypto.ERR_reason_error_string(code)) ?? `error ${code.toString(16)}`,
      data: flags[0]! & isString ? memory.readString(memory.pointerIn(data) ?? null) ?? "" : "",
    });
  }
  return entries;
}

/** Empties the error queue after a failure that is not an error to the caller. */
export function clearErrors(): void {
  const { crypto } = library();
  // Looking costs a tenth of clearing, and the queue is almost always empty.
  if (crypto.ERR_peek_error() !== 0) crypto.ERR_clear_error();
}
