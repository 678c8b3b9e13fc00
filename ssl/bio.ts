import type { Pointer } from "../ffi/types.ts";
import { library } from "./library.ts";
import { openSslError } from "./openssl_error.ts";

/** A new memory BIO: it grows as it is written to, and answers -1 when it is empty. */
export function memoryBio(): Pointer {
  const { crypto, memoryMethod } = library();
  const bio = crypto.BIO_new(memoryMethod);
  if (!bio) throw openSslError("Cannot make a memory BIO");
  return bio;
}
