import { whenUnwound } from "../ssl/calls.ts";
import type { SslConnection } from "../ssl/connection.ts";
import { SecureContext } from "./secure_context.ts";

/**
 * Answers what a client that asks for a name (SNI) is to get, at once or later: by `callback(null, context)`, where no
 * context stands for the server's own, or `callback(error)`, which ends its handshake.
 */
export type SniCallback = (
  servername: string,
  callback: (error: Error | null, context?: SecureContext | null) => void,
) => void;

interface Question {
  isAnswered: boolean;
  context?: SecureContext | undefined;
  refusal?: unknown;
}

/** What an `SNICallback` is asked, once for each handshake, and what it answers. */
export class SniQuestions {
  readonly #callback: SniCallback;
  readonly #asked = new WeakMap<SslConnection, Question>();

  constructor(callback: SniCallback) {
    this.#callback = callback;
  }

  /** The answer; undefined as long as there is none. The connection is woken when it has come. */
  ask(connection: SslConnection, name: string): Question | undefined {
    let question = this.#asked.get(connection);
    if (!question) {
      this.#asked.set(connection, question = { isAnswered: false });
      this.#call(connection, name, question);
    }
    return question.isAnswered ? question : undefined;
  }

  /** Why a connection was refused, if it was. */
  refusal(connection: SslConnection): unknown {
    return this.#asked.get(connection)?.refusal;
  }

  /** Outside of libssl's callbacks: it may do what it likes. */
  #call(connection: SslConnection, name: string, question: Question): void {
    const answer = (refusal: unknown, context?: SecureContext | null) => {
      // The first answer counts.
      if (question.isAnswered) return;
      question.isAnswered = true;
      question.refusal = refusal || undefined;
      if (!question.refusal && context instanceof SecureContext) question.context = context;
      else if (!question.refusal && context != null) {
        question.refusal = new TypeError(
          "Cannot use what SNICallback answered: it takes what createSecureContext() of this library answers",
        );
      }
      connection.wake();
    };
    whenUnwound(() => {
      try {
        const returned: unknown = this.#callback(name, answer);
        if (returned instanceof Promise) returned.catch(answer);
      } catch (error) {
        answer(error ?? new Error("SNICallback threw nothing"));
      }
    });
  }
}
