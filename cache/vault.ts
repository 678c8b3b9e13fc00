import type { ProtocolVersion } from "../ssl/protocol.ts";
import type { Session } from "../ssl/session.ts";
import { type Contents, open, seal, wrap } from "./envelope.ts";
import { toHex } from "./hex.ts";
import { KeyRing, nameOf } from "./key_ring.ts";

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
  pack(session: Session, key: string, firstHandshake: number): Uint8Array {
    const contents: Contents = { der: session.toDer(), firstHandshake };
    return this.#ring ? seal(this.#ring, contents, { key, idContext: session.idContext }) : wrap(contents);
  }

  /** What is in a value. Throws a SealError if it does not open. */
  unpack(value: Uint8Array, key: string, idContext: Uint8Array): Contents {
    if (!(value instanceof Uint8Array)) throw new TypeError("it answered with something other than a Uint8Array");
    return open(this.#ring, value, { key, idContext });
  }
}
