import { assert } from "@std/assert";
import {
  ReleasedError,
  type Session,
  type SessionCache,
  SessionCacheMode,
  SslConnection,
  SslContext,
  SslOption,
} from "../../mod.ts";
import { contextPointer } from "../../ssl/context.ts";
import { credentials } from "../support.ts";
import { scriptCallbacks } from "./ownership_callbacks.ts";
import type { Random } from "./random.ts";
import { outcome } from "./target.ts";

/** An object of the library's, and whether it is to work still. */
export interface Owned<T> {
  readonly object: T;
  lives: boolean;
}

/** Two connections that talk to each other. */
export interface Pair {
  readonly server: Owned<SslConnection>;
  readonly client: Owned<SslConnection>;
}

type Role = "server" | "client";

/** All objects of one case, and what the model knows of them. */
export class World {
  readonly random: Random;
  readonly contexts: (Owned<SslContext> & { readonly role: Role })[] = [];
  readonly sessions: Owned<Session>[] = [];
  readonly pairs: Pair[] = [];
  readonly caches: SessionCache[] = [];
  /** How many callbacks are under way. */
  depth = 0;
  /** How many objects have ended. */
  deaths = 0;
  /** Nothing is to be called any more, though a store may be asked something still. */
  isOver = false;
  readonly #step: (world: World) => void;
  readonly #releases: (() => void)[] = [];

  constructor(random: Random, step: (world: World) => void) {
    this.random = random;
    this.#step = step;
  }

  /** Makes random calls from within a callback. */
  reenter(): void {
    if (!this.isOver && this.depth < 3 && this.random.oneIn(3)) this.#step(this);
  }

  /** What the library is to say that it holds. */
  expectedHeld(): { contexts: number; connections: number; sessions: number } {
    const living = (all: readonly Owned<unknown>[]) => all.filter(({ lives }) => lives).length;
    return {
      contexts: living(this.contexts),
      connections: living(this.connections()),
      sessions: living(this.sessions),
    };
  }

  connections(): Owned<SslConnection>[] {
    return this.pairs.flatMap(({ server, client }) => [server, client]);
  }

  /** Takes note of a session that is this side's. */
  own(session: Session): Owned<Session> {
    const owned = { object: session, lives: true };
    this.sessions.push(owned);
    return owned;
  }

  endSession(session: Owned<Session>): void {
    this.#die(session);
    session.object.dispose();
  }

  /** Takes note that libssl has taken it. */
  giveAway(session: Owned<Session>): void {
    this.#die(session);
  }

  endContext(context: Owned<SslContext>): void {
    this.#die(context);
    outcome(() => context.object.dispose());
  }

  endConnection(connection: Owned<SslConnection>): void {
    this.#die(connection);
    outcome(() => connection.object.dispose());
  }

  #die(object: Owned<unknown>): void {
    if (object.lives) this.deaths++;
    object.lives = false;
  }

  makeContext(role: Role = this.random.pick(["server", "client"] as const)): Owned<SslContext> & { role: Role } {
    const { random } = this;
    const { Server, Client, NoInternal, NoInternalStore, NoInternalLookup, NoAutoClear } = SessionCacheMode;
    const versions = random.pick([{}, { maxVersion: "TLSv1.2" as const }, { minVersion: "TLSv1.3" as const }]);
    // Now and then a HelloRetryRequest, after which callbacks are called again.
    const groups = role === "client" ? "P-256:P-384" : random.pick(["P-256", "P-256", "P-384"]);
    const modes = [0, NoInternal, NoInternalStore, NoInternalLookup, NoAutoClear];
    const object = role === "server"
      ? SslContext.server({
        ...credentials,
        ...versions,
        groups,
        sessionIdContext: random.pick(["one", "one", "other"]),
        options: random.oneIn(3) ? 0 : SslOption.NoTicket,
        sessionCacheMode: Server | random.pick(modes),
        numTickets: random.below(4),
        ...(random.oneIn(4) && {
          verify: "request",
          rejectUnauthorized: random.oneIn(2),
          certificateAuthorities: credentials.certificate,
        }),
      })
      : SslContext.client({
        ...(random.oneIn(4) ? credentials : {}),
        ...versions,
        groups,
        verify: "none",
        sessionIdContext: "one",
        sessionCacheMode: Client | random.pick(modes),
      });
    const made = { object, role, lives: true };
    this.contexts.push(made);
    scriptCallbacks(this, object);
    // A second object around the same SSL_CTX now and then.
    if (random.oneIn(5)) {
      this.contexts.push({ object: SslContext.fromPointer(contextPointer(object)), role, lives: true });
    }
    return made;
  }

  /** A context for this side, which may have ended. */
  aContext(role: Role): Owned<SslContext> {
    const known = this.contexts.filter((context) => context.role === role && (context.lives || this.random.oneIn(10)));
    return known.length > 0 ? this.random.pick(known) : this.makeContext(role);
  }

  aPair(): Pair | undefined {
    return this.pairs.length > 0 ? this.random.pick(this.pairs) : undefined;
  }

  makePair(server: Owned<SslContext>, client: Owned<SslContext>, offered: Owned<Session> | undefined): void {
    const one = { object: SslConnection.server(server.object), lives: true };
    try {
      const other = SslConnection.client(client.object, {
        serverName: this.random.pick(["localhost", "example.com"]),
        ...(offered && { session: offered.object }),
      });
      this.pairs.push({ server: one, client: { object: other, lives: true } });
    } catch (error) {
      one.object.dispose();
      throw error;
    }
  }

  /** Carries over what there is, in one piece or in several, and sometimes damaged. */
  carry(from: Owned<SslConnection>, to: Owned<SslConnection>): void {
    if (!from.lives || !to.lives) return;
    const buffer = new Uint8Array(20_000);
    outcome(() => {
      const length = from.object.pullCiphertext(buffer);
      if (length > 0 && this.random.oneIn(60)) buffer[this.random.below(length)]! ^= 1 << this.random.below(8);
      const cut = this.random.oneIn(4) ? this.random.below(length + 1) : length;
      to.object.pushCiphertext(buffer.subarray(0, cut));
      to.object.pushCiphertext(buffer.subarray(cut, length));
    });
  }

  /** Remembers to call this in the end. */
  release(release: () => void): void {
    if (this.random.oneIn(2)) release();
    else this.#releases.push(release);
  }

  /** Ends all there is, in a random order of kinds. Callbacks go on being called meanwhile. */
  end(): void {
    for (const release of this.#releases.splice(0)) release();
    const kinds = [
      () => this.sessions.forEach((session) => this.endSession(session)),
      () => this.connections().forEach((connection) => this.endConnection(connection)),
      () => this.contexts.forEach((context) => this.endContext(context)),
    ];
    const first = this.random.below(3);
    for (let at = 0; at < 3; at++) kinds[(first + at) % 3]!();
    // What callbacks made in the meantime.
    for (const kind of [...kinds, ...kinds, ...kinds]) kind();
    this.contexts.length = this.sessions.length = this.pairs.length = 0;
  }
}

/** Makes a call on objects of which the model knows whether they live. */
export function call(world: World, objects: readonly Owned<unknown>[], act: () => unknown): unknown {
  const allLive = objects.every(({ lives }) => lives);
  const { deaths } = world;
  const error = outcome(act);
  // What is dead refuses; what lives does not say that it is dead, unless a callback ended it meanwhile.
  if (!allLive) assert(error !== undefined, "An object that has ended did something");
  else if (world.deaths === deaths) assert(!(error instanceof ReleasedError), `It lives, and says: ${error}`);
  return error;
}
