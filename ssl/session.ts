import type { X509Certificate } from "node:crypto";
import { cString } from "../ffi/memory.ts";
import type { Null, Pointer } from "../ffi/types.ts";
import { readPem, writePem } from "./pem.ts";
import { copyOf, isLendable, requireBytes } from "./bytes.ts";
import { quietly, whenUnwound } from "./calls.ts";
import { certificateOf } from "./certificate.ts";
import { encodeDer } from "./der.ts";
import { removals } from "./context_state.ts";
import { requireCipher } from "./fitness.ts";
import { held, library } from "./library.ts";
import { nameOfPeer } from "./names.ts";
import { openSslError } from "./openssl_error.ts";
import { protocolName, type ProtocolVersion } from "./protocol.ts";
import { SessionReleasedError } from "./released_error.ts";

/** The net under forgotten sessions: their reference is given back when the garbage collector finds them. */
const forgotten = new FinalizationRegistry<Pointer>((pointer) => quietly(() => free(pointer)));

const secret = Symbol("Session");

// C's out parameters, one of each: no call that fills one makes another before it is read.
const position = new BigUint64Array(1);
const idLength = new Uint32Array(1);

// What the rest of this library does with sessions and a user must not: each can break the count of references.

/** A session around a reference that is the caller's, and from here on the session's. */
export let ownSession: (pointer: Pointer) => Session;
/** A session around a reference that stays C's. It must be kept or ended before C takes the reference back. */
export let lendSession: (pointer: Pointer) => Session;
/** Makes a lent session TypeScript's own. False if it has ended meanwhile. */
export let keepSession: (session: Session) => boolean;
/** Ends a session, and gives its reference back if it is TypeScript's. */
export let endSession: (session: Session, by: string) => void;
/** The pointer, for a call that leaves the reference where it is. */
export let sessionPointer: (session: Session) => Pointer;
/** Ends a session of TypeScript's own and hands its reference to the caller. */
export let giveAwaySession: (session: Session, by: string) => Pointer;

/**
 * One reference to a TLS session (`SSL_SESSION`): what a client and a server remember of each other in order to resume.
 *
 * A session that you made or were given is yours until {@linkcode Session.dispose}. A session lent to a callback ends
 * with the callback; {@linkcode Session.clone} takes a reference that is yours. Using one after its end throws a
 * {@linkcode SessionReleasedError} that names what ended it.
 *
 * A session holds the connection's master key: whoever can read its DER or PEM form can read what it protected. Its
 * inspect form shows no secret.
 *
 * @see SSL_SESSION_get0_id(3), d2i_SSL_SESSION(3)
 *
 * @example
 * ```ts ignore
 * import { readFile } from "node:fs/promises";
 * import { Session } from "@openssl-sessions/openssl-sessions";
 *
 * using session = Session.fromPem(await readFile("session.pem", "utf8"));
 * console.log(session.protocol, session.cipher, session.expires);
 * ```
 */
export class Session {
  #pointer: Pointer | undefined;
  #lent = false;
  #endedBy = "";

  /** Not for use: sessions come from {@linkcode Session.fromDer}, {@linkcode Session.fromPem} and connections. */
  private constructor(key: symbol, pointer: Pointer) {
    if (key !== secret) throw new TypeError("Cannot construct a Session: use fromDer(), fromPem() or a connection's");
    this.#pointer = pointer;
  }

  static {
    ownSession = (pointer) => {
      const session = new Session(secret, pointer);
      session.#register();
      return session;
    };
    lendSession = (pointer) => {
      const session = new Session(secret, pointer);
      session.#lent = true;
      return session;
    };
    endSession = (session, by) => session.#end(by);
    keepSession = (session) => {
      if (!session.#pointer) return false;
      if (session.#lent) {
        session.#lent = false;
        session.#register();
      }
      return true;
    };
    sessionPointer = (session) => session.#alive();
    giveAwaySession = (session, by) => {
      const pointer = session.#alive();
      if (session.#lent) throw new TypeError("Cannot give away a session that is only lent; give away a clone()");
      session.#pointer = undefined;
      session.#endedBy = by;
      forgotten.unregister(session);
      held.sessions--;
      return pointer;
    };
  }

  /**
   * Reads the DER form, as {@linkcode Session.toDer} and `openssl sess_id -outform DER` write it.
   *
   * @param der the bytes; nothing may follow them
   * @returns a session that is yours to dispose
   * @throws {OpenSslError} if they are not a session
   * @see d2i_SSL_SESSION(3)
   */
  static fromDer(der: Uint8Array): Session {
    const length = requireBytes("this DER", der);
    const { ssl, crypto, memory } = library();
    // d2i keeps nothing of its input and walks a pointer over it, so the input must lie still in C's memory.
    const copy = crypto.CRYPTO_malloc(Math.max(length, 1), null, 0);
    if (!copy) throw openSslError(`Cannot copy a session of ${length} bytes`);
    const plain = isLendable(der) ? der : copyOf("this DER", der);
    memory.writeBytes(copy, plain, length);
    if (plain !== der) plain.fill(0);
    const start = BigInt(memory.keyOf(copy));
    position[0] = start;
    const pointer = length > 0 ? ssl.d2i_SSL_SESSION(null, position, length) : null;
    crypto.CRYPTO_clear_free(copy, length, null, 0);
    if (!pointer) throw openSslError(`Cannot read a session from ${length} bytes of DER`);
    const session = ownSession(pointer);
    const read = Number(position[0]! - start);
    if (read !== length) {
      session.dispose();
      throw new RangeError(`Cannot read a session from ${length} bytes of DER: it ends after ${read}`);
    }
    return session;
  }

  /**
   * Reads the PEM form, as {@linkcode Session.toPem} and `openssl s_client -sess_out` write it.
   *
   * @param pem text with one `SSL SESSION PARAMETERS` block
   * @returns a session that is yours to dispose
   * @throws {OpenSslError} if there is no session in it
   * @see PEM_read_bio_SSL_SESSION(3)
   */
  static fromPem(pem: string): Session {
    const { ssl } = library();
    const bytes = new TextEncoder().encode(pem);
    let pointer: Pointer | Null;
    try {
      pointer = readPem(bytes, (bio) => ssl.PEM_read_bio_SSL_SESSION(bio, null, null, cString("")));
    } finally {
      bytes.fill(0);
    }
    if (!pointer) throw openSslError("Cannot read a session from PEM");
    return ownSession(pointer);
  }

  #register(): void {
    held.sessions++;
    forgotten.register(this, this.#pointer!, this);
  }

  #alive(): Pointer {
    if (!this.#pointer) throw new SessionReleasedError(this.#endedBy);
    return this.#pointer;
  }

  /** The session's id, 0 to 32 bytes: what a TLS 1.2 client sends and a store is asked for. A copy. */
  get id(): Uint8Array {
    const { ssl, memory } = library();
    const id = ssl.SSL_SESSION_get_id(this.#alive(), idLength);
    return memory.readBytes(id, idLength[0]!);
  }

  /** The session id context it was made in, 0 to 32 bytes; it resumes in no other. A copy. */
  get idContext(): Uint8Array {
    const length = new Uint32Array(1);
    const { ssl, memory } = library();
    const context = ssl.SSL_SESSION_get0_id_context(this.#alive(), length);
    return memory.readBytes(context, length[0]!);
  }

  /** The protocol that was negotiated: `TLSv1.3`. */
  get protocol(): ProtocolVersion {
    return protocolName(library().ssl.SSL_SESSION_get_protocol_version(this.#alive()));
  }

  /** The cipher suite that was negotiated, by OpenSSL's name: `TLS_AES_256_GCM_SHA384`. */
  get cipher(): string | undefined {
    const { ssl, memory } = library();
    const cipher = ssl.SSL_SESSION_get0_cipher(this.#alive());
    return cipher ? memory.readString(ssl.SSL_CIPHER_get_name(cipher)) : undefined;
  }

  /** A session in an internal cache is sorted anew, under the lock that libssl up to 3.5 holds in remove callbacks. */
  #outsideRemove(what: string): Pointer {
    const pointer = this.#alive();
    if (removals.underWay > 0) {
      throw new Error(`Cannot ${what} from within a remove session callback: do it when the callback is over`);
    }
    return pointer;
  }

  /** When the session was made, in whole seconds. Settable; a RangeError for an invalid date. */
  get created(): Date {
    const { ssl } = library();
    const seconds = ssl.SSL_SESSION_get_time_ex?.(this.#alive()) ?? ssl.SSL_SESSION_get_time!(this.#alive());
    return new Date(Number(seconds) * 1000);
  }

  set created(created: Date) {
    const seconds = Math.floor(created.getTime() / 1000);
    if (!(seconds >= 0)) throw new RangeError(`Cannot set a session's time to ${created}`);
    const pointer = this.#outsideRemove("set a session's time");
    const { ssl } = library();
    const set = ssl.SSL_SESSION_set_time_ex?.(pointer, seconds) ?? ssl.SSL_SESSION_set_time!(pointer, seconds);
    if (Number(set) !== seconds) throw openSslError(`Cannot set a session's time to ${created.toISOString()}`);
  }

  /**
   * For how long it may resume, in seconds from {@linkcode Session.created}. Settable; a RangeError below 0. In DER and
   * PEM libssl takes 0 for left out, and reads 3 back.
   */
  get timeout(): number {
    return Number(library().ssl.SSL_SESSION_get_timeout(this.#alive()));
  }

  set timeout(seconds: number) {
    requireSeconds("a session's timeout", seconds);
    const pointer = this.#outsideRemove("set a session's timeout");
    if (Number(library().ssl.SSL_SESSION_set_timeout(pointer, seconds)) !== 1) {
      throw openSslError(`Cannot set a session's timeout to ${seconds} s`);
    }
  }

  /** When it expires: {@linkcode Session.created} and {@linkcode Session.timeout} together. */
  get expires(): Date {
    return new Date(this.created.getTime() + this.timeout * 1000);
  }

  /** The server name (SNI) that the client asked for, as {@linkcode ClientHello.serverName}, where the session carries it. */
  get serverName(): string | undefined {
    const { ssl, memory } = library();
    return nameOfPeer(memory.readString(ssl.SSL_SESSION_get0_hostname(this.#alive())));
  }

  /** The application protocol (ALPN) that was agreed on, where the session carries it: `h2`. */
  get alpnProtocol(): string | undefined {
    const { ssl, memory } = library();
    const name = new BigUint64Array(1);
    const length = new BigUint64Array(1);
    ssl.SSL_SESSION_get0_alpn_selected(this.#alive(), name, length);
    const pointer = memory.pointerIn(name);
    return pointer ? decoder.decode(memory.readBytes(pointer, Number(length[0]))) : undefined;
  }

  /** For how long the server said the ticket is good, in seconds; 0 where it said nothing. */
  get ticketLifetimeHint(): number {
    return Number(library().ssl.SSL_SESSION_get_ticket_lifetime_hint(this.#alive()));
  }

  /** How many bytes of early data (0-RTT) the server accepts with it; 0 for none. */
  get maxEarlyData(): number {
    return library().ssl.SSL_SESSION_get_max_early_data(this.#alive());
  }

  /** Whether it can be resumed at all: it has an id or a ticket, and no connection that used it has failed. */
  get isResumable(): boolean {
    return library().ssl.SSL_SESSION_is_resumable(this.#alive()) === 1;
  }

  /** The certificate that the other side showed when the session was made, without its chain. */
  get peerCertificate(): X509Certificate | undefined {
    return certificateOf(library().ssl.SSL_SESSION_get0_peer(this.#alive()));
  }

  /**
   * The session as DER. It holds the master key: keep it as you keep a private key.
   *
   * @returns the bytes, some 100 to 2,000 of them, more with a peer certificate in it
   * @see i2d_SSL_SESSION(3)
   */
  toDer(): Uint8Array {
    const pointer = this.#alive();
    requireCipher("write a session as DER", pointer);
    return encodeDer("a session", (out) => library().ssl.i2d_SSL_SESSION(pointer, out));
  }

  /**
   * The session as PEM text, which `openssl sess_id` and `openssl s_client -sess_in` read.
   *
   * @see PEM_write_bio_SSL_SESSION(3)
   */
  toPem(): string {
    const pointer = this.#alive();
    requireCipher("write a session as PEM", pointer);
    return writePem("a session", (bio) => library().ssl.PEM_write_bio_SSL_SESSION(bio, pointer));
  }

  /**
   * A second reference to the same session, yours to dispose. Of a session lent to a callback, it outlives the loan.
   *
   * @see SSL_SESSION_up_ref(3)
   */
  clone(): Session {
    const pointer = this.#alive();
    if (library().ssl.SSL_SESSION_up_ref(pointer) !== 1) throw openSslError("Cannot take a reference to a session");
    return ownSession(pointer);
  }

  /**
   * Gives the reference back. Doing it twice does no harm. Of a session lent to a callback, it ends the loan early.
   *
   * @see SSL_SESSION_free(3)
   */
  dispose(): void {
    this.#end("dispose()");
  }

  /** The same as {@linkcode Session.dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Whether the session has ended and can no longer be used. */
  get isReleased(): boolean {
    return this.#pointer === undefined;
  }

  #end(by: string): void {
    const pointer = this.#pointer;
    if (!pointer) return;
    this.#pointer = undefined;
    this.#endedBy = by;
    if (this.#lent) return;
    forgotten.unregister(this);
    free(pointer);
  }

  /** What `console.log` shows: no secret, and no more of the id than tells two sessions apart. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.#describe();
  }

  /** The same for Deno. */
  [Symbol.for("Deno.customInspect")](): string {
    return this.#describe();
  }

  #describe(): string {
    if (!this.#pointer) return `Session { released by ${this.#endedBy} }`;
    const id = Array.from(this.id.subarray(0, 4), (byte) => byte.toString(16).padStart(2, "0")).join("");
    const name = this.serverName === undefined ? "" : `, ${this.serverName}`;
    const protocol = attempt(() => this.protocol);
    const expires = attempt(() => this.expires.toISOString());
    return `Session { ${protocol}, ${this.cipher}${name}, id ${id}…, expires ${expires} }`;
  }
}

const decoder = new TextDecoder();

/** What a damaged session holds need not be a version or a date. Showing it must not throw. */
function attempt(describe: () => string): string {
  try {
    return describe();
  } catch {
    return "?";
  }
}

function free(pointer: Pointer): void {
  // From within a callback: the call that it came from may still use the SSL_SESSION.
  whenUnwound(() => {
    held.sessions--;
    library().ssl.SSL_SESSION_free(pointer);
  });
}

/** A number of seconds that fits C's long on every platform. */
export function requireSeconds(what: string, seconds: number): void {
  if (!Number.isInteger(seconds) || seconds < 0 || seconds > 0x7fffffff) {
    throw new RangeError(`Cannot set ${what} to ${seconds}: it takes whole seconds from 0 to 2147483647`);
  }
}
