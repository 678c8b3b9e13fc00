import { Buffer } from "node:buffer";
import { contextKinds, type SslContextOptions, type VerifyMode } from "../ssl/context_options.ts";
import { anyText, flag, integer, list, milliseconds, object, text } from "../ssl/option_kinds.ts";
import { mergeOptions, type OptionKind, type OptionKinds, refused } from "../ssl/options.ts";
import { type ConnectionLimits, limitKinds } from "./limits.ts";

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

const pem: OptionKind<Pem> = (value, name, of) => {
  if (!isPem(value)) throw refused(value, name, of, "PEM, as text or bytes");
  return value;
};
const keyWithPassphrase = object<{ pem: Pem; passphrase?: string }>({ pem, passphrase: anyText });
const oneKey: OptionKind<Pem | { readonly pem: Pem; readonly passphrase?: string }> = (value, name, of) =>
  isPem(value) || typeof value !== "object" ? pem(value, name, of) : keyWithPassphrase(value, name, of);

/** One of a kind, or an array of them. */
function oneOrMore<T>(kind: OptionKind<T>): OptionKind<T | readonly T[]> {
  return (value, name, of) => (Array.isArray(value) ? list(kind) : kind)(value, name, of);
}

const { keylog: _keylog, sessionCacheMode: _sessionCacheMode, ...ownKinds } = contextKinds;

/** The kinds of the options of `addContext()` and `setSecureContext()`. */
export const nodeContextKinds: OptionKinds<NodeTlsContextOptions> = {
  ...ownKinds,
  key: (value, name, of) => (Array.isArray(value) ? list(oneKey) : pem)(value, name, of),
  cert: oneOrMore(pem),
  ca: oneOrMore(pem),
  ciphers: text,
  ecdhCurve: text,
  secureOptions: integer(0, Number.MAX_SAFE_INTEGER),
  ALPNProtocols: list(anyText),
  requestCert: flag,
};

/** The kinds of the options of {@linkcode createServer}. */
export const nodeServerKinds: OptionKinds<NodeTlsServerOptions> = {
  ...nodeContextKinds,
  ...limitKinds,
  lookupTimeout: milliseconds,
};

/** An option's name in node:tls, and its name here. */
const twins = [
  ["key", "privateKey"],
  ["cert", "certificate"],
  ["ca", "certificateAuthorities"],
  ["ciphers", "cipherList"],
  ["ecdhCurve", "groups"],
  ["secureOptions", "options"],
  ["ALPNProtocols", "alpnProtocols"],
  ["requestCert", "verify"],
] as const satisfies (keyof NodeTlsContextOptions)[][];

/** Options that hold for all contexts, and changes to them for one. Both have been read. */
export function withChanges(
  kept: Readonly<NodeTlsContextOptions>,
  changes: Readonly<NodeTlsContextOptions>,
): Readonly<NodeTlsContextOptions> {
  const replaced = twins.filter((names) => names.some((name) => name in changes)).flat();
  const rest = Object.entries(kept).filter(([name]) => !(replaced as string[]).includes(name));
  return mergeOptions<NodeTlsContextOptions>(Object.fromEntries(rest), changes);
}

/** The options of a context, in this library's own names. They have been read. */
export function contextOptions(options: Readonly<NodeTlsContextOptions>): SslContextOptions {
  const { key, cert, ca, ciphers, ecdhCurve, secureOptions, ALPNProtocols, requestCert, ...own } = options;
  const translated: SslContextOptions = {
    ...certificates(key, cert, options.passphrase),
    ...(ca !== undefined && { certificateAuthorities: listOf(ca).map(textOf).join("\n") }),
    ...(ciphers !== undefined && cipherOptions(ciphers)),
    ...(ecdhCurve !== undefined && ecdhCurve !== "auto" && { groups: ecdhCurve }),
    ...(secureOptions !== undefined && { options: secureOptions }),
    ...(ALPNProtocols !== undefined && { alpnProtocols: ALPNProtocols }),
    ...(requestCert !== undefined && { verify: verifyMode(requestCert, options.rejectUnauthorized) }),
  };
  for (const [theirs, ours] of twins) {
    if (!(theirs in options) || !(ours in options) || String(translated[ours]) === String(options[ours])) continue;
    throw new TypeError(`Cannot use ${theirs} and ${ours}, which differ: they are two names of one option`);
  }
  return mergeOptions<SslContextOptions>(own, translated);
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

function verifyMode(requestCert: boolean, rejectUnauthorized: boolean | undefined): VerifyMode {
  if (!requestCert) return "none";
  return rejectUnauthorized === false ? "request" : "require";
}
