import { createHash } from "node:crypto";
import { copyOf, isBytes } from "../ssl/bytes.ts";
import type { KeylogCallback } from "../ssl/callback_types.ts";
import type { SslConnection } from "../ssl/connection.ts";
import { SessionCacheMode } from "../ssl/constants.ts";
import { SslContext } from "../ssl/context.ts";
import { contextKinds, type SslContextOptions } from "../ssl/context_options.ts";
import type { OptionKinds } from "../ssl/options.ts";
import { pemOf } from "../ssl/pem.ts";
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

/** The system's certificate authorities take 20 ms to load, and 0.8 MB each time. */
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
    const {
      keylog,
      certificateFile,
      privateKeyFile,
      certificateAuthoritiesFile,
      certificateRevocationListsFile,
      ...rest
    } = options;
    const { certificate, privateKey, certificateAuthorities, certificateRevocationLists: lists } = options;
    const read = {
      ...rest,
      certificate: pemOf("certificate", certificate, certificateFile),
      privateKey: pemOf("private key", privateKey, privateKeyFile),
      certificateAuthorities: pemOf("certificate authorities", certificateAuthorities, certificateAuthoritiesFile),
      certificateRevocationLists: pemOf("certificate revocation lists", lists, certificateRevocationListsFile),
    };
    const key = keyOf({ ...read, keylog: keylog !== undefined });
    let context = this.#contexts.get(key);
    if (context) this.#contexts.delete(key);
    else {
      // What is undefined is left out there.
      context = makeContext(read as SslContextOptions, keylog !== undefined);
      if (this.#contexts.size >= mostContexts) {
        const [leastRecent, unused] = this.#contexts.entries().next().value!;
        this.#contexts.delete(leastRecent);
        unused.dispose();
      }
    }
    this.#contexts.set(key, context);
    return { context, key };
  }

  /** Gives all contexts back. Connections that were made with them go on. */
  clear(): void {
    const contexts = [...this.#contexts.values()];
    this.#contexts.clear();
    for (const context of contexts) context.dispose();
  }
}

function makeContext(options: SslContextOptions, hasKeylog: boolean): SslContext {
  const context = SslContext.client({
    ...options,
    sessionCacheMode: SessionCacheMode.Client | SessionCacheMode.NoInternal,
  });
  context.setNewSessionCallback((connection, session) => callbacks.get(connection)?.keep(session) ?? false);
  if (hasKeylog) {
    context.setKeylogCallback((connection, line) => callbacks.get(connection)?.keylog?.(connection, line));
  }
  return context;
}

/** A hash, as there may be private keys among the options. */
function keyOf(options: object): string {
  const sorted = Object.entries(options).sort(([a], [b]) => a < b ? -1 : 1);
  return createHash("sha256").update(JSON.stringify(sorted, distinct)).digest("base64");
}

/** For JSON.stringify: values that it would leave out or mix up. */
function distinct(_name: string, value: unknown): unknown {
  if (typeof value === "function") return { function: numberOf(value) };
  return isBytes(value) ? { bytes: [...copyOf("these bytes", value)] } : value;
}

const numbers = new WeakMap<object, number>();
let lastNumber = 0;

/** Functions are equal only to themselves. */
function numberOf(value: object): number {
  let number = numbers.get(value);
  if (number === undefined) numbers.set(value, number = ++lastNumber);
  return number;
}
