import type { Pointer } from "../ffi/types.ts";
import { library } from "./library.ts";
import { openSslError } from "./openssl_error.ts";

/** Runs `read` on a memory BIO that holds the text. */
export function readPem<T>(pem: string, read: (bio: Pointer) => T): T {
  const { crypto } = library();
  const bio = memoryBio();
  try {
    const bytes = new TextEncoder().encode(pem);
    if (bytes.length > 0) crypto.BIO_write(bio, bytes, bytes.length);
    return read(bio);
  } finally {
    crypto.BIO_free(bio);
  }
}

/** The text that `write` puts into a memory BIO. */
export function writePem(what: string, write: (bio: Pointer) => number): string {
  const { crypto } = library();
  const bio = memoryBio();
  try {
    if (write(bio) !== 1) throw openSslError(`Cannot write ${what} as PEM`);
    const decoder = new TextDecoder();
    const part = new Uint8Array(4096);
    let text = "";
    for (
      let length = crypto.BIO_read(bio, part, part.length);
      length > 0;
      length = crypto.BIO_read(bio, part, part.length)
    ) {
      text += decoder.decode(part.subarray(0, length), { stream: true });
    }
    return text;
  } finally {
    crypto.BIO_free(bio);
  }
}

/** A new memory BIO: it grows as it is written to, and answers -1 when it is empty. */
export function memoryBio(): Pointer {
  const { crypto, memoryMethod } = library();
  const bio = crypto.BIO_new(memoryMethod);
  if (!bio) throw openSslError("Cannot make a memory BIO");
  return bio;
}
