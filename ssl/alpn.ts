/** The protocols in the form that TLS has them in: each name after its length. RFC 7301, section 3.1. */
export function alpnWireFormat(protocols: readonly string[]): Uint8Array {
  const encoder = new TextEncoder();
  const names = protocols.map((protocol) => encoder.encode(protocol));
  for (const [index, name] of names.entries()) {
    if (name.length < 1 || name.length > 255) {
      throw new RangeError(
        `Cannot use the ALPN protocol ${JSON.stringify(protocols[index])}: a name has 1 to 255 bytes`,
      );
    }
  }
  if (names.length === 0) throw new RangeError("Cannot use an empty list of ALPN protocols: leave the option out");
  return Uint8Array.from(names.flatMap((name) => [name.length, ...name]));
}

/** The protocols in a list of that form. */
export function alpnNames(list: Uint8Array): string[] {
  const decoder = new TextDecoder();
  const names: string[] = [];
  for (let at = 0; at < list.length; at += 1 + list[at]!) {
    const end = at + 1 + list[at]!;
    if (end > list.length || list[at] === 0) {
      throw new TypeError("Cannot read this list of ALPN protocols: it is damaged");
    }
    names.push(decoder.decode(list.subarray(at + 1, end)));
  }
  return names;
}
