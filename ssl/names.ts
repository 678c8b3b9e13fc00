/**
 * The one form in which the names of servers are chosen by, stored and compared, wherever they come from: a client's
 * SNI, certificates, sessions, options.
 */

import { isIP, isIPv4 } from "node:net";
import { domainToASCII } from "node:url";

/** Either the name in that form, or what is wrong with it. */
export type CheckedName = { readonly name: string } | { readonly fault: string };

/**
 * A host name in ASCII (IDNA) and lower case, without the dot that ends a full name; or an IP address, written short and
 * without a zone, which is this machine's own business.
 *
 * @param text a host name as people write it, or an IP address, in brackets or not
 */
export function checkName(text: string): CheckedName {
  const address = /^\[(.*)\]$/.exec(text)?.[1] ?? text;
  if (isIP(address)) return { name: shortAddress(address.replace(/%.*$/, "")) };
  const name = inAscii(text).toLowerCase().replace(/\.$/, "");
  const fault = faultOf(name);
  return fault === undefined ? { name } : { fault };
}

/** The same for what is not to be a reason for an error: undefined where it is no name. */
export function normalName(text: string): string | undefined {
  const checked = checkName(text);
  return "name" in checked ? checked.name : undefined;
}

/** The same for a name that came in bytes, from a peer or a certificate: those have ASCII only. */
export function nameInBytes(bytes: Uint8Array): string | undefined {
  if (bytes.length > longestName + 1 || bytes.some((byte) => byte > 0x7f)) return undefined;
  return normalName(String.fromCharCode(...bytes));
}

/** The same for a name that libssl has kept of a peer's. */
export function nameOfPeer(text: string | undefined): string | undefined {
  return text === undefined ? undefined : nameInBytes(new TextEncoder().encode(text));
}

/** The same for a name in which `*.` stands for one label more, as certificates have it. */
export function normalPattern(text: string): string | undefined {
  if (!text.startsWith("*.")) return normalName(text);
  const rest = normalName(text.slice(2));
  return rest === undefined || isIP(rest) ? undefined : `*.${rest}`;
}

function inAscii(text: string): string {
  const isAscii = Array.from(text).every((character) => character < "\x80");
  // It would decode what is written as in a URL.
  return isAscii || text.includes("%") ? text : domainToASCII(text);
}

const longestName = 253, longestLabel = 63;

function faultOf(name: string): string | undefined {
  if (name === "") return "it is empty, or no domain name in any script";
  if (name.includes("\0")) return "it has a NUL character";
  if (name.length > longestName) return `it has ${name.length} characters, and a name ${longestName} at most`;
  // Full-width digits, say, have become an address: whoever wrote them meant a name.
  if (isIPv4(name)) return "it becomes an address in ASCII";
  for (const label of name.split(".")) {
    if (label === "") return "it has an empty label";
    if (label.length > longestLabel) return `a label has ${label.length} characters, and ${longestLabel} at most`;
    // Names with an underscore are none of a host's in DNS, and are served all the same.
    if (!/^[a-z0-9_-]+$/.test(label)) return "a label takes letters, digits and hyphens";
  }
  return undefined;
}

/** As everybody writes addresses: `::1`. */
function shortAddress(address: string): string {
  return isIPv4(address) ? address : new URL(`http://[${address}]`).hostname.slice(1, -1);
}
