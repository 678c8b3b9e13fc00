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
  readonly name: string;
  isAnswered: boolean;
  context?: SecureContext | undefined;
  refusal?: unknown;
}

/** What an `SNICallback` is asked, once for each handshake, and what it answers. */
export class SniQuestions {
  readonly #callback: SniCallback;
  readonly #prepare: (context: SecureContext) => void;
  readonly #asked = new WeakMap<SslConnection, Question>();

  /** `prepare` is called with what is answered, outside of libssl's callbacks: it throws if that cannot be used. */
  constructor(callback: SniCallback, prepare: (context: SecureContext) => void) {
    this.#callback = callback;
    this.#prepare = prepare;
  }

  /** The answer; undefined as long as there is none. The connection is woken when it has come. */
  ask(connection: SslConnection, name: string): Question | undefined {
    let question = this.#asked.get(connection);
    // After a HelloRetryRequest a client may ask for another name, and what was answered holds for the first.
    if (question?.name !== name) {
      this.#asked.set(connection, question = { name, isAnswered: false });
      this.#call(connection, question);
    }
    return question.isAnswered ? question : undefined;
  }

  /** Why a connection was refused, if it was. */
  refusal(connection: SslConnection): unknown {
    return this.#asked.get(connection)?.refusal;
  }

  /** Outside of libssl's callbacks: it may do what it likes. */
  #call(connection: SslConnection, question: Question): void {
    const answer = (refusal: unknown, context?: SecureContext | null) => {
      // The first answer counts.
      if (question.isAnswered) return;
      question.isAnswered = true;
      try {
        if (refusal) throw refusal;
        question.context = this.#usable(context);
      } catch (error) {
        question.refusal = error;
      }
      connection.wake();
    };
    whenUnwound(() => {
      try {
        const returned: unknown = this.#callback(question.name, answer);
        if (returned instanceof Promise) returned.catch((error) => answer(error || unnamed(error)));
      } catch (error) {
        answer(error || unnamed(error));
      }
    });
  }

  #usable(context: SecureContext | null | undefined): SecureContext | undefined {
    if (context == null) return undefined;
    if (!(context instanceof SecureContext)) {
      throw new TypeError(
        "Cannot use what SNICallback answered: it takes what createSecureContext() of this library answers",
      );
    }
    this.#prepare(context);
    return context;
  }
}

/** For what looks like no error to those who ask whether there is one: it must let nobody in. */
function unnamed(thrown: unknown): Error {
  return new Error(`SNICallback threw ${thrown === "" ? "an empty text" : String(thrown)}`);
}
