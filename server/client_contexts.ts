import type { KeylogCallback } from "../ssl/callback_types.ts";
import type { SslConnection } from "../ssl/connection.ts";
import { SessionCacheMode } from "../ssl/constants.ts";
import { makeLoadedContext, type SslContext } from "../ssl/context.ts";
import { contextKinds, type SslContextOptions } from "../ssl/context_options.ts";
import { hashOf, type LoadedOptions, loadOptions, wipe } from "../ssl/loaded_options.ts";
import { omitOptions, type OptionKinds } from "../ssl/options.ts";
import type { Session } from "../ssl/session.ts";

/** The options of a context that make sense for the connections of a client whose sessions are kept for it. */
export type ClientContextOptions = Omit<
  SslContextOptions,
  "sessionIdContext" | "sessionCacheMode" | "sessionCacheSize" | "sessionTimeout" | "numTickets"
>;

const {
  sessionIdContext: _1,
  sessionCacheMode: _2,
  sessionCacheSize: _3,
  sessionTimeout: _4,
  numTickets: _5,
  ...kinds
} = contextKinds;

/** The kinds of these options. */
export const clientContextKinds: OptionKinds<ClientContextOptions> = kinds;

/** What the callbacks of a shared context do for one connection. */
export interface ConnectionCallbacks {
  /** Answers whether it keeps the session. It must not throw. */
  readonly keep: (session: Session) => boolean;
  readonly keylog: KeylogCallback | undefined;
}

const callbacks = new WeakMap<SslConnection, ConnectionCallbacks>();

/** Sets what the callbacks of a shared context do for this connection. */
export function setConnectionCallbacks(connection: SslConnection, ofConnection: ConnectionCallbacks): void {
  callbacks.set(connection, ofConnection);
}

/** How many contexts are kept for connections to come. */
const mostContexts = 32;

/** Clients' contexts, made of options and shared by those who give equal ones. */
export class ClientContexts {
  // A Map remembers the order of insertion; an entry that is used is inserted anew.
  readonly #contexts = new Map<string, SslContext>();

  /**
   * The context for these options, which stays this object's. Files are read each time, as their content decides.
   *
   * @returns the context, and a key that is the same for equal options alone and tells nothing of them
   */
  get(options: ClientContextOptions): { context: SslContext; key: string } {
    const { keylog } = options;
    const loaded = loadOptions(omitOptions({ keylog: true }, options));
    try {
      const key = hashOf({ ...loaded, keylog: keylog !== undefined });
      const context = this.#take(key) ?? this.#make(loaded, keylog !== undefined);
      this.#contexts.set(key, context);
      return { context, key };
    } finally {
      wipe(loaded);
    }
  }

  #take(key: string): SslContext | undefined {
    const context = this.#contexts.get(key);
    this.#contexts.delete(key);
    return context;
  }

  #make(options: LoadedOptions, hasKeylog: boolean): SslContext {
    const context = makeContext(options, hasKeylog);
    if (this.#contexts.size >= mostContexts) {
      const [leastRecent, unused] = this.#contexts.entries().next().value!;
      this.#contexts.delete(leastRecent);
      unused.dispose();
    }
    return context;
  }

  /** Gives all contexts back. Connections that were made with them go on. */
  clear(): void {
    const contexts = [...this.#contexts.values()];
    this.#contexts.clear();
    for (const context of contexts) context.dispose();
  }
}

function makeContext(options: LoadedOptions, hasKeylog: boolean): SslContext {
  const sessionCacheMode = SessionCacheMode.Client | SessionCacheMode.NoInternal;
  const context = makeLoadedContext("client", { ...options, sessionCacheMode });
  context.setNewSessionCallback((connection, session) => callbacks.get(connection)?.keep(session) ?? false);
  if (hasKeylog) {
    context.setKeylogCallback((connection, line) => callbacks.get(connection)?.keylog?.(connection, line));
  }
  return context;
}
