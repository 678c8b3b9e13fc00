import { isIPv6 } from "node:net";

/** What a BlockList of node:net can tell. */
export interface AddressList {
  /** Whether an address is on the list. */
  check(address: string, family: "ipv4" | "ipv6"): boolean;
}

/** Whether an address is on the list, if there is one. */
export function isBlocked(list: AddressList | undefined, address: string): boolean {
  if (!list) return false;
  // Where both are listened on, an address of IPv4 comes in the form of IPv6, which not each runtime's list knows.
  const [, inner] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address) ?? [];
  if (inner !== undefined && list.check(inner, "ipv4")) return true;
  return list.check(address, isIPv6(address) ? "ipv6" : "ipv4");
}
