import { cString } from "../ffi/memory.ts";
import type { Pointer } from "../ffi/types.ts";
import { memoryBio } from "./bio.ts";
import { library } from "./library.ts";
import type { Loaded } from "./loaded_options.ts";
import { clearErrors, OpenSslError, openSslError } from "./openssl_error.ts";
import { countCertificates, looksOf, type PemContent } from "./pem_looks.ts";

/** Runs `read` on a memory BIO that holds the text, which stays its owner's. */
export function readPem<T>(pem: Uint8Array, read: (bio: Pointer) => T): T {
  const { crypto } = library();
  const bio = memoryBio();
  try {
    const bytes = withoutMark(pem);
    const written = bytes.length > 0 ? crypto.BIO_write(bio, bytes, bytes.length) : 0;
    if (written !== bytes.length) throw openSslError(`Cannot take in ${bytes.length} bytes of PEM`);
    return read(bio);
  } finally {
    crypto.BIO_free(bio);
  }
}

/** Without the mark that some editors begin UTF-8 with, and that OpenSSL does not know. */
function withoutMark(bytes: Uint8Array): Uint8Array {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
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

/** What an option holds, by the words of an error: `the certificate from the file /etc/cert.pem`. */
export function sourceName(what: string, { file }: Loaded): string {
  return file === undefined ? `the ${what} from PEM` : `the ${what} from the file ${file}`;
}

/** The error for what could not be read. It says what is there instead. */
export function pemError(what: PemContent, source: Loaded, option: string): OpenSslError {
  const looks = looksOf(withoutMark(source.bytes), what, option);
  const action = `Cannot read ${sourceName(what, source)}`;
  const error = openSslError(action, "it is damaged");
  return looks === undefined ? error : new OpenSslError(`${action}: ${looks}`, error.errors);
}

/** All certificates in the text, one at least. `option` names the one that takes a file of them. */
export function readCertificates(
  what: "certificate" | "certificate authorities",
  source: Loaded,
  option = "certificateFile",
): Pointer[] {
  const { crypto } = library();
  const certificates: Pointer[] = [];
  const noPassphrase = cString("");
  readPem(source.bytes, (bio) => {
    const next = () => crypto.PEM_read_bio_X509(bio, null, null, noPassphrase);
    for (let certificate = next(); certificate; certificate = next()) certificates.push(certificate);
  });
  const count = countCertificates(new TextDecoder().decode(source.bytes));
  if (certificates.length === 0 && count <= 1) throw pemError(what, source, option);
  if (count > certificates.length) {
    freeCertificates(certificates);
    throw openSslError(
      `Cannot read ${sourceName(what, source)}: number ${certificates.length + 1} of ${count} is damaged`,
    );
  }
  // Reading stops at the end of the text, which libcrypto counts as an error.
  clearErrors();
  return certificates;
}

/** Gives back what {@linkcode readCertificates} answered. */
export function freeCertificates(certificates: Pointer[]): void {
  for (const certificate of certificates) library().crypto.X509_free(certificate);
}
