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

/** What lies in DER side by side: each element's tag and content. Undefined where it is damaged. */
export function derElements(der: Uint8Array): { tag: number; content: Uint8Array }[] | undefined {
  const elements: { tag: number; content: Uint8Array }[] = [];
  for (let at = 0; at < der.length;) {
    const tag = der[at]!;
    let length = der[at + 1]!;
    at += 2;
    if (length >= 0x80) {
      const end = at + (length & 0x7f);
      for (length = at === end ? NaN : 0; at < end; at++) length = length * 256 + der[at]!;
    }
    if (!(at + length <= der.length)) return undefined;
    elements.push({ tag, content: der.subarray(at, at + length) });
    at += length;
  }
  return elements;
}
