/** Has a client send what is no data, which this library has no function for: KeyUpdates, requests to renegotiate. */

import { assertEquals } from "@std/assert";
import type { Pointer, PrototypeTable } from "../ffi/types.ts";
import { activeCaller } from "../ssl/calls.ts";
import { library } from "../ssl/library.ts";

const table = {
  // int SSL_key_update(SSL *s, int updatetype)
  SSL_key_update: { parameters: ["pointer", "i32"], result: "i32" },
  // int SSL_renegotiate(SSL *s)
  SSL_renegotiate: { parameters: ["pointer"], result: "i32" },
} as const satisfies PrototypeTable;
const { adapter, path } = library();
// Open for as long as the process lasts.
const { functions } = adapter.open(path, table);

/** What a KeyUpdate asks for: nothing, or one in return. SSL_KEY_UPDATE_NOT_REQUESTED, SSL_KEY_UPDATE_REQUESTED */
export const silently = 0, asking = 1;

/** The SSL of the client whose handshake was the last, where `note` is its context's `keylog`. */
export class ClientPointer {
  #pointer: Pointer | undefined;

  readonly note = (): void => {
    this.#pointer = activeCaller()!.pointer;
  };

  /** The client's next handshake() sends a KeyUpdate. */
  updateKey(kind: number): void {
    assertEquals(functions.SSL_key_update(this.#pointer!, kind), 1);
  }

  /** The client's next handshake() asks to renegotiate. */
  renegotiate(): void {
    assertEquals(functions.SSL_renegotiate(this.#pointer!), 1);
  }
}
