import type { Pointer } from "../ffi/types.ts";
import type { SslConnection } from "./connection.ts";
import type { SslContext } from "./context.ts";
import { wrappers } from "./context_state.ts";
import { library } from "./library.ts";
import { nameInBytes } from "./names.ts";

/** What a client offered in its ClientHello. It can be used only while the callback runs. */
export class ClientHello {
  #ssl: Pointer | undefined;
  readonly #connection: SslConnection;

  /** Not for use: it is handed to the client-hello callback. */
  constructor(ssl: Pointer, connection: SslConnection) {
    this.#ssl = ssl;
    this.#connection = connection;
  }

  #alive(): Pointer {
    if (!this.#ssl) throw new TypeError("Cannot use a ClientHello after its callback has returned");
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
   * @param most how many bytes to read at most; by default all, which can be 64 KiB
   * @throws {RangeError} for what is no number of an extension, or no number of bytes
   */
  extension(type: number, most: number = Infinity): Uint8Array | undefined {
    if (!Number.isInteger(type) || type < 0 || type > 0xffff) {
      throw new RangeError("Cannot look for an extension that is no whole number from 0 to 65535");
    }
    if (most !== Infinity && (!Number.isInteger(most) || most < 0)) {
      throw new RangeError("Cannot read a number of bytes that is no whole number from 0 on");
    }
    const { ssl, memory } = library();
    const out = new BigUint64Array(1);
    const length = new BigUint64Array(1);
    if (ssl.SSL_client_hello_get0_ext(this.#alive(), type, out, length) !== 1) return undefined;
    return memory.readBytes(memory.pointerIn(out) ?? null, Math.min(most, Number(length[0])));
  }

  /**
   * The server name (SNI) that the client asks for: in lower case, without a dot at its end; an IP address, which is not
   * to be there and sometimes is, written short. Undefined where there is none, and where what was sent is no name. After
   * a HelloRetryRequest the callback runs again, and a client may then ask for another name.
   */
  get serverName(): string | undefined {
    const serverName = 0, hostName = 0, longest = 255;
    const names = this.extension(serverName, 5 + longest);
    // A list, its type and two lengths before the name. RFC 6066, section 3.
    if (!names || names.length < 5 || names[2] !== hostName) return undefined;
    const length = names[3]! << 8 | names[4]!;
    // With a longer one libssl ends the handshake.
    return length > longest ? undefined : nameInBytes(names.subarray(5, 5 + length));
  }

  /**
   * Goes on with what another server context has in the way of certificates, trust, verification of clients, ciphers up
   * to TLS 1.2 and session id context, so that a session of the one does not resume under the other. All else, callbacks
   * among it, stays as the connection's own context has it. The context may be disposed while the connection lives.
   *
   * May be called several times, the last one counts; the connection's own context takes it back.
   *
   * @throws {TypeError} for a client's context and one that other code made; for a connection that other code made; and
   *   after the callback has returned
   * @throws {ReleasedError} if the context has been disposed
   * @see SSL_set_SSL_CTX(3), SSL_set_verify(3), SSL_set_session_id_context(3)
   *
   * @example Certificates by server name
   * ```ts
   * import { selfSigned, SslContext } from "@openssl-sessions/openssl-sessions";
   *
   * using context = SslContext.server(selfSigned(["example.com"]));
   * const others = new Map([["example.org", SslContext.server(selfSigned(["example.org"]))]]);
   * context.setClientHelloCallback((_connection, hello) => {
   *   const other = others.get(hello.serverName ?? "");
   *   if (other) hello.useContext(other);
   *   return "continue";
   * });
   * for (const other of others.values()) other.dispose();
   * ```
   */
  useContext(context: SslContext): void {
    this.#alive();
    wrappers.useContext!(this.#connection, context);
  }

  /** Ends the time in which it can be used. For this library's own use. */
  end(): void {
    this.#ssl = undefined;
  }
}
