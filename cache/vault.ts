import { Buffer } from "node:buffer";
import { isBytes } from "../ssl/bytes.ts";
import { derElements } from "../ssl/der.ts";
import type { ProtocolVersion } from "../ssl/protocol.ts";
import type { Session } from "../ssl/session.ts";
import { type Contents, open, seal, wrap } from "./envelope.ts";
import { toHex } from "./hex.ts";
import { KeyRing, nameOf } from "./key_ring.ts";

/** What is kept of a session beside itself: what its line goes on with. */
export interface Lineage {
  /** When the full handshake was made that the line began with, in milliseconds since 1970. */
  readonly firstHandshake: number;
  /** The certificates that the client sent beside its own, one after the other in DER: a session has only that. */
  readonly chain: Uint8Array;
}

/** What a store has of a session. */
export interface StoredSession extends Lineage {
  /** Its DER form. */
  readonly der: Uint8Array;
}

/**
 * How sessions look to the store. With secrets: keys that tell nothing, values that are sealed, and ids that show that
 * this farm made them. Without: the id and the session as they are.
 */
export class Vault {
  readonly #ring: KeyRing | undefined;

  constructor(secrets: readonly (string | Uint8Array)[] | undefined) {
    this.#ring = secrets && new KeyRing(secrets);
  }

  /** Whether session ids are made here. */
  get makesIds(): boolean {
    return this.#ring !== undefined;
  }

  /** A new session id. Only with secrets. */
  makeId(random: Uint8Array, idContext: Uint8Array, protocol: ProtocolVersion): Uint8Array {
    return this.#ring!.makeId(random, idContext, protocol);
  }

  /** The store's key for a session id; undefined for an id that this farm did not make. */
  keyOf(id: Uint8Array, idContext: Uint8Array, protocol: ProtocolVersion): string | undefined {
    if (!this.#ring) return toHex(id);
    const keys = this.#ring.keysOf(id, idContext, protocol);
    return keys && nameOf(keys, id);
  }

  /** All keys that a session id may be stored under. */
  keysOf(id: Uint8Array): string[] {
    return this.#ring ? this.#ring.names(id) : [toHex(id)];
  }

  /** The store's value for a session. */
  pack(session: Session, key: string, { firstHandshake, chain }: Lineage): Uint8Array {
    const der = session.toDer();
    const contents: Contents = { der: chain.length > 0 ? Buffer.concat([der, chain]) : der, firstHandshake };
    try {
      return this.#ring ? seal(this.#ring, contents, key) : wrap(contents);
    } finally {
      der.fill(0);
      contents.der.fill(0);
    }
  }

  /** What is in a value. Throws a SealError if it does not open. Clear the DER form when it has been read. */
  unpack(value: Uint8Array, key: string): StoredSession {
    if (!isBytes(value)) throw new TypeError("it answered with something other than a Uint8Array");
    const { der, firstHandshake } = open(this.#ring, value, key);
    return { firstHandshake, ...divided(der) };
  }
}

/** Tells a session from the certificates behind it. */
function divided(bytes: Uint8Array): Pick<StoredSession, "der" | "chain"> {
  const sequence = 0x30;
  const elements = derElements(bytes);
  if (!elements?.length || elements.some(({ tag }) => tag !== sequence)) {
    throw new TypeError("it answered with something that is no session");
  }
  const { content } = elements[0]!;
  const end = content.byteOffset - bytes.byteOffset + content.length;
  // A copy: the keys before it are not to stay for as long as it does.
  return { der: bytes.subarray(0, end), chain: new Uint8Array(bytes.subarray(end)) };
}
