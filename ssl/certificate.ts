import { X509Certificate } from "node:crypto";
import type { Null, Pointer } from "../ffi/types.ts";
import { library } from "./library.ts";
import { openSslError } from "./openssl_error.ts";

/** A copy of an X509 of C's, or undefined for NULL. */
export function certificateOf(pointer: Pointer | Null): X509Certificate | undefined {
  if (!pointer) return undefined;
  const { crypto, memory } = library();
  const out = new BigUint64Array(1);
  const length = crypto.i2d_X509(pointer, out);
  const der = memory.pointerIn(out);
  if (length <= 0 || !der) throw openSslError("Cannot read the peer's certificate");
  const bytes = memory.readBytes(der, length);
  crypto.CRYPTO_free(der, null, 0);
  return new X509Certificate(bytes);
}
