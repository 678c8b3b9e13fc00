import type { Pointer } from "../ffi/types.ts";

/**
 * Makes the object that owns a reference of C's. Where that cannot be made, for want of memory say, the reference is
 * given back.
 */
export function adopt<T>(pointer: Pointer, free: (pointer: Pointer) => void, make: (pointer: Pointer) => T): T {
  try {
    return make(pointer);
  } catch (error) {
    free(pointer);
    throw error;
  }
}
