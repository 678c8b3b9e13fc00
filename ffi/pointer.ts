import type { Pointer } from "./types.ts";

/** A user's pointer in the runtimes whose FFI has numbers for pointers. */
export function pointerOfNumber(value: unknown): Pointer | undefined {
  const address = typeof value === "bigint" ? Number(value) : value;
  return Number.isSafeInteger(address) && (address as number) > 0 ? address as unknown as Pointer : undefined;
}
