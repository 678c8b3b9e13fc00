import { readFileSync } from "node:fs";
import { cString } from "../ffi/memory.ts";
import type { Pointer } from "../ffi/types.ts";
import { memoryBio } from "./bio.ts";
import { library } from "./library.ts";
import { clearErrors, openSslError } from "./openssl_error.ts";

/** Runs `read` on a memory BIO that holds the text. */
export function readPem<T>(pem: string, read: (bio: Pointer) => T): T {
  const { crypto } = library();
  const bio = memoryBio();
  try {
    const bytes = new TextEncoder().encode(pem);
    const written = bytes.length > 0 ? crypto.BIO_write(bio, bytes, bytes.length) : 0;
    // It may be a private key.
    bytes.fill(0);
    if (written !== bytes.length) throw openSslError(`Cannot take in ${bytes.length} bytes of PEM`);
    return read(bio);
  } finally {
    crypto.BIO_free(bio);
  }
}

/** The text that `write` puts into a memory BIO. */
export function writePem(what: string, write: (bio: Pointer) => number): string {
  const { crypto } = library();
  const bio = memoryBio();
  const part = new Uint8Array(4096);
  try {
    if (write(bio) !== 1) throw openSslError(`Cannot write ${what} as PEM`);
    const decoder = new TextDecoder();
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
    part.fill(0);
    crypto.BIO_free(bio);
  }
}

/** PEM text from an option or from the file that another option names. */
export function pemOf(what: string, text: string | undefined, file: string | URL | undefined): string | undefined {
  if (file === undefined) return text;
  const bytes = readFileOf(what, text, file);
  const read = bytes.toString("utf8");
  // It may be a private key.
  bytes.fill(0);
  return read;
}

/** What the file that an option names holds, where the same was not given as it is. */
export function readFileOf(what: string, given: unknown, file: string | URL): Buffer {
  if (given !== undefined) throw new TypeError(`Cannot use both a ${what} and a ${what} file: give one`);
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new Error(`Cannot read the ${what} file ${file}: ${(cause as Error).message}`, { cause });
  }
}

/** All certificates in the text, one at least. */
export function readCertificates(what: string, pem: string): Pointer[] {
  const { crypto } = library();
  const certificates: Pointer[] = [];
  const noPassphrase = cString("");
  readPem(pem, (bio) => {
    const next = () => crypto.PEM_read_bio_X509(bio, null, null, noPassphrase);
    for (let certificate = next(); certificate; certificate = next()) certificates.push(certificate);
  });
  if (certificates.length === 0) throw openSslError(`Cannot read the ${what} from PEM`);
  const rest = pem.match(/-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----/g)!.length - certificates.length;
  if (rest > 0) {
    freeCertificates(certificates);
    throw openSslError(`Cannot read the ${what} from PEM: number ${certificates.length + 1} is damaged`);
  }
  // Reading stops at the end of the text, which libcrypto counts as an error.
  clearErrors();
  return certificates;
}

/** Gives back what {@linkcode readCertificates} answered. */
export function freeCertificates(certificates: Pointer[]): void {
  for (const certificate of certificates) library().crypto.X509_free(certificate);
}
