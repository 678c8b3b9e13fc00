/** Servers with a session cache, and clients of theirs, in memory. */

import {
  MemoryStore,
  SessionCache,
  type SessionStoreError,
  SqliteStore,
  SslContext,
  type SslContextOptions,
} from "../mod.ts";
import type { SessionStore } from "../mod.ts";
import { Contexts, credentials, Link, type Version } from "./support.ts";
import { Session, type SslConnection } from "../mod.ts";
import { contextState } from "../ssl/context.ts";

/** A store that can be closed, in memory: the tests of files are the stores' own. */
export const stores: Record<string, () => SessionStore & { close?(): void }> = {
  MemoryStore: () => new MemoryStore(),
  SqliteStore: () => new SqliteStore(":memory:"),
};

/** Two contexts of which the server's has a session cache; what the store did wrong is kept. */
export class CachingContexts extends Contexts {
  readonly cache: SessionCache;
  readonly errors: SessionStoreError[] = [];

  constructor(
    version: Version,
    store: SessionStore,
    server: SslContextOptions = {},
    client: SslContextOptions = {},
    onStoreError?: (error: SessionStoreError) => void,
  ) {
    super(version, server, client);
    this.cache = new SessionCache({
      store,
      onStoreError: (error) => {
        this.errors.push(error);
        onStoreError?.(error);
      },
    });
    this.cache.attach(this.server);
  }

  /** Visits another server, with a copy of the session. */
  visitAt(server: SslContext, session?: Session, serverName = "localhost"): { resumed: boolean } {
    using copy = session && Session.fromDer(session.toDer());
    using link = new Link({ server, client: this.client }, copy, serverName);
    link.connect();
    const resumed = link.server.isResumed;
    link.close();
    return { resumed };
  }
}

/** A second server, of the same certificate. */
export function anotherServer(version: Version, cache: SessionCache, options: SslContextOptions = {}): SslContext {
  const context = SslContext.server({
    ...credentials,
    minVersion: version,
    maxVersion: version,
    sessionIdContext: "openssl-sessions",
    ...options,
  });
  cache.attach(context);
  return context;
}

/** Hears what a context's new session callback hears, which is a cache's and not to be set. */
export function overhearNewSessions(
  context: SslContext,
  hear: (connection: SslConnection, session: Session) => void,
): void {
  const state = contextState(context);
  const callback = state.newSession!;
  state.newSession = (connection, session) => {
    hear(connection, session);
    return callback(connection, session);
  };
}
