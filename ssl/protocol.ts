/** A TLS version by its name in OpenSSL. */
export type ProtocolVersion = "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";

const numbers: Record<ProtocolVersion, number> = {
  "TLSv1": 0x0301,
  "TLSv1.1": 0x0302,
  "TLSv1.2": 0x0303,
  "TLSv1.3": 0x0304,
};

/** The number that stands for the version on the wire. */
export function protocolNumber(name: ProtocolVersion): number {
  if (!Object.hasOwn(numbers, name)) {
    throw new RangeError(
      `${JSON.stringify(String(name))} is no TLS version; there are ${Object.keys(numbers).join(", ")}`,
    );
  }
  return numbers[name];
}

/** The name of a version by its number on the wire. */
export function protocolName(number: number): ProtocolVersion {
  for (const [name, value] of Object.entries(numbers)) {
    if (value === number) return name as ProtocolVersion;
  }
  throw new RangeError(`0x${number.toString(16)} is the number of no TLS version`);
}
