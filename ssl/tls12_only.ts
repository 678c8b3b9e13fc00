import { derElements } from "./der.ts";

// Object identifiers as DER has them, in hexadecimal.
const ellipticCurve = "2a8648ce3d0201"; // id-ecPublicKey
const dsa = "2a8648ce380401";
const curvesOfTls13 = ["2a8648ce3d030107", "2b81040022", "2b81040023"]; // P-256, P-384, P-521

/**
 * Whether a certificate's key can sign in TLS 1.2 and not in TLS 1.3, which knows three curves (RFC 8446, section
 * 4.2.3): brainpool and secp256k1, for instance, and DSA.
 *
 * @param certificate in DER
 */
export function isForTls12Only(certificate: Uint8Array): boolean {
  const [type, parameters] = keyAlgorithm(certificate);
  if (type === dsa) return true;
  return type === ellipticCurve && !curvesOfTls13.includes(parameters ?? "");
}

/** The identifiers of its key's type and of the type's parameters, in hexadecimal. RFC 5280, section 4.1. */
function keyAlgorithm(certificate: Uint8Array): (string | undefined)[] {
  const version = 0xa0, beforeKey = ["serial number", "signature", "issuer", "validity", "subject"].length;
  const [whole] = derElements(certificate) ?? [];
  const [contents] = whole ? derElements(whole.content) ?? [] : [];
  const fields = contents ? derElements(contents.content) ?? [] : [];
  const key = fields[beforeKey + (fields[0]?.tag === version ? 1 : 0)];
  const [algorithm] = key ? derElements(key.content) ?? [] : [];
  return (algorithm ? derElements(algorithm.content) ?? [] : []).map(({ content }) => hexOf(content));
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
