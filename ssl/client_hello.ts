import type { Pointer } from "../ffi/types.ts";
import { library } from "./library.ts";

/** What a client offered in its ClientHello. It can be read only while the callback runs. */
export class ClientHello {
  #ssl: Pointer | undefined;

  /** Not for use: it is handed to the client-hello callback. */
  constructor(ssl: Pointer) {
    this.#ssl = ssl;
  }

  #alive(): Pointer {
    if (!this.#ssl) throw new TypeError("Cannot read a ClientHello after its callback has returned");
    return this.#ssl;
  }

  /** The legacy session id, 0 to 32 bytes. A client of TLS 1.3 sends a random one. */
  get sessionId(): Uint8Array {
    const { ssl, memory } = library();
    const out = new BigUint64Array(1);
    const length = Number(ssl.SSL_client_hello_get0_session_id(this.#alive(), out));
    return memory.readBytes(memory.pointerIn(out) ?? null, length);
  }

  /**
   * The content of an extension, or undefined where the client did not send it.
   *
   * @param type its number in the IANA registry: 0 is server_name, 16 ALPN, 41 pre_shared_key, 43 supported_versions
   */
  extension(type: number): Uint8Array | undefined {
    const { ssl, memory } = library();
    const out = new BigUint64Array(1);
    const length = new BigUint64Array(1);
    if (ssl.SSL_client_hello_get0_ext(this.#alive(), type, out, length) !== 1) return undefined;
    return memory.readBytes(memory.pointerIn(out) ?? null, Number(length[0]));
  }

  /** Ends the time in which it can be read. For this library's own use. */
  end(): void {
    this.#ssl = undefined;
  }
}
