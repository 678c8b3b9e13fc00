import { isBytes } from "../ssl/bytes.ts";
import type { RemovalReason } from "../ssl/callback_types.ts";
import { callback, flag, list, milliseconds, oneOf, positive, withMethods } from "../ssl/option_kinds.ts";
import type { OptionKind, OptionKinds } from "../ssl/options.ts";
import type { LatencyHistogram } from "./histogram.ts";
import type { SessionStore } from "./session_store.ts";
import type { SessionStoreError, StoreOperation } from "./session_store_error.ts";

/** The options of a {@linkcode SessionCache}. */
export interface SessionCacheOptions {
  /** Where the sessions are kept. */
  store: SessionStore;
  /**
   * The farm's secrets, the current one first: text or bytes, 16 bytes at least, 32 random ones at best. Values are
   * sealed with keys derived from them, the store's keys are HMACs, and session ids are signed. Servers with the same
   * secrets resume each other's sessions. To rotate: add the new one at the end on all servers, then move it to the
   * front, and take the old one away when what was made with it has expired.
   */
  secrets?: readonly (string | Uint8Array)[];
  /** Lets sessions leave the process as they are, keys in clear. Without it, a store that is shared needs `secrets`. */
  unsealed?: boolean;
  /**
   * Called when the store failed, or answered with something that is not the session asked for. Clients do not notice:
   * they make full handshakes. It is the operator's way to learn of it, so do set it. What it throws is ignored.
   */
  onStoreError?: (error: SessionStoreError) => void;
  /** Called with all that happens. No event holds a secret. What it throws is ignored. */
  onEvent?: (event: SessionCacheEvent) => void;
  /**
   * Whether a TLS 1.3 session is used once. By default it is where the store has `take`; true refuses a store that has
   * not. False lets clients resume one session several times, as they may with TLS 1.2: for GnuTLS's, which offer one on
   * all their connections, as FTP clients do on the data connections that must resume the control connection's. Whoever
   * watches can then tell that such connections are of one client (RFC 8446, appendix C.4).
   */
  singleUse?: boolean;
  /**
   * For how long a handshake waits for a store that does not answer at once, in milliseconds; by default 250. After
   * that it goes on as a full handshake.
   */
  lookupTimeout?: number;
  /** For how long one session may resume, in seconds; by default as long as the context's `sessionTimeout` says. */
  maxSessionAge?: number;
  /**
   * For how long a line of resumptions may go on since its full handshake, in seconds; by default 86,400, a day. Each
   * TLS 1.3 resumption makes a new session, so without an end the certificates would never be checked again.
   */
  maxLineageAge?: number;
  /** The largest value to store, in bytes; by default 10,240. A larger session does not resume. */
  maxEntrySize?: number;
  /**
   * For how long the store may take to store or delete a session, in milliseconds; by default 5,000. After that it has
   * failed, and nobody waits for it any more.
   */
  writeTimeout?: number;
  /**
   * How many sessions may be on their way to the store, or from it, at once; by default 1,000. What is more is not
   * stored: a store that hangs does not fill the memory. While one hangs, one at a time is tried.
   */
  maxPendingWrites?: number;
  /**
   * For which reasons a session that libssl removed is deleted from the store; by default for all but
   * `unclean close`: a client that vanishes, or a server that is restarted, says nothing against a session.
   */
  deleteWhen?: readonly DeletionReason[];
  /**
   * Holds TLS 1.3 tickets back until the store has their sessions, for `lookupTimeout` at most: for clients that come
   * back faster than the store writes. The first answer waits with them. With TLS 1.2, where the id went out earlier, it
   * is the end of the handshake that waits. By default false.
   */
  durableTickets?: boolean;
}

/** Reasons to delete a session from the store. That a context ends or its own cache is full is never one. */
export type DeletionReason = Exclude<RemovalReason, "evicted" | "context freed">;

/** What happened in a {@linkcode SessionCache}. `id` is the session id's first four bytes in hexadecimal. */
export type SessionCacheEvent =
  | { readonly type: "hit" | "miss" | "foreign id" | "timed out" | "late"; readonly id: string }
  | { readonly type: "refused"; readonly id: string; readonly reason: RefusalReason }
  | { readonly type: "stored"; readonly id: string; readonly milliseconds: number }
  | { readonly type: "not stored"; readonly id: string; readonly reason: NotStoredReason }
  | { readonly type: "revoked"; readonly id: string }
  | { readonly type: "removed"; readonly id: string; readonly reason: RemovalReason; readonly deleted: boolean }
  | { readonly type: "store error"; readonly operation: StoreOperation; readonly error: SessionStoreError };

/** Why a session that the store had does not resume. */
export type RefusalReason =
  | "not opened"
  | "another session"
  | "another server name"
  | "another context"
  | "another protocol version"
  | "another cipher"
  | "the client's certificate"
  | "too old"
  | "from the future"
  | "revoked";

/** Why a new session does not go to the store, or did not get there. */
export type NotStoredReason = "too large" | "too old" | "revoked" | "too many writes" | "the store failed";

/** What a {@linkcode SessionCache} has counted since it was made. */
export interface SessionCacheStats {
  /** Sessions that clients proposed and the store was asked for. */
  lookups: number;
  /** Lookups that found a session. Whether it resumes is for libssl to say. */
  hits: number;
  /** Lookups that found none. */
  misses: number;
  /** Proposed ids that this farm did not make: the store was not asked. Only with `secrets`. */
  foreignIds: number;
  /** Lookups that took longer than `lookupTimeout`: their clients made full handshakes. */
  timedOut: number;
  /** Answers that came when nobody waited for them any more. A session that was taken for one is spent. */
  late: number;
  /** TLS 1.3 sessions of this farm that the store no longer had: used before, lost, or expired. Only with `secrets`. */
  alreadyTaken: number;
  /** Values that could not be opened: of an unknown secret, changed, or moved to another key. */
  notOpened: number;
  /** Sessions refused because they, or their line, were too old. */
  tooOld: number;
  /** Sessions refused because they, or their line, began more than five minutes from now: a clock was wrong. */
  fromTheFuture: number;
  /** Sessions refused because they were made for another server name. */
  otherName: number;
  /** Sessions refused because they were made under another session id context. With `secrets` they are foreign ids. */
  otherContext: number;
  /** Sessions refused because another protocol version was negotiated. */
  otherVersion: number;
  /** Sessions of TLS 1.2 and before refused because the context would not negotiate their cipher. */
  otherCipher: number;
  /** Sessions refused because the client's certificate, or that there is none, would not do today. */
  certificateRefused: number;
  /** Sessions refused, or not stored, because they were revoked while a handshake was under way. */
  revokedMeanwhile: number;
  /** Sessions that were revoked: calls of `revoke()`, and what `revokeWhere()` deleted. */
  revoked: number;
  /** Sessions that were handed to the store. */
  stored: number;
  /** Sessions that were too large to store. */
  tooLarge: number;
  /** Sessions that the store failed to store, or did not store in `writeTimeout`. */
  writeFailures: number;
  /** Sessions that the store did not store or delete in `writeTimeout`. */
  writeTimeouts: number;
  /** Answers to those that came later. */
  lateWrites: number;
  /** Sessions that were not stored or not deleted because `maxPendingWrites` were under way. */
  droppedWrites: number;
  /** Sessions that libssl removed. */
  removed: number;
  /** Failures of the store, of whatever kind: each was reported to `onStoreError`. */
  errors: number;
  /** How long the store took to answer lookups. */
  lookupLatency: LatencyHistogram;
  /** How long the store took to store. */
  storeLatency: LatencyHistogram;
}

/** For which reasons a session is deleted, where nothing else is said. */
export const deletionReasons: readonly DeletionReason[] = ["expired", "fatal alert", "flushed", "application"];

const secrets: OptionKind<readonly (string | Uint8Array)[]> = (value) => {
  const isSecret = (secret: unknown) => typeof secret === "string" || isBytes(secret);
  if (Array.isArray(value) && value.every(isSecret)) return Object.freeze([...value]);
  throw new TypeError(
    "Cannot use these secrets: give an array of text or bytes, the current one first" +
      (Array.isArray(value) && value.some((secret) => secret === undefined)
        ? "; one is undefined: is its variable set?"
        : ""),
  );
};

/** The kinds of a cache's options. */
export const sessionCacheKinds: OptionKinds<SessionCacheOptions> = {
  store: withMethods("a store with the methods get, put and delete", "get", "put", "delete"),
  secrets,
  unsealed: flag,
  singleUse: flag,
  onStoreError: callback(),
  onEvent: callback(),
  lookupTimeout: milliseconds,
  maxSessionAge: positive,
  maxLineageAge: positive,
  maxEntrySize: positive,
  writeTimeout: milliseconds,
  maxPendingWrites: positive,
  deleteWhen: list(oneOf("expired", "fatal alert", "flushed", "application", "unclean close")),
  durableTickets: flag,
};
