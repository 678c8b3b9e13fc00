import type { Pointer } from "../ffi/types.ts";
import { library } from "./library.ts";

/** The twelve counters that libssl keeps of a context's sessions. @see SSL_CTX_sess_number(3) */
export interface SessionCounters {
  /** Sessions in the internal cache. */
  readonly number: number;
  /** Handshakes begun as a client. */
  readonly connect: number;
  /** Handshakes completed as a client. */
  readonly connectGood: number;
  /** Renegotiations begun as a client. */
  readonly connectRenegotiate: number;
  /** Handshakes begun as a server. */
  readonly accept: number;
  /** Handshakes completed as a server. */
  readonly acceptGood: number;
  /** Renegotiations begun as a server. */
  readonly acceptRenegotiate: number;
  /** Sessions resumed. */
  readonly hits: number;
  /** Sessions that the get callback found. */
  readonly callbackHits: number;
  /** Sessions that clients proposed and the internal cache did not have. */
  readonly misses: number;
  /** Sessions that clients proposed and that had expired. */
  readonly timeouts: number;
  /** Sessions removed because the internal cache was full. */
  readonly cacheFull: number;
}

// In the order of SSL_CTRL_SESS_NUMBER (20) to SSL_CTRL_SESS_CACHE_FULL (31).
const counterNames: (keyof SessionCounters)[] = [
  "number",
  "connect",
  "connectGood",
  "connectRenegotiate",
  "accept",
  "acceptGood",
  "acceptRenegotiate",
  "hits",
  "callbackHits",
  "misses",
  "timeouts",
  "cacheFull",
];

/** The counters of an SSL_CTX as they stand. */
export function sessionCounters(context: Pointer): SessionCounters {
  const { ssl } = library();
  const firstCounter = 20;
  return Object.fromEntries(
    counterNames.map((name, index) => [name, Number(ssl.SSL_CTX_ctrl(context, firstCounter + index, 0, null))]),
  ) as unknown as SessionCounters;
}
