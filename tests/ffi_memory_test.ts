import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { cString } from "../ffi/memory.ts";
import type { Pointer } from "../ffi/types.ts";
import { library } from "../ssl/library.ts";
import "./support.ts";

/** Lends memory of C's. */
function withMemory(size: number, use: (pointer: Pointer) => void): void {
  const { crypto } = library();
  const pointer = crypto.CRYPTO_malloc(size, null, 0) as Pointer;
  use(pointer);
  crypto.CRYPTO_free(pointer, null, 0);
}

describe("Memory", () => {
  it("copies bytes to C's memory and back, of any length", () => {
    const { memory } = library();
    for (const length of [0, 1, 7, 8, 4095, 4096, 4097, 100_000]) {
      withMemory(length + 1, (pointer) => {
        const bytes = Uint8Array.from({ length }, (_, n) => n % 253);
        memory.writeBytes(pointer, bytes, bytes.length);
        const copy = memory.readBytes(pointer, length);
        assertEquals(copy, bytes);
        // A copy: what C does to its memory later does not show.
        memory.writeBytes(pointer, new Uint8Array(length).fill(9), length);
        assertEquals(copy, bytes);
      });
    }
    assertEquals(memory.readBytes(null, 4).length, 0);
  });

  it("reads C's strings", () => {
    const { memory } = library();
    for (const text of ["", "plain", "Grüße, 世界 🌍", "x".repeat(5000)]) {
      withMemory(20_000, (pointer) => {
        memory.writeBytes(pointer, cString(text), cString(text).length);
        assertStrictEquals(memory.readString(pointer), text);
      });
    }
    assertEquals(memory.readString(null), undefined);
  });

  it("writes C's ints", () => {
    const { memory } = library();
    for (const value of [0, 1, -1, 0x7fffffff, -0x80000000]) {
      withMemory(8, (pointer) => {
        memory.writeInt(pointer, value);
        assertEquals(new Int32Array(memory.readBytes(pointer, 4).slice().buffer)[0], value);
      });
    }
  });

  it("turns a pointer into a key and back", () => {
    const { memory, adapter } = library();
    withMemory(8, (pointer) => {
      const key = memory.keyOf(pointer);
      const again = adapter.pointerTo(BigInt(key));
      assertEquals(memory.keyOf(again), key);
      assertEquals(memory.keyOf(memory.pointerIn(new BigUint64Array([BigInt(key)]))!), key);
      assertEquals(memory.keyOf(adapter.toPointer(BigInt(key))!), key);
    });
    assertEquals(memory.pointerIn(new BigUint64Array([0n])), undefined);
  });
});

describe("cString()", () => {
  it("ends text with a NUL, and takes none within", () => {
    assertEquals(cString("ab"), new Uint8Array([97, 98, 0]));
    assertThrows(() => cString("a\0b"), TypeError, "cannot hold a NUL character");
  });
});
