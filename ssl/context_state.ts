import type { Pointer } from "../ffi/types.ts";
import { library } from "./library.ts";
import type { SslConnection } from "./connection.ts";
import type { SslContext } from "./context.ts";
import type {
  AlpnCallback,
  ClientHelloCallback,
  GenerateSessionIdCallback,
  GetSessionCallback,
  KeylogCallback,
  NewSessionCallback,
  RemoveSessionCallback,
} from "./callback_types.ts";

/** The callbacks of which a context has one each, and a session cache may have them. */
export type SessionCallbackKind = "newSession" | "removeSession" | "getSession" | "generateSessionId";

/**
 * The TypeScript side of one SSL_CTX: what its callbacks find. It lives as long as TypeScript has a reference to the
 * SSL_CTX, through an SslContext or a connection.
 *
 * libcrypto could tell when it frees an SSL_CTX (CRYPTO_get_ex_new_index), but would tell every thread that asked, on
 * the thread that frees: into the JavaScript of another worker.
 */
export class ContextState {
  /** The SSL_CTX. */
  readonly pointer: Pointer;
  /** Other code made the SSL_CTX, and may hold it for longer than TypeScript does. */
  readonly isForeign: boolean;
  /** How many SslContexts and connections hold the SSL_CTX. */
  references = 0;
  newSession: NewSessionCallback | undefined;
  removeSession: RemoveSessionCallback | undefined;
  getSession: GetSessionCallback | undefined;
  clientHello: ClientHelloCallback | undefined;
  /** What a server has called after it: it chooses the context of the name. */
  chooseContext: ClientHelloCallback | undefined;
  /** What a session cache has called last. */
  lookUpSession: ClientHelloCallback | undefined;
  /** The session cache that has the context's callbacks. */
  sessionCache: { readonly cache: object; readonly kinds: readonly SessionCallbackKind[] } | undefined;
  keylog: KeylogCallback | undefined;
  generateSessionId: GenerateSessionIdCallback | undefined;
  /** How many TLS 1.3 tickets follow a handshake, where somebody said it. */
  numTickets: number | undefined;
  /** The session id context, where this library set it. */
  idContext: Uint8Array = new Uint8Array();
  /** The server's protocols in the wire's form, in C's memory. */
  alpn: { readonly list: Pointer; readonly length: number } | undefined;
  /** What chooses a server's protocol in place of a list. */
  alpnCallback: AlpnCallback | undefined;
  /** The DNS names and IP addresses that its certificates are for. */
  serverNames: readonly string[] = [];
  /** What it trusts, given back when it has ended. */
  trust: { release(): void } | undefined;
  /** None of its certificates can be used with TLS 1.3: what it serves speaks TLS 1.2 at most. */
  isForTls12Only = false;
  /** The OCSP responses for its certificates, by the addresses of their X509s. */
  readonly ocspResponses = new Map<bigint | number, Uint8Array>();
  /** Connections of other contexts use its certificates: libssl looks for some of their callbacks here. */
  isBorrowed = false;
  /** How many remove callbacks are under way. libssl up to 3.5 holds the context's lock meanwhile. */
  removing = 0;
  /** The side that its connections are, where the context was made for one. */
  role: "server" | "client" | undefined;
  /** The objects that users hold, for as long as they do: several, where `fromPointer()` was asked several times. */
  handles: WeakRef<SslContext>[] = [];

  constructor(pointer: Pointer, isForeign: boolean) {
    this.pointer = pointer;
    this.isForeign = isForeign;
  }

  /** One of them that has not been disposed; the disposed one where there is no other. */
  get handle(): SslContext | undefined {
    for (const reference of this.handles) {
      const handle = reference.deref();
      if (handle) return handle;
    }
    return undefined;
  }

  /** Has another object stand for the context, if there is one. */
  retire(handle: SslContext): void {
    const others = this.handles.filter((reference) => (reference.deref() ?? handle) !== handle);
    if (others.length > 0) this.handles = others;
  }
}

/** How many remove callbacks are under way, of any context: a session does not say which one caches it. */
export const removals = { underWay: 0 };

const states = new Map<bigint | number, ContextState>();

/** The state of this SSL_CTX, if it has one. */
export function stateOf(context: Pointer): ContextState | undefined {
  return states.get(library().memory.keyOf(context));
}

/** The state of an SSL_CTX that TypeScript is about to hold. */
export function makeState(context: Pointer, isForeign: boolean): ContextState {
  const state = new ContextState(context, isForeign);
  states.set(library().memory.keyOf(context), state);
  return state;
}

/** Forgets the state of an SSL_CTX that TypeScript holds no longer. */
export function forgetState(state: ContextState): void {
  const { memory, crypto } = library();
  const key = memory.keyOf(state.pointer);
  if (states.get(key) === state) states.delete(key);
  state.trust?.release();
  if (state.alpn) crypto.CRYPTO_free(state.alpn.list, null, 0);
}

/**
 * What callbacks need of the modules that import this one, which set it. The first two make the objects that a callback
 * hands out for an SSL or SSL_CTX that TypeScript has no object of.
 */
export const wrappers: {
  connection?: (ssl: Pointer) => { connection: SslConnection; end: () => void };
  releasedContext?: (state: ContextState) => SslContext;
  useContext?: (connection: SslConnection, context: SslContext) => void;
} = {};
