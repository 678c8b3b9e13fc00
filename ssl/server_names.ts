import { derElements } from "./der.ts";

/** The DNS names, in lower case, and the IP addresses in a certificate's alternative names, which are given in DER. */
export function serverNamesIn(alternativeNames: Uint8Array): string[] {
  const sequence = 0x30, dnsName = 0x82, ipAddress = 0x87; // RFC 5280, section 4.2.1.6
  const [list] = derElements(alternativeNames) ?? [];
  if (list?.tag !== sequence) return [];
  return (derElements(list.content) ?? []).flatMap(({ tag, content }) => {
    if (tag === dnsName) return [String.fromCharCode(...content).toLowerCase()];
    return tag === ipAddress ? addressOf(content) : [];
  });
}

function addressOf(bytes: Uint8Array): string[] {
  if (bytes.length === 4) return [bytes.join(".")];
  if (bytes.length !== 16) return [];
  const groups = Array.from({ length: 8 }, (_, at) => (bytes[2 * at]! << 8 | bytes[2 * at + 1]!).toString(16));
  // Written short, as everybody writes them.
  return [new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1)];
}
