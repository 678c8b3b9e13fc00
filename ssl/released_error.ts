/** An object was used after its end. The message names what ended it. */
export class ReleasedError extends Error {
  /** "ReleasedError". */
  override name = "ReleasedError";

  /**
   * Made by this library alone.
   *
   * @param what the kind of object: `session`
   * @param by what ended it: `dispose()`
   */
  constructor(what: string, by: string) {
    super(`Cannot use this ${what}: it ended with ${by}`);
  }
}

/** A {@linkcode Session} was used after its end: after `dispose()`, after a loan, or after it was given to libssl. */
export class SessionReleasedError extends ReleasedError {
  /** "SessionReleasedError". */
  override name = "SessionReleasedError";

  /**
   * Made by this library alone.
   *
   * @param by what ended it: `dispose()`
   */
  constructor(by: string) {
    super("session", by);
  }
}
