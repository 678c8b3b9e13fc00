const digits = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** The bytes in hexadecimal: the form that keys of a store have. */
export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += digits[byte];
  return text;
}

/** As much of a session id as tells it from others, and too little to resume with. */
export function shortId(id: Uint8Array): string {
  return toHex(id.subarray(0, 4));
}

/** Whether two ids are the same. Where it is a secret's, compare in constant time instead. */
export function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}
