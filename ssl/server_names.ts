import { isIP } from "node:net";
import { derElements } from "./der.ts";
import { nameInBytes, normalName, normalPattern } from "./names.ts";

const sequence = 0x30, set = 0x31, objectIdentifier = 0x06;
const dnsName = 0x82, ipAddress = 0x87; // RFC 5280, section 4.2.1.6
// UTF8String, PrintableString, T61String, IA5String: in ASCII they are the same.
const texts = [0x0c, 0x13, 0x14, 0x16];
const commonName = [0x55, 4, 3].join(); // 2.5.4.3

/**
 * The names that a certificate is for, as clients ask for them: the DNS names and IP addresses in its alternative names;
 * or, where it has none, the common name in its subject, if that is a DNS name. What is no name of a host is left out.
 *
 * @param names the alternative names or the subject, in DER
 */
export function serverNamesIn(names: Uint8Array): string[] {
  const [list] = derElements(names) ?? [];
  if (list?.tag !== sequence) return [];
  return (derElements(list.content) ?? []).flatMap(({ tag, content }) => {
    if (tag === dnsName) return asList(patternInBytes(content));
    if (tag === ipAddress) return asList(addressOf(content));
    return tag === set ? asList(commonNameIn(content)) : [];
  });
}

/** The common name in one part of a subject, where it is a host's. */
function commonNameIn(part: Uint8Array): string | undefined {
  for (const attribute of derElements(part) ?? []) {
    const [type, value] = derElements(attribute.content) ?? [];
    if (type?.tag !== objectIdentifier || type.content.join() !== commonName) continue;
    const name = value && texts.includes(value.tag) ? patternInBytes(value.content) : undefined;
    // Clients find an address in the alternative names alone.
    if (name !== undefined && !isIP(name)) return name;
  }
  return undefined;
}

function patternInBytes(bytes: Uint8Array): string | undefined {
  const isWildcard = bytes[0] === 0x2a && bytes[1] === 0x2e; // *.
  const rest = nameInBytes(isWildcard ? bytes.subarray(2) : bytes);
  if (rest === undefined || !isWildcard) return rest;
  return normalPattern(`*.${rest}`);
}

function addressOf(bytes: Uint8Array): string | undefined {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16) return undefined;
  const groups = Array.from({ length: 8 }, (_, at) => (bytes[2 * at]! << 8 | bytes[2 * at + 1]!).toString(16));
  return normalName(groups.join(":"));
}

function asList(name: string | undefined): string[] {
  return name === undefined ? [] : [name];
}
