import { Deadlines } from "../cache/deadlines.ts";
import { isPromise } from "../cache/maybe_promise.ts";
import type { MaybePromise } from "../cache/session_store.ts";
import { whenUnwound } from "../ssl/calls.ts";
import type { SslConnection } from "../ssl/connection.ts";
import { contextPointer, contextState, SslContext } from "../ssl/context.ts";
import type { CertificateOptions } from "../ssl/context_options.ts";

/**
 * Answers the certificate for a server name that no other is for, at once or later: options, as
 * {@linkcode SslContext.server} takes them for a certificate, or a context, which stays yours, with all that it has in the
 * way of trust and ciphers; undefined where there is none.
 */
export type CertificateFor = (serverName: string) => MaybePromise<CertificateOptions | SslContext | undefined>;

/** What {@linkcode CertificatesOnDemand} is made of. */
export interface OnDemandParts {
  readonly certificateFor: CertificateFor;
  /** Makes a context of options that a user gave. */
  readonly make: (options: CertificateOptions) => Promise<SslContext>;
  readonly report: (error: Error) => void;
  /** For how long a handshake waits, in milliseconds. */
  readonly timeout: number;
}

/** How many names are asked about at a time. Clients of others get what those get that there is no certificate for. */
const mostQuestions = 64;

/** How many certificates stay made, and for how many names it is remembered that there is none. */
const mostCertificates = 1000;
const mostNames = 10_000;

/** For how long what was answered counts, in milliseconds: a certificate; that there is none; that asking failed. */
const certificateAge = 300_000;
const noneAge = 10_000;
const failureAge = 1_000;

/** What was answered for a name. */
interface Answer {
  readonly context: SslContext | undefined;
  /** The context was made here, of options. */
  readonly isOurs: boolean;
  /** Until when it counts, in milliseconds since 1970. */
  readonly expires: number;
}

/** A name that is asked about, and the handshakes that wait. */
interface Question {
  readonly name: string;
  readonly waiting: Set<SslConnection>;
  /** When it was asked: its answer counts as long as nothing has been forgotten since. */
  readonly era: number;
  isOver: boolean;
}

/** Certificates that are asked for when a client asks for their names. */
export class CertificatesOnDemand {
  readonly #parts: OnDemandParts;
  readonly #deadlines: Deadlines<Question>;
  readonly #questions = new Map<string, Question>();
  // Maps remember the order of insertion; an entry that is used is inserted anew.
  readonly #found = new Map<string, Answer>();
  readonly #missing = new Map<string, Answer>();
  /** What a handshake was answered: its callback runs again when it goes on, and after a HelloRetryRequest. */
  readonly #pinned = new WeakMap<SslConnection, { readonly name: string; readonly context: SslContext | undefined }>();
  /** How often all was forgotten. */
  #era = 0;

  constructor(parts: OnDemandParts) {
    this.#parts = parts;
    this.#deadlines = new Deadlines(parts.timeout, (question) => this.#timeOut(question));
  }

  /** The context for a name; undefined where there is none; "waiting" where the connection is woken later. */
  find(connection: SslConnection, name: string): SslContext | undefined | "waiting" {
    const pinned = this.#pinned.get(connection);
    // A user's may have been disposed meanwhile.
    if (pinned?.name === name && (!pinned.context || isAlive(pinned.context))) return pinned.context;
    const earlier = this.#remembered(name);
    if (earlier) return this.#pin(connection, name, earlier.context);
    let question = this.#questions.get(name);
    if (!question) {
      if (this.#questions.size >= mostQuestions) return this.#pin(connection, name, undefined);
      question = { name, waiting: new Set(), era: this.#era, isOver: false };
      const answer = this.#ask(question);
      if (answer) return this.#pin(connection, name, answer.context);
    }
    question.waiting.add(connection);
    return "waiting";
  }

  /**
   * Forgets what was answered, and what is being answered, so that it is asked for anew, also by those that wait.
   * Connections keep what they have.
   */
  forget(): void {
    this.#era++;
    for (const answer of this.#found.values()) discard(answer);
    this.#found.clear();
    this.#missing.clear();
    const asked = [...this.#questions.values()];
    this.#questions.clear();
    for (const question of asked) this.#wake(question);
  }

  /** Ends all waiting, and gives everything back. */
  close(): void {
    this.#questions.clear();
    this.#deadlines.close();
    this.forget();
  }

  #pin(connection: SslConnection, name: string, context: SslContext | undefined): SslContext | undefined {
    this.#pinned.set(connection, { name, context });
    return context;
  }

  /** What was answered for a name and still counts. */
  #remembered(name: string): Answer | undefined {
    const answer = this.#found.get(name) ?? this.#missing.get(name);
    if (!answer) return undefined;
    const answers = answer.context ? this.#found : this.#missing;
    answers.delete(name);
    if (answer.expires > Date.now() && (!answer.context || isAlive(answer.context))) {
      answers.set(name, answer);
      return answer;
    }
    discard(answer);
    return undefined;
  }

  /** Asks the user. Answers at once where the user does, with a context or with none. */
  #ask(question: Question): Answer | undefined {
    const { name } = question;
    let answer: ReturnType<CertificateFor>;
    try {
      answer = this.#parts.certificateFor(name);
      if (answer === undefined || answer instanceof SslContext) return this.#keep(name, this.#checked(answer));
    } catch (error) {
      return this.#fail(name, error);
    }
    this.#questions.set(name, question);
    this.#deadlines.add(question);
    void this.#wait(question, answer);
    return undefined;
  }

  /** Waits for an answer. Never rejects. */
  async #wait(question: Question, answer: MaybePromise<CertificateOptions | SslContext | undefined>): Promise<void> {
    const { name } = question;
    let settled: Answer;
    try {
      const given = isPromise(answer) ? await answer : answer;
      if (question.era !== this.#era) return;
      const made = given === undefined || given instanceof SslContext ? given : await this.#parts.make(given);
      if (question.era !== this.#era) {
        // Nobody else would give it back.
        if (made && made !== given) made.dispose();
        return;
      }
      settled = this.#keep(name, this.#checked(made), made !== given);
    } catch (error) {
      if (question.era !== this.#era) return;
      settled = this.#fail(name, error);
    }
    if (!question.isOver) this.#settle(question, settled.context);
  }

  #checked(context: SslContext | undefined): SslContext | undefined {
    if (context && contextState(context).role !== "server") {
      throw new TypeError("it answered with a context that is no server's");
    }
    // A disposed one says so.
    if (context) contextPointer(context);
    return context;
  }

  #keep(name: string, context: SslContext | undefined, isOurs = false): Answer {
    const answer = { context, isOurs, expires: Date.now() + (context ? certificateAge : noneAge) };
    remember(this.#missing, name, mostNames, context ? undefined : answer);
    remember(this.#found, name, mostCertificates, context ? answer : undefined);
    return answer;
  }

  #fail(name: string, cause: unknown): Answer {
    const answer = { context: undefined, isOurs: false, expires: Date.now() + failureAge };
    remember(this.#missing, name, mostNames, answer);
    const message = cause instanceof Error ? cause.message : String(cause);
    // The operator's handler may do what it likes, and this may be within a callback of libssl's.
    whenUnwound(() => {
      this.#parts.report(
        new Error(`Cannot get a certificate for ${name} from certificateFor(): ${message}`, { cause }),
      );
    });
    return answer;
  }

  #timeOut(question: Question): void {
    const answer = this.#fail(question.name, new Error(`no answer in ${this.#parts.timeout} ms`));
    this.#settle(question, answer.context);
  }

  #settle(question: Question, context: SslContext | undefined): void {
    this.#questions.delete(question.name);
    for (const connection of question.waiting) this.#pin(connection, question.name, context);
    this.#wake(question);
  }

  /** Has those that wait go on. */
  #wake(question: Question): void {
    question.isOver = true;
    this.#deadlines.delete(question);
    // A timer that nobody waits for would keep on ticking.
    this.#deadlines.rest();
    const waiting = [...question.waiting];
    // What never answers is not to hold them for ever.
    question.waiting.clear();
    for (const connection of waiting) if (!connection.isReleased) connection.wake();
  }
}

/** Puts an answer at the end of those that are remembered, or takes one away, and lets go of the one used least recently. */
function remember(answers: Map<string, Answer>, name: string, most: number, answer: Answer | undefined): void {
  const before = answers.get(name);
  answers.delete(name);
  if (before) discard(before);
  if (!answer) return;
  if (answers.size >= most) {
    const [leastRecent, unused] = answers.entries().next().value!;
    answers.delete(leastRecent);
    discard(unused);
  }
  answers.set(name, answer);
}

/** Connections that use it keep it. */
function discard({ context, isOurs }: Answer): void {
  if (isOurs) context!.dispose();
}

function isAlive(context: SslContext): boolean {
  try {
    contextPointer(context);
    return true;
  } catch {
    return false;
  }
}
