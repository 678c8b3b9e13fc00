import { callbacks } from "../ffi/callbacks.ts";
import type { OpenSsl } from "../ffi/open.ts";
import type { Null, Pointer, Trampoline } from "../ffi/types.ts";
import { randomBytes } from "node:crypto";
import { clientHelloSteps } from "./context_callbacks.ts";
import { activeCaller, calledBack, removalReason, whenUnwound } from "./calls.ts";
import type { RemovalReason, SessionLookup } from "./callback_types.ts";
import { copyOf, isBytes } from "./bytes.ts";
import { ClientHello } from "./client_hello.ts";
import type { SslConnection } from "./connection.ts";
import { SessionCacheMode } from "./constants.ts";
import { type ContextState, removals, stateOf, wrappers } from "./context_state.ts";
import { requireCipher } from "./fitness.ts";
import { library, whenOpened } from "./library.ts";
import { offeredProtocols, selectOffered, selectProtocol } from "./select_protocol.ts";
import { endSession, giveAwaySession, keepSession, lendSession, Session, sessionPointer } from "./session.ts";
import { acceptAnyCertificate } from "./tolerant_verification.ts";

/**
 * The C functions that libssl calls back, one of each kind for the whole process. Each finds the TypeScript side by
 * the SSL or SSL_CTX it is passed. None throws: C gets its failure value, and the error goes to the outer call.
 */
export type Trampolines = { readonly [K in keyof typeof callbacks]: Pointer };

let made: Trampolines | undefined;

/** The trampolines of the open library. */
export function trampolines(): Trampolines {
  library();
  return made!;
}

whenOpened(({ adapter }: OpenSsl) => {
  const all: { [K in keyof typeof callbacks]: Trampoline } = {
    newSession: adapter.trampoline(callbacks.newSession, newSession),
    removeSession: adapter.trampoline(callbacks.removeSession, removeSession),
    getSession: adapter.trampoline(callbacks.getSession, getSession),
    clientHello: adapter.trampoline(callbacks.clientHello, clientHello),
    serverName: adapter.trampoline(callbacks.serverName, serverName),
    generateSessionId: adapter.trampoline(callbacks.generateSessionId, generateSessionId),
    alpnSelect: adapter.trampoline(callbacks.alpnSelect, alpnSelect),
    keylog: adapter.trampoline(callbacks.keylog, keylog),
    acceptAnyCertificate: adapter.trampoline(callbacks.acceptAnyCertificate, acceptAnyCertificate),
    acceptVerifiedCertificate: adapter.trampoline(callbacks.acceptVerifiedCertificate, (isVerified) => isVerified),
    certificateStatus: adapter.trampoline(callbacks.certificateStatus, certificateStatus),
    info: adapter.trampoline(callbacks.info, info),
  };
  made = Object.fromEntries(
    Object.entries(all).map(([kind, { pointer }]) => [kind, pointer]),
  ) as unknown as Trampolines;
  return () => {
    for (const trampoline of Object.values(all)) trampoline.close();
    made = undefined;
  };
});

function newSession(ssl: Pointer | Null, pointer: Pointer | Null): number {
  return calledBack(0, () =>
    withConnection(ssl, 0, ({ newSession }, connection) => {
      if (!newSession || !pointer) return 0;
      const session = lendSession(pointer);
      let kept = false;
      try {
        const answer = newSession(connection, session);
        refusePromise("new session", answer);
        kept = answer === true && keepSession(session);
        return kept ? 1 : 0;
      } finally {
        if (!kept) endSession(session, "the return of the new session callback, which did not keep it");
      }
    }));
}

function removeSession(context: Pointer | Null, pointer: Pointer | Null): void {
  calledBack(undefined, () => {
    const state = context ? stateOf(context) : undefined;
    if (!state?.removeSession || !pointer) return;
    const session = lendSession(pointer);
    state.removing++;
    removals.underWay++;
    try {
      const handle = state.handle ?? wrappers.releasedContext!(state);
      const reason = removalReason() ?? reasonOf(session, pointer);
      refusePromise("remove session", state.removeSession(handle, session, reason));
    } finally {
      state.removing--;
      removals.underWay--;
      endSession(session, "the return of the remove session callback that it was lent to");
    }
  });
}

/** Why a session is removed in the middle of a handshake, of reading or of writing. */
function reasonOf(session: Session, pointer: Pointer): RemovalReason {
  if (session.expires.getTime() <= Date.now()) return "expired";
  const { ssl, memory } = library();
  const caller = activeCaller();
  const own = caller && ssl.SSL_get_session(caller.pointer);
  return own && memory.keyOf(own) === memory.keyOf(pointer) ? "fatal alert" : "evicted";
}

/**
 * libssl asks for each of up to 1,700 sessions that fit a ClientHello, and begins anew after a HelloRetryRequest. Clients
 * that mean well offer a few.
 */
const mostQuestions = 64;

function getSession(ssl: Pointer | Null, data: Pointer | Null, length: number, copy: Pointer | Null): Pointer | Null {
  const caller = activeCaller();
  const isCallers = caller && ssl && caller.key === library().memory.keyOf(ssl);
  // Nothing else is done, so that a client gains nothing by offering more.
  if (isCallers && ++caller.sessionQuestions > mostQuestions) return null;
  return calledBack(null, () =>
    withConnection(ssl, null, (state, connection) => {
      if (!state.getSession) return null;
      const { memory } = library();
      const lookup: SessionLookup = { copy: true };
      const id = memory.readBytes(data, length);
      const session = state.getSession(connection, id.slice(), lookup);
      if (session === undefined || session === null) return null;
      refusePromise("get session", session);
      if (!(session instanceof Session)) {
        throw new TypeError("Cannot use what the get session callback returned: it is neither a Session nor undefined");
      }
      const { ssl } = library();
      const given = lookup.copy
        ? undefined
        : giveAwaySession(session, "being given to libssl by the get session callback");
      const found = given ?? sessionPointer(session);
      try {
        requireCipher("use the session that the get session callback returned", found);
      } catch (error) {
        if (given) whenUnwound(() => ssl.SSL_SESSION_free(given));
        throw error;
      }
      // Up to 1.1.1 libssl would go on with one that was removed meanwhile, and break the handshake.
      const isGood = ssl.SSL_SESSION_is_resumable(found) === 1;
      if (isCallers && isGood) caller.resumedId = id;
      if (isGood && !storesInternally(state)) {
        // libssl set the flag to 1 before it called.
        if (given) memory.writeInt(copy as Pointer, 0);
        return found;
      }
      // What is given and not taken is freed, once no call can be using it.
      if (given) whenUnwound(() => ssl.SSL_SESSION_free(given));
      if (!isGood) return null;
      // libssl is going to put it into the context's cache, chained to the others there. One that is in two contexts'
      // caches breaks both chains, so this cache gets a copy.
      memory.writeInt(copy as Pointer, 0);
      return ssl.SSL_SESSION_dup(found);
    }));
}

/** Whether libssl stores in the context's own cache what the get callback finds. */
function storesInternally({ pointer }: ContextState): boolean {
  const getCacheMode = 45; // SSL_CTRL_GET_SESS_CACHE_MODE
  const mode = Number(library().ssl.SSL_CTX_ctrl(pointer, getCacheMode, 0, null));
  return (mode & SessionCacheMode.NoInternalStore) === 0;
}

const clientHelloAnswers = { refuse: 0, continue: 1, suspend: -1 };

/** The alert for a name that there is no certificate for. RFC 6066, section 3. */
const unrecognizedName = 112;

function clientHello(ssl: Pointer | Null, alert: Pointer | Null): number {
  return calledBack(
    clientHelloAnswers.refuse,
    () =>
      withConnection(ssl, clientHelloAnswers.continue, (state, connection) => {
        const hello = new ClientHello(ssl as Pointer, connection);
        try {
          for (const step of clientHelloSteps(state)) {
            const answer = step(connection, hello);
            refusePromise("client hello", answer);
            if (typeof answer !== "string" || !Object.hasOwn(clientHelloAnswers, answer)) {
              throw new TypeError(`Cannot use what the client hello callback returned: ${String(answer)}`);
            }
            if (answer === "refuse" && step === state.chooseContext) {
              library().memory.writeInt(alert as Pointer, unrecognizedName);
            }
            if (answer !== "continue") return clientHelloAnswers[answer];
          }
          return clientHelloAnswers.continue;
        } finally {
          hello.end();
        }
      }),
  );
}

/**
 * Accepts the client's server name. Without this, libssl would not keep the name in the session. It is called for each
 * handshake, after the session was found: later with TLS 1.3 the ticket's takes its place.
 */
function serverName(ssl: Pointer | Null): number {
  const accepted = 0; // SSL_TLSEXT_ERR_OK
  const caller = activeCaller();
  // What the get callback was asked for is known.
  if (!ssl || !caller || caller.context.getSession) return accepted;
  return calledBack(accepted, () => {
    const { ssl: c, memory } = library();
    if (caller.key !== memory.keyOf(ssl) || c.SSL_session_reused(ssl) !== 1) return accepted;
    caller.resumedId = idOf(c.SSL_get_session(ssl) as Pointer);
    return accepted;
  });
}

const idLength = new Uint32Array(1);

function idOf(session: Pointer): Uint8Array {
  const { ssl, memory } = library();
  const id = ssl.SSL_SESSION_get_id(session, idLength);
  return memory.readBytes(id, idLength[0]!);
}

function generateSessionId(ssl: Pointer | Null, id: Pointer | Null, length: Pointer | Null): number {
  // Whatever happens the session gets an id: without one the handshake would fail.
  const made = calledBack<Uint8Array | undefined>(
    undefined,
    () =>
      withConnection<Uint8Array | undefined>(ssl, undefined, ({ generateSessionId }, connection) => {
        const bytes = generateSessionId?.(connection);
        refusePromise("generate session id", bytes);
        if (bytes === undefined) return undefined;
        const id = isBytes(bytes) ? copyOf("this session id", bytes) : undefined;
        if (!id || id.length < 1 || id.length > longestId) {
          throw new TypeError("Cannot use what the generate session id callback returned: it takes 1 to 32 bytes");
        }
        return id;
      }),
  ) ?? randomBytes(longestId);
  const { memory } = library();
  memory.writeBytes(id as Pointer, made, made.length);
  memory.writeInt(length as Pointer, made.length);
  return 1;
}

const longestId = 32;

function keylog(ssl: Pointer | Null, line: Pointer | Null): void {
  calledBack(undefined, () =>
    withConnection(ssl, undefined, ({ keylog }, connection) => {
      if (keylog) refusePromise("keylog", keylog(connection, library().memory.readString(line)!));
    }));
}

function alpnSelect(
  ssl: Pointer | Null,
  out: Pointer | Null,
  outLength: Pointer | Null,
  offered: Pointer | Null,
  offeredLength: number,
): number {
  const accepted = 0, fatal = 2, ignored = 3; // SSL_TLSEXT_ERR_OK, _ALERT_FATAL, _NOACK
  const offer = { out, outLength, offered, offeredLength };
  return calledBack(fatal, () =>
    withConnection(ssl, ignored, ({ alpn, alpnCallback }, connection) => {
      if (!alpnCallback) return !alpn ? ignored : selectProtocol(offer, alpn) ? accepted : fatal;
      const protocols = offeredProtocols(offer);
      const chosen: unknown = alpnCallback({ servername: connection.serverName ?? false, protocols });
      refusePromise("ALPN", chosen);
      if (chosen === undefined) return fatal;
      if (protocols.includes(chosen as string)) return selectOffered(offer, chosen as string) ? accepted : fatal;
      throw Object.assign(new TypeError("Cannot use what the ALPN callback returned: the client does not offer it"), {
        code: "ERR_TLS_ALPN_CALLBACK_INVALID_RESULT",
      });
    }));
}

/** Staples the OCSP response of the certificate that was chosen, in the context that is used. */
function certificateStatus(connection: Pointer | Null): number {
  const accepted = 0, ignored = 3; // SSL_TLSEXT_ERR_OK, _NOACK
  return calledBack(ignored, () => {
    if (!connection) return ignored;
    const { ssl, crypto, memory } = library();
    const context = ssl.SSL_get_SSL_CTX(connection);
    const certificate = ssl.SSL_get_certificate(connection);
    const response = context && certificate && stateOf(context)?.ocspResponses.get(memory.keyOf(certificate));
    const copy = response && crypto.CRYPTO_malloc(response.length, null, 0);
    if (!copy) return ignored;
    memory.writeBytes(copy, response, response.length);
    const setResponse = 71; // SSL_CTRL_SET_TLSEXT_STATUS_REQ_OCSP_RESP: libssl frees it
    if (Number(ssl.SSL_ctrl_pointer(connection, setResponse, response.length, copy)) === 1) return accepted;
    crypto.CRYPTO_free(copy, null, 0);
    return ignored;
  });
}

/** Counts what a client sends after the handshake and is no data: libssl's state machine runs once for each. */
function info(ssl: Pointer | Null, type: number): void {
  const acceptExit = 0x2002; // SSL_CB_ACCEPT_EXIT
  if (!ssl || type !== acceptExit) return;
  const caller = activeCaller();
  if (caller?.key === library().memory.keyOf(ssl)) caller.controlMessages++;
}

/** Finds the callbacks of the context that an SSL was made with, and the object to hand to them. */
function withConnection<T>(
  ssl: Pointer | Null,
  unknown: T,
  call: (callbacks: ContextState, connection: SslConnection) => T,
): T {
  const caller = activeCaller();
  if (!ssl) return unknown;
  if (caller && caller.key === library().memory.keyOf(ssl)) return call(caller.context, caller.connection);
  // An SSL that other code made from a context of ours: its object is good for the time of this call.
  const context = library().ssl.SSL_get_SSL_CTX(ssl);
  const state = context ? stateOf(context) : undefined;
  if (!state) return unknown;
  const { connection, end } = wrappers.connection!(ssl);
  try {
    return call(state, connection);
  } finally {
    end();
  }
}

/** libssl cannot wait. A Promise would count as an answer it is not, so it is refused by name. */
function refusePromise(callback: string, answer: unknown): void {
  if (typeof (answer as PromiseLike<unknown> | undefined)?.then !== "function") return;
  // Nobody will wait for it: what it rejects with must not end the program as well.
  (answer as PromiseLike<unknown>).then(undefined, () => {});
  throw new TypeError(
    `The ${callback} callback returned a Promise: libssl needs its answer at once. ` +
      `Suspend in the client hello callback to wait for one`,
  );
}
