import { Session } from "../ssl/session.ts";
import { toHex } from "./hex.ts";
import type { Vault } from "./vault.ts";

/** Reads what a store has, of which nobody says under which session id context it was made. */
export class ValueReader {
  readonly #vault: Vault;
  /** One of them opens a sealed value. */
  readonly #idContexts = new Map<string, Uint8Array>();

  constructor(vault: Vault) {
    this.#vault = vault;
    // Without secrets no context is needed, and none may be known.
    if (!vault.makesIds) this.know(new Uint8Array());
  }

  /** Sessions are made under this context. */
  know(idContext: Uint8Array): void {
    this.#idContexts.set(toHex(idContext), idContext);
  }

  /** Looks at the session in a value, which ends when `look` returns. Undefined where the value does not open. */
  read<T>(key: string, value: Uint8Array, look: (session: Session) => T): T | undefined {
    for (const idContext of this.#idContexts.values()) {
      let session: Session;
      let der: Uint8Array | undefined;
      try {
        der = this.#vault.unpack(value, key, idContext).der;
        session = Session.fromDer(der);
      } catch {
        continue;
      } finally {
        der?.fill(0);
      }
      try {
        return look(session);
      } finally {
        session.dispose();
      }
    }
    return undefined;
  }
}
