import { setImmediate } from "node:timers";
import type { ClientHello } from "../ssl/client_hello.ts";
import { isLentConnection, onConnectionEnd, type SslConnection } from "../ssl/connection.ts";
import type { ProtocolVersion } from "../ssl/protocol.ts";
import { Deadlines } from "./deadlines.ts";
import type { Journal } from "./journal.ts";
import { Lookup, type OfferedSession } from "./lookup.ts";
import { LookupsByKey } from "./lookups_by_key.ts";
import { isPromise } from "./maybe_promise.ts";
import { offeredSessions } from "./offered_sessions.ts";
import { shortId } from "./hex.ts";
import { Question } from "./question.ts";
import type { MaybePromise, SessionStore } from "./session_store.ts";
import type { Vault } from "./vault.ts";

type Answer = MaybePromise<Uint8Array | undefined>;

/** Asks the store for the sessions that clients offer, and lets a handshake wait where it does not answer at once. */
export class Lookups {
  readonly #store: SessionStore;
  readonly #takes: boolean;
  readonly #vault: Vault;
  readonly #journal: Journal;
  readonly #timeout: number;
  readonly #deadlines: Deadlines<Lookup>;
  readonly #lookups = new WeakMap<SslConnection, Lookup>();
  readonly #byKey = new LookupsByKey();
  /** Answers that are under way to lookups that may share one: those that take nothing. */
  readonly #shared = new Map<string, Question>();

  /** `takes`: whether sessions that may be used once are taken from the store. */
  constructor(store: SessionStore, takes: boolean, vault: Vault, journal: Journal, timeout: number) {
    this.#store = store;
    this.#takes = takes;
    this.#vault = vault;
    this.#journal = journal;
    this.#timeout = timeout;
    this.#deadlines = new Deadlines(timeout, (lookup) => this.#timeOut(lookup));
  }

  /** The lookup of a connection's handshake, if there was one. */
  of(connection: SslConnection): Lookup | undefined {
    return this.#lookups.get(connection);
  }

  /** Forgets it, as the handshake is over. */
  forget(connection: SslConnection): void {
    const lookup = this.#lookups.get(connection);
    if (!lookup) return;
    this.#lookups.delete(connection);
    this.#drop(lookup);
  }

  /**
   * A session is being deleted, or has been: whoever asked for it before that does not get it, and whoever comes asks
   * anew. To be called before the store is told and when it is done, for nobody knows which answers were earlier.
   */
  revoke(key: string): void {
    this.#shared.delete(key);
    for (const lookup of this.#byKey.of(key)) lookup.revoke();
  }

  /**
   * Sessions have been deleted that nobody can name: what is being asked for may be one of them, and `isRevoked` says
   * whether what was found is.
   */
  revokeWhere(isRevoked: (key: string, value: Uint8Array) => boolean): void {
    this.#shared.clear();
    for (const lookup of this.#byKey.all()) {
      const { found } = lookup;
      if (!found || isRevoked(found.key, found.value)) lookup.revoke();
    }
  }

  /** Looks up what a client offers. Answers what the client hello callback is to return. */
  begin(connection: SslConnection, hello: ClientHello, acceptsTls13: boolean): "continue" | "suspend" {
    // Of an SSL that other code made, nobody would know the answer again.
    if (isLentConnection(connection)) return "continue";
    // The callback runs again after a suspension and after a HelloRetryRequest.
    const earlier = this.#lookups.get(connection);
    if (earlier) {
      // The second ClientHello is the one that counts: a client may ask for another name in it.
      if (earlier.isOver) earlier.serverName = hello.serverName;
      return earlier.isOver ? "continue" : "suspend";
    }
    const { protocol, ids } = offeredSessions(hello, acceptsTls13);
    if (ids.length === 0) return "continue";
    const offered = this.#ofThisFarm(ids, connection.sessionIdContext, protocol);
    const operation = protocol === "TLSv1.3" && this.#takes ? "take" : "get";
    const lookup = new Lookup(connection, protocol, operation, hello.serverName);
    this.#lookups.set(connection, lookup);
    if (offered.length === 0) {
      // Remembered all the same: what is offered again after a HelloRetryRequest is looked at once.
      lookup.isOver = true;
      return "continue";
    }
    onConnectionEnd(connection, () => this.#abandon(lookup));
    if (this.#askForAll(lookup, offered) === "continue") return "continue";
    // One deadline for all that is asked for this handshake.
    this.#deadlines.add(lookup);
    return "suspend";
  }

  #ofThisFarm(ids: readonly Uint8Array[], idContext: Uint8Array, protocol: ProtocolVersion): OfferedSession[] {
    const offered: OfferedSession[] = [];
    for (const id of ids) {
      const key = this.#vault.keyOf(id, idContext, protocol);
      if (key !== undefined) {
        offered.push({ id, key });
        continue;
      }
      this.#journal.counts.foreignIds++;
      this.#journal.tell(() => ({ type: "foreign id", id: shortId(id) }));
    }
    return offered;
  }

  /** Asks for one after the other until one is found, going on in the background where an answer is late. */
  #askForAll(lookup: Lookup, offered: OfferedSession[]): "continue" | "suspend" {
    for (const [index, session] of offered.entries()) {
      const answer = this.#ask(lookup, session);
      if (isPromise(answer)) {
        this.#wait(lookup, offered.slice(index), answer);
        return "suspend";
      }
      if (this.#accept(lookup, session, answer)) break;
    }
    this.#end(lookup);
    return "continue";
  }

  /** Waits for an answer, then goes on. Never rejects. */
  async #wait(lookup: Lookup, offered: OfferedSession[], answer: Promise<Uint8Array | undefined>): Promise<void> {
    const [session, ...rest] = offered;
    let value: Uint8Array | undefined;
    let isAnswered = true;
    const began = performance.now();
    try {
      value = await answer;
    } catch (cause) {
      isAnswered = false;
      // What was given up on may fail because of that.
      if (!lookup.isOver) this.#journal.failed(lookup.operation, cause);
    }
    this.#journal.lookupLatency.record(performance.now() - began);
    if (lookup.isOver) {
      if (!isAnswered) return;
      this.#journal.counts.late++;
      this.#journal.tell(() => ({ type: "late", id: shortId(session!.id) }));
      return;
    }
    if (this.#accept(lookup, session!, value)) this.#end(lookup);
    else if (this.#askForAll(lookup, rest) === "suspend") return;
    lookup.connection.wake();
  }

  #accept(lookup: Lookup, session: OfferedSession, value: Uint8Array | undefined): boolean {
    if (value && lookup.asked!.isRevoked) {
      this.#journal.refused(session.id, "revoked");
    } else if (value) {
      this.#journal.counts.hits++;
      this.#journal.tell(() => ({ type: "hit", id: shortId(session.id) }));
      lookup.found = { ...session, value };
      return true;
    }
    this.#journal.counts.misses++;
    if (lookup.operation === "take" && this.#vault.makesIds) this.#journal.counts.alreadyTaken++;
    this.#journal.tell(() => ({ type: "miss", id: shortId(session.id) }));
    return false;
  }

  #end(lookup: Lookup): void {
    lookup.end();
    this.#stopWaiting(lookup);
    if (!lookup.found) this.#drop(lookup);
  }

  /** Nobody asks for what it has found any more. */
  #drop(lookup: Lookup): void {
    lookup.close();
    if (lookup.asked) this.#byKey.delete(lookup.asked.session.key, lookup);
  }

  #stopWaiting(lookup: Lookup): void {
    this.#deadlines.delete(lookup);
    // A timer that nobody waits for would keep on ticking after the last connection.
    this.#deadlines.rest();
  }

  #timeOut(lookup: Lookup): void {
    this.#journal.counts.timedOut++;
    this.#journal.counts.misses++;
    this.#journal.tell(() => ({ type: "timed out", id: shortId(lookup.asked!.session.id) }));
    // Whoever comes now asks anew, and does not wait for an answer that may be lost.
    const { session, question } = lookup.asked!;
    if (this.#shared.get(session.key) === question) this.#shared.delete(session.key);
    lookup.end(new Error(`The session store did not answer in ${this.#timeout} ms`));
    this.#drop(lookup);
    lookup.connection.wake();
  }

  /** The connection has ended, perhaps before the store has answered. */
  #abandon(lookup: Lookup): void {
    this.#drop(lookup);
    if (lookup.isOver) return;
    this.#stopWaiting(lookup);
    lookup.end(new Error("The connection ended before the session store answered"));
  }

  /** Asks the store for one session. What it throws at once is reported. */
  #ask(lookup: Lookup, session: OfferedSession): Answer {
    this.#journal.counts.lookups++;
    const began = performance.now();
    let answer: Answer;
    try {
      answer = lookup.operation === "take" ? this.#take(lookup, session) : this.#get(lookup, session);
    } catch (cause) {
      this.#journal.failed(lookup.operation, cause);
      answer = undefined;
    }
    if (!isPromise(answer)) this.#journal.lookupLatency.record(performance.now() - began);
    return answer;
  }

  #take(lookup: Lookup, session: OfferedSession): Answer {
    return this.#store.take!(session.key, this.#join(lookup, session, new Question()));
  }

  #get(lookup: Lookup, session: OfferedSession): Answer {
    const { key } = session;
    const shared = this.#shared.get(key);
    if (shared?.isOpen) return this.#join(lookup, session, shared).answer;
    const forget = () => {
      if (this.#shared.get(key) === question) this.#shared.delete(key);
    };
    const question: Question = new Question(forget);
    const answer = this.#store.get(key, this.#join(lookup, session, question));
    if (!isPromise(answer)) return answer;
    question.answer = Promise.resolve(answer);
    this.#shared.set(key, question);
    question.answer.then(forget, forget);
    // For those who come in the same turn of the loop. Another server may delete the session meanwhile, and who begins
    // after that must not get what was answered before it.
    setImmediate(() => question.isOpen = false);
    return question.answer;
  }

  #join(lookup: Lookup, session: OfferedSession, question: Question): Question {
    if (lookup.asked) this.#byKey.delete(lookup.asked.session.key, lookup);
    this.#byKey.add(session.key, lookup);
    question.join(lookup);
    lookup.asked = { session, question, isRevoked: false };
    return question;
  }
}
