import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { fromBase64, toBase64 } from "../cache/base64.ts";
import { bytes } from "./support.ts";

describe("base64 of a store", () => {
  it("brings back bytes of every length", () => {
    for (let length = 0; length < 100; length++) {
      const value = new Uint8Array(length).map((_, index) => 255 - index * 3);
      assertEquals(fromBase64(toBase64(value)), value);
    }
  });

  it("is of a part of a buffer alone", () => {
    assertEquals(toBase64(bytes("..hello..").subarray(2, 7)), "aGVsbG8=");
  });

  it("is read from bytes too, and nothing is read from nothing", () => {
    assertEquals(fromBase64(bytes("aGVsbG8=")), bytes("hello"));
    assertEquals(fromBase64(null), undefined);
    assertEquals(fromBase64(undefined), undefined);
  });

  it("is not anything else", () => {
    for (const text of ["aGVsbG8", "hello, world", "aGVsbG8=\n", "=", "a", "aGVs bG8=", "é", 1, {}, [], true]) {
      assertThrows(() => fromBase64(text), TypeError, "something under the key that this store has not put there");
    }
  });

  it("has no memory in common with other values", () => {
    const value = fromBase64("aGVsbG8=")!;
    assertEquals(value.buffer.byteLength, 5);
  });
});
