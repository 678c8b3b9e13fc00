import { library } from "./library.ts";
import { openSslError } from "./openssl_error.ts";

// One for all calls: an i2d function fills it and is done with it before anything else can run.
const out = new BigUint64Array(1);

/** The DER form that an i2d function writes. `what` is for the error. */
export function encodeDer(what: string, encode: (out: BigUint64Array) => number): Uint8Array {
  const { crypto, memory } = library();
  // A pointer to NULL makes it allocate, which saves encoding once more for the length.
  out[0] = 0n;
  const length = encode(out);
  const pointer = memory.pointerIn(out);
  if (length <= 0 || !pointer) throw openSslError(`Cannot write ${what} as DER`);
  const der = memory.readBytes(pointer, length);
  crypto.CRYPTO_clear_free(pointer, length, null, 0);
  return der;
}
