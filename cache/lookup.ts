import type { SslConnection } from "../ssl/connection.ts";
import type { StoreLookup } from "./session_store.ts";

/** What the store has under a key, as it stands for one handshake. */
export interface FoundValue {
  readonly key: string;
  readonly value: Uint8Array;
  /** Whether it was taken: then nobody else has it. */
  readonly operation: "get" | "take";
}

/**
 * One handshake's question to the store. It is kept until the handshake ends: a HelloRetryRequest makes libssl ask
 * twice, and a store that gave the session away at the first would not have it at the second.
 */
export class Lookup implements StoreLookup {
  readonly connection: SslConnection;
  /** Whether the question is answered, or no longer waited for. */
  isOver = false;
  found: FoundValue | undefined;
  #controller: AbortController | undefined;

  constructor(connection: SslConnection) {
    this.connection = connection;
  }

  /** Made when a store asks for it: most do not, and answer at once. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.isOver) this.#controller.abort();
    return this.#controller.signal;
  }

  /** Ends the waiting. */
  end(reason?: Error): void {
    this.isOver = true;
    if (reason) this.#controller?.abort(reason);
  }
}
