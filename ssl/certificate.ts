import { X509Certificate } from "node:crypto";
import type { Null, Pointer } from "../ffi/types.ts";
import { encodeDer } from "./der.ts";
import { library } from "./library.ts";

/**
 * A copy of an X509 of C's, or undefined for NULL. Runtimes do not read all that libcrypto reads, and then it throws:
 * undefined would say that there is none.
 */
export function certificateOf(pointer: Pointer | Null): X509Certificate | undefined {
  if (!pointer) return undefined;
  const der = derOf(pointer);
  try {
    return new X509Certificate(der);
  } catch (cause) {
    throw new Error(`Cannot read a certificate of ${der.length} bytes: ${(cause as Error).message}`, { cause });
  }
}

/** A copy of an X509 in DER. */
export function derOf(certificate: Pointer): Uint8Array {
  return encodeDer("a certificate", (out) => library().crypto.i2d_X509(certificate, out));
}

/** The names that a certificate is for, in DER: its alternative names, or its subject where it has none. */
export function namesOf(certificate: Pointer): Uint8Array {
  const { crypto, memory } = library();
  const alternativeNames = 85; // NID_subject_alt_name
  const at = crypto.X509_get_ext_by_NID(certificate, alternativeNames, -1);
  if (at < 0) {
    const subject = crypto.X509_get_subject_name(certificate);
    return encodeDer("a subject", (out) => crypto.i2d_X509_NAME(subject, out));
  }
  const content = crypto.X509_EXTENSION_get_data(crypto.X509_get_ext(certificate, at));
  return memory.readBytes(crypto.ASN1_STRING_get0_data(content), crypto.ASN1_STRING_length(content));
}
