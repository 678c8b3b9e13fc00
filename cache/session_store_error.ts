/** What a store was asked to do. */
export type StoreOperation = "get" | "put" | "take" | "delete";

const consequences: Record<StoreOperation, string> = {
  get: "the client makes a full handshake",
  take: "the client makes a full handshake",
  put: "the session will not resume",
  delete: "the session may still be there",
};

/** A {@linkcode SessionStore} failed. No connection was lost; `cause` is what the store threw. */
export class SessionStoreError extends Error {
  /** "SessionStoreError". */
  override name = "SessionStoreError";
  /** What it was asked to do. */
  readonly operation: StoreOperation;

  /**
   * Made by a session cache.
   *
   * @param operation what the store was asked to do
   * @param cause what it threw
   */
  constructor(operation: StoreOperation, cause: unknown) {
    super(
      `The session store failed to ${operation} a session, and ${consequences[operation]}: ${reasonOf(cause)}`,
      { cause },
    );
    this.operation = operation;
  }
}

/** What is thrown need not be an error, and need not even have a text. */
function reasonOf(cause: unknown): string {
  try {
    return `${cause instanceof Error ? cause.message : String(cause)}`;
  } catch {
    return "it threw something that has no text";
  }
}
