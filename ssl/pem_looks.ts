/** What is there in the place of PEM, for errors: people hand over all sorts of files. */

import { derElements } from "./der.ts";

/** What was to be read. */
export type PemContent = "certificate" | "private key" | "certificate authorities" | "certificate revocation lists";

/**
 * What bytes look like that are not the PEM that was wanted, and what to do.
 *
 * @param option what to call the option that takes a file of it: `certificateFile`
 * @returns undefined where it looks as it should
 */
export function looksOf(bytes: Uint8Array, wanted: PemContent, option: string): string | undefined {
  if (bytes.length === 0) return "it is empty";
  if (isUtf16(bytes)) return "it is UTF-16 text, as some editors on Windows write it: save it as UTF-8";
  const binary = binaryLooks(bytes, wanted);
  if (binary) return binary;
  const text = new TextDecoder().decode(bytes);
  if (text.trim() === "") return "there is nothing but white space in it";
  const labels = [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----/g)].map(([, label]) => label!);
  if (labels.length === 0) return textLooks(text, option);
  if (!text.includes("\n")) {
    return text.includes("\\n")
      ? 'its line breaks are written as \\n, as in an environment variable: give text.replaceAll("\\\\n", "\\n")'
      : "its lines are joined to one: PEM has a line break after at most 64 characters";
  }
  if (!labels.some((label) => isWanted(label, wanted))) return labelLooks(labels, wanted);
  const begins = labels.length, ends = [...text.matchAll(/-----END [A-Z0-9 ]+-----/g)].length;
  return ends < begins ? "it ends in the middle: there is a BEGIN line without its END line" : undefined;
}

/** The number of certificates that PEM text says to have. */
export function countCertificates(text: string): number {
  return text.match(/-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----/g)?.length ?? 0;
}

function isWanted(label: string, wanted: PemContent): boolean {
  if (wanted === "certificate revocation lists") return label === "X509 CRL";
  if (wanted === "private key") return / ?PRIVATE KEY$/.test(label) && !label.startsWith("OPENSSH");
  return countCertificates(`-----BEGIN ${label}-----`) > 0;
}

function isUtf16(bytes: Uint8Array): boolean {
  const [first, second, third, fourth] = bytes;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) return true;
  // Without a mark: every other byte of ASCII is 0.
  return bytes.length > 3 && ((first === 0 && third === 0) || (second === 0 && fourth === 0)) && bytes.length % 2 === 0;
}

function binaryLooks(bytes: Uint8Array, wanted: PemContent): string | undefined {
  const sequence = 0x30, integer = 0x02;
  const [whole] = bytes[0] === sequence ? derElements(bytes) ?? [] : [];
  if (!whole) {
    return bytes.subarray(0, 1000).includes(0) ? "it is binary, and nothing that has to do with TLS" : undefined;
  }
  const [first, second] = derElements(whole.content) ?? [];
  const version = first?.tag === integer ? first.content[0] : undefined;
  if (version === 3 && second?.tag === sequence) {
    return "it is PKCS#12 (.p12, .pfx): make PEM of it, by openssl pkcs12 -in FILE -nodes -out FILE.pem";
  }
  const isKey = wanted === "private key" || version !== undefined;
  const command = isKey ? "pkey" : wanted === "certificate revocation lists" ? "crl" : "x509";
  const what = { pkey: "a private key", crl: "a list, it seems", x509: "a certificate, it seems" }[command];
  return `it is binary (DER), ${what}: make PEM of it, by openssl ${command} -inform DER -in FILE -out FILE.pem`;
}

function textLooks(text: string, option: string): string {
  const trimmed = text.trim();
  if (/^\s*<(!doctype|html|\?xml)/i.test(text)) return "it is a web page, and no PEM";
  if (/^[A-Za-z0-9+/=\s]+$/.test(text) && /^MI[A-Za-z0-9+/]{30}/.test(trimmed)) {
    return "it is base64 without the lines -----BEGIN …----- and -----END …----- around it";
  }
  if (!trimmed.includes("\n") && /^(file:|\.{0,2}\/|[A-Za-z]:\\)|\.(pem|crt|cer|key)$/.test(trimmed)) {
    return `it is the name of a file: give that as ${option}`;
  }
  return "there is no line -----BEGIN …----- in it: it is no PEM";
}

function labelLooks(labels: readonly string[], wanted: PemContent): string {
  const has = (pattern: RegExp) => labels.some((label) => pattern.test(label));
  if (wanted !== "private key" && has(/CERTIFICATE REQUEST$/)) {
    return "it is a certificate request: give the certificate that the authority made of it";
  }
  if (has(/^PKCS7$/)) return "it is PKCS#7: make PEM of it, by openssl pkcs7 -print_certs -in FILE -out FILE.pem";
  if (wanted !== "private key" && has(/PRIVATE KEY$/)) {
    return "it has a private key and no certificate: is the one given in the place of the other?";
  }
  if (has(/^OPENSSH PRIVATE KEY$/)) return "it is a key of OpenSSH's: convert it, by ssh-keygen -p -m PKCS8 -f FILE";
  if (wanted === "private key" && has(/^(X509 |TRUSTED )?CERTIFICATE$/)) {
    return "it has a certificate and no private key: give the key that was made with it";
  }
  if (has(/PUBLIC KEY$/)) return "it is a public key";
  const missing = wanted === "certificate authorities" ? "certificate" : wanted.replace(/s$/, "");
  return `it has ${[...new Set(labels)].join(", ")} in it, and no ${missing}`;
}
