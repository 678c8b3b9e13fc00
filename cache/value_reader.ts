import { Session } from "../ssl/session.ts";
import type { Vault } from "./vault.ts";

/**
 * Looks at the session in a value that a store lists, which ends when `look` returns. Undefined where the value does not
 * open, or is none.
 */
export function readValue<T>(
  vault: Vault,
  key: string,
  value: Uint8Array,
  look: (session: Session) => T,
): T | undefined {
  let session: Session;
  let der: Uint8Array | undefined;
  try {
    der = vault.unpack(value, key).der;
    session = Session.fromDer(der);
  } catch {
    return undefined;
  } finally {
    der?.fill(0);
  }
  try {
    return look(session);
  } finally {
    session.dispose();
  }
}
