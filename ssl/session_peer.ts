import { derElements } from "./der.ts";
import { library } from "./library.ts";
import { type Session, sessionPointer } from "./session.ts";

/**
 * When the certificate ends that a session holds of the other side, in milliseconds since 1970: undefined for none, NaN
 * for one whose end cannot be read. Only its end is read: to parse all of a certificate costs as much as a handshake.
 */
export function peerCertificateEnd(session: Session): number | undefined {
  const { ssl, crypto, memory } = library();
  const certificate = ssl.SSL_SESSION_get0_peer(sessionPointer(session));
  if (!certificate) return undefined;
  const end = crypto.X509_getm_notAfter(certificate);
  if (!end) return NaN;
  return timeOf(memory.readBytes(crypto.ASN1_STRING_get0_data(end), crypto.ASN1_STRING_length(end)));
}

/** How the verification of that certificate ended when the session was made, which libssl keeps in its DER form. */
export function verifyResultIn(der: Uint8Array): number {
  const verifyResult = 0xa5; // [5], left out where it is 0
  const [session] = derElements(der) ?? [];
  const element = session && derElements(session.content)?.find(({ tag }) => tag === verifyResult);
  const [number] = element ? derElements(element.content) ?? [] : [];
  return number?.content.reduce((value, byte) => value * 256 + byte, 0) ?? 0;
}

/** A time as certificates have it: `YYMMDDHHMMSSZ` up to 2049, else `YYYYMMDDHHMMSSZ`. RFC 5280, section 4.1.2.5. */
function timeOf(bytes: Uint8Array): number {
  const text = String.fromCharCode(...bytes);
  const match = /^(\d\d|\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (!match) return NaN;
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as [number, ...number[]];
  const century = match[1]!.length === 4 ? 0 : year < 50 ? 2000 : 1900;
  return Date.UTC(century + year, month! - 1, day, hour, minute, second);
}
