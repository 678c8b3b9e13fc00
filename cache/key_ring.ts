import { Buffer } from "node:buffer";
import { copyOf } from "../ssl/bytes.ts";
import type { ProtocolVersion } from "../ssl/protocol.ts";
import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto";

/** The keys that are derived from one secret (HKDF with SHA-256, RFC 5869). */
export interface Keys {
  /** Four bytes that name the secret without telling anything of it. */
  readonly id: Buffer;
  /** For AES-256-GCM over stored sessions. */
  readonly sealing: Buffer;
  /** For the HMAC that turns a session's id into the store's key. */
  readonly naming: Buffer;
  /** For the HMAC in session ids that this farm makes. */
  readonly signing: Buffer;
}

/** A session id that this farm makes: 16 random bytes, and the first 16 of an HMAC over them. */
export const idLength = 32;
const randomLength = 16;

/**
 * The secrets of a farm: the current one makes and seals, all of them recognise and open. Servers with the same secrets
 * accept each other's sessions.
 */
export class KeyRing {
  readonly current: Keys;
  readonly #all: readonly Keys[];

  /** @throws {RangeError} if there is no secret, or one of less than 16 bytes */
  constructor(secrets: readonly (string | Uint8Array)[]) {
    if (secrets.length === 0) throw new RangeError("Cannot seal sessions: secrets is empty");
    this.#all = secrets.map(derive);
    this.current = this.#all[0]!;
  }

  /** The keys with this id, if they are of this farm. */
  named(id: Uint8Array): Keys | undefined {
    return this.#all.find((keys) => keys.id.equals(id));
  }

  /** The keys that a session id was made with in this context, or undefined if the farm did not make it. */
  keysOf(id: Uint8Array, idContext: Uint8Array, protocol: ProtocolVersion): Keys | undefined {
    if (id.length !== idLength) return undefined;
    const signature = id.subarray(randomLength);
    return this.#all.find((keys) =>
      timingSafeEqual(sign(keys, id.subarray(0, randomLength), idContext, protocol), signature)
    );
  }

  /** Makes a session id of random bytes. */
  makeId(random: Uint8Array, idContext: Uint8Array, protocol: ProtocolVersion): Uint8Array {
    const id = new Uint8Array(idLength);
    const bytes = random.subarray(0, randomLength);
    id.set(bytes);
    id.set(sign(this.current, bytes, idContext, protocol), randomLength);
    return id;
  }

  /** The store's keys for a session id, one for each secret, the current one's first. */
  names(id: Uint8Array): string[] {
    return this.#all.map((keys) => nameOf(keys, id));
  }
}

/** The store's key for a session id: whoever reads it learns no id to resume with, and cannot link it to a client's. */
export function nameOf(keys: Keys, id: Uint8Array): string {
  return createHmac("sha256", keys.naming).update(id).digest("hex");
}

// With the protocol in it: a TLS 1.2 id, which is seen on the wire, cannot be offered as a TLS 1.3 ticket to be taken.
// Those before it have its ids: which of them is negotiated is not known when a client offers one.
function sign(keys: Keys, random: Uint8Array, idContext: Uint8Array, protocol: ProtocolVersion): Uint8Array {
  const kind = protocol === "TLSv1.3" ? protocol : "TLSv1.2";
  const hmac = createHmac("sha256", keys.signing).update(random).update(kind).update(idContext);
  return hmac.digest().subarray(0, idLength - randomLength);
}

function derive(secret: string | Uint8Array): Keys {
  const bytes = typeof secret === "string" ? new TextEncoder().encode(secret) : copyOf("this secret", secret);
  if (bytes.length < 16) {
    throw new RangeError(`Cannot use a secret of ${bytes.length} bytes: it takes 16 at least, 32 random ones at best`);
  }
  const key = (purpose: string, length: number) =>
    Buffer.from(hkdfSync("sha256", bytes, "openssl-sessions", purpose, length));
  const keys = {
    id: key("key id", 4),
    sealing: key("sealing", 32),
    naming: key("naming", 32),
    signing: key("signing", 32),
  };
  bytes.fill(0);
  return keys;
}
