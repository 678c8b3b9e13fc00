import type { Pointer } from "../ffi/types.ts";
import { library } from "./library.ts";

/**
 * Refuses a session that libssl must not be handed: it takes for granted that one with an id has a cipher, and one that a
 * TLS 1.2 connection makes has none before the other side's Finished.
 *
 * @param action what was to be done with it, for the error
 */
export function requireCipher(action: string, session: Pointer): void {
  if (!library().ssl.SSL_SESSION_get0_cipher(session)) {
    throw new TypeError(`Cannot ${action}: it has no cipher yet, as the handshake that makes it is not over`);
  }
}

/** Refuses a session that nobody can ask for: a cache could not even remove it to make room for others. */
export function requireId(action: string, session: Pointer): void {
  const length = new Uint32Array(1);
  library().ssl.SSL_SESSION_get_id(session, length);
  if (length[0] === 0) throw new TypeError(`Cannot ${action}: it has no id to be found by`);
}
