import type { Session } from "../ssl/session.ts";
import { isPromise } from "./maybe_promise.ts";

/** How many keys are remembered: for the time that a handshake takes, and a session's way to the store. */
const mostKeys = 1024;

/** Looks at sessions that are made while others are revoked for the same reason. */
export interface Filter {
  /** Whether the session is to be revoked. What the user's function throws is kept. */
  matches(session: Session): boolean;
  /** Ends it. Throws what the function has thrown. */
  end(): void;
}

/** The user's function, which has to answer at once: a Promise would be taken for yes, and all sessions be deleted. */
export function answeringAtOnce(matches: (session: Session) => boolean): (session: Session) => boolean {
  if (typeof matches !== "function") {
    throw new TypeError("Cannot revoke sessions: give a function that answers true for those that are to go");
  }
  return (session) => {
    const answer: unknown = matches(session);
    if (!isPromise(answer)) return !!answer;
    Promise.resolve(answer).catch(() => {});
    throw new TypeError("Cannot revoke sessions: the function answered a Promise, and has to answer at once");
  };
}

/** What was revoked, so that a session which comes to the store only after that is not stored. */
export class Revocations {
  readonly #keys = new Set<string>();
  readonly #filters = new Set<Filter>();

  /** A session is revoked by its key. */
  add(key: string): void {
    this.#keys.delete(key);
    this.#keys.add(key);
    if (this.#keys.size > mostKeys) this.#keys.delete(this.#keys.values().next().value!);
  }

  /** Sessions are revoked for which this answers true, until the filter is ended. */
  begin(matches: (session: Session) => boolean): Filter {
    const thrown: unknown[] = [];
    const filter: Filter = {
      matches: (session) => {
        try {
          return matches(session);
        } catch (error) {
          thrown.push(error);
          return true;
        }
      },
      end: () => {
        this.#filters.delete(filter);
        if (thrown.length > 0) throw thrown[0];
      },
    };
    this.#filters.add(filter);
    return filter;
  }

  /** Whether a new session has been revoked already. */
  has(key: string, session: Session): boolean {
    return this.#keys.has(key) || [...this.#filters].some((filter) => filter.matches(session));
  }
}
