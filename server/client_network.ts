import { isIPv6 } from "node:net";

/**
 * Whom a client's address counts for: itself with IPv4; with IPv6 its network of 64 bits, as whoever has one has all of its
 * addresses (RFC 6177). An IPv4 address in IPv6's form is itself.
 */
export function clientNetwork(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped) return mapped[1]!;
  const [plain] = address.split("%") as [string];
  if (!isIPv6(plain)) return address;
  const [head, tail] = plain.split("::") as [string, string | undefined];
  const groups = (part: string) => part === "" ? [] : part.split(":");
  const [first, last] = [groups(head), groups(tail ?? "")];
  // An address of IPv4 at the end stands for two groups.
  const length = first.length + last.length + (plain.includes(".") ? 1 : 0);
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - length }, () => "0");
  const network = [...first, ...zeros, ...last].slice(0, 4).map((group) => parseInt(group, 16).toString(16));
  return `${network.join(":")}::/64`;
}
