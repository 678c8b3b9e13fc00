import { Buffer } from "node:buffer";
import type { SslContextOptions, VerifyMode } from "../ssl/context_options.ts";
import { type ConnectionLimits, limitNames } from "./limits.ts";

/** PEM text, as a string or as bytes. */
export type Pem = string | Uint8Array;

/**
 * What {@linkcode NodeTlsServer.addContext} and {@linkcode NodeTlsServer.setSecureContext} take: the options of
 * node:tls's `createSecureContext` that have a counterpart, or those of {@linkcode SslContext.server}, by either name.
 */
export interface NodeTlsContextOptions extends Omit<SslContextOptions, "keylog" | "sessionCacheMode"> {
  /** The private key; with several certificates, each one's, in the same order. */
  key?: Pem | readonly (Pem | { readonly pem: Pem; readonly passphrase?: string })[];
  /** The certificate, its issuers after it; or several, with keys of different types. */
  cert?: Pem | readonly Pem[];
  /** The certificate authorities that clients' certificates must come from; by default the system's. */
  ca?: Pem | readonly Pem[];
  /** The ciphers, those of TLS 1.3 among them: `TLS_AES_128_GCM_SHA256:ECDHE+AESGCM`. */
  ciphers?: string;
  /** The groups for the key exchange: `X25519:P-256`. `auto` for OpenSSL's own. */
  ecdhCurve?: string;
  /** OpenSSL's options to turn on: a combination of {@linkcode SslOption}. */
  secureOptions?: number;
  /** The application protocols (ALPN), the preferred one first. */
  ALPNProtocols?: readonly string[];
  /** Whether clients are asked for a certificate; by default false. */
  requestCert?: boolean;
}

/** The options of {@linkcode createServer}. */
export interface NodeTlsServerOptions extends NodeTlsContextOptions, ConnectionLimits {
  /**
   * For how long a handshake waits for the listeners of `resumeSession`, and a ticket for those of `newSession`, in
   * milliseconds; by default 250. After that the handshake goes on as a full one.
   */
  lookupTimeout?: number;
  /** After how long without a byte a connection is ended, in milliseconds; by default 0 for never, as in node:tls. */
  idleTimeout?: number;
}

/** What node:tls or listen() knows and is not here: left out in silence, a server would be another than its options say. */
const withoutCounterpart = [
  "pfx",
  "crl",
  "dhparam",
  "sigalgs",
  "secureProtocol",
  "SNICallback",
  "ALPNCallback",
  "pskCallback",
  "ticketKeys",
  "privateKeyIdentifier",
  "clientCertEngine",
  "pauseOnConnect",
  "authorize",
  "certificates",
  "context",
  "hostname",
  "keylogFile",
  "onError",
  "port",
  "reusePort",
  "sessions",
  "signal",
  "watch",
];

/** The options that are a server's and no context's. */
export const ofServer: readonly string[] = ["lookupTimeout", ...limitNames];

/** The options of a context, in this library's own names. */
export function contextOptions(options: NodeTlsContextOptions): SslContextOptions {
  const given = Object.fromEntries(
    Object.entries(options).filter(([name, value]) => value !== undefined && !ofServer.includes(name)),
  ) as NodeTlsContextOptions;
  const unknown = withoutCounterpart.find((name) => name in given);
  if (unknown) throw new TypeError(`Cannot use the option ${unknown} with createServer(): it has no counterpart there`);
  const { key, cert, ca, ciphers, ecdhCurve, secureOptions, ALPNProtocols, requestCert, ...own } = given;
  return {
    ...own,
    ...certificates(key, cert, own.passphrase),
    ...(ca !== undefined && { certificateAuthorities: listOf(ca).map(textOf).join("\n") }),
    ...(ciphers !== undefined && cipherOptions(ciphers)),
    ...(ecdhCurve !== undefined && ecdhCurve !== "auto" && { groups: ecdhCurve }),
    ...(secureOptions !== undefined && { options: secureOptions }),
    ...(ALPNProtocols !== undefined && { alpnProtocols: ALPNProtocols }),
    ...(requestCert !== undefined && { verify: verifyMode(requestCert, own.rejectUnauthorized) }),
  };
}

function certificates(
  key: NodeTlsContextOptions["key"],
  cert: NodeTlsContextOptions["cert"],
  passphrase: string | undefined,
): SslContextOptions {
  if (cert === undefined) {
    if (key !== undefined) throw new TypeError("Cannot use key without cert: give the key's certificate as well");
    return {};
  }
  const keys = key === undefined ? [] : listOf(key);
  const [first, ...others] = listOf(cert).map((certificate, index) => {
    const one = keys[index];
    const { pem = undefined, passphrase: own = passphrase } = isPem(one) ? { pem: one } : one ?? {};
    return {
      certificate: textOf(certificate),
      ...(pem !== undefined && { privateKey: textOf(pem) }),
      ...(own !== undefined && { passphrase: own }),
    };
  });
  return { ...first, ...(others.length > 0 && { moreCertificates: others }) };
}

function isPem(value: unknown): value is Pem {
  return typeof value === "string" || value instanceof Uint8Array;
}

function listOf<T>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? value : [value as T];
}

function textOf(pem: Pem): string {
  if (!isPem(pem)) throw new TypeError(`Cannot use a ${typeof pem} as PEM: give text or bytes`);
  return typeof pem === "string" ? pem : Buffer.from(pem).toString("utf8");
}

/** OpenSSL has two lists, for it takes names that belong to TLS 1.3 in one of them only. */
function cipherOptions(ciphers: string): SslContextOptions {
  const names = ciphers.split(":").filter((name) => name !== "");
  const suites = names.filter((name) => name.startsWith("TLS_"));
  const others = names.filter((name) => !name.startsWith("TLS_"));
  return {
    ...(suites.length > 0 && { cipherSuites: suites.join(":") }),
    ...(others.length > 0 && { cipherList: others.join(":") }),
  };
}

function verifyMode(requestCert: boolean, rejectUnauthorized = true): VerifyMode {
  if (!requestCert) return "none";
  return rejectUnauthorized ? "require" : "request";
}
