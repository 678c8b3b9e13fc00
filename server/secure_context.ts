import { SslContext } from "../ssl/context.ts";
import { readOptions } from "../ssl/options.ts";
import { contextOptions, nodeContextKinds, type NodeTlsContextOptions } from "./node_tls_options.ts";

const secret = Symbol("SecureContext");

let makeSecureContext: (options: Readonly<NodeTlsContextOptions>) => SecureContext;
/** What a {@linkcode SecureContext} was made of. */
export let secureContextOptions: (context: SecureContext) => Readonly<NodeTlsContextOptions>;

/** A certificate and what goes with it, from {@linkcode createSecureContext}: for `SNICallback` and `addContext()`. */
export class SecureContext {
  readonly #options: Readonly<NodeTlsContextOptions>;

  /** Not for use: they come from {@linkcode createSecureContext}. */
  private constructor(key: symbol, options: Readonly<NodeTlsContextOptions>) {
    if (key !== secret) throw new TypeError("Cannot construct a SecureContext: use createSecureContext()");
    this.#options = options;
  }

  static {
    secureContextOptions = (context) => context.#options;
    makeSecureContext = (options) => new SecureContext(secret, options);
  }
}

/**
 * As node:tls's `createSecureContext`, for servers of {@linkcode createServer}: that of node:tls belongs to another
 * OpenSSL. Whether clients are asked for a certificate is the server's matter, unless `requestCert` says it here.
 *
 * @param options certificate and key, and what goes with them
 * @returns what `SNICallback` answers and `addContext()` takes. It holds nothing of OpenSSL's
 * @throws {OpenSslError} if OpenSSL refuses them
 * @throws {TypeError} for an option that is not known
 */
export function createSecureContext(options: NodeTlsContextOptions = {}): SecureContext {
  const read = readOptions("createSecureContext()", nodeContextKinds, options);
  SslContext.server(contextOptions(read)).dispose();
  return makeSecureContext(read);
}
