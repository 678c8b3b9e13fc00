import { Buffer } from "node:buffer";
import { alpnNames } from "../ssl/alpn.ts";
import type { AlpnCallback } from "../ssl/callback_types.ts";
import { contextKinds, type SslContextOptions, type VerifyMode } from "../ssl/context_options.ts";
import {
  anyText,
  bytes,
  callback,
  flag,
  integer,
  list,
  milliseconds,
  object,
  text,
  withMethods,
} from "../ssl/option_kinds.ts";
import { mergeOptions, omitOptions, type OptionKind, type OptionKinds, pickOptions, refused } from "../ssl/options.ts";
import { type Pkcs12, readPkcs12 } from "../ssl/pkcs12.ts";
import type { ProtocolVersion } from "../ssl/protocol.ts";
import type { AddressList } from "./block_list.ts";
import { coded } from "./coded_error.ts";
import { type ConnectionLimits, limitKinds } from "./limits.ts";
import { notHere, notInContexts, notInServers } from "./node_tls_refusals.ts";
import { protocolOptions } from "./node_tls_protocols.ts";
import type { SniCallback } from "./sni_questions.ts";

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
  /** The revocation lists (CRL) of those authorities. See {@linkcode SslContextOptions.certificateRevocationLists}. */
  crl?: Pem | readonly Pem[];
  /**
   * Certificate, key and issuers as PKCS#12, in place of `cert` and `key`; or several, with keys of different types. The
   * issuers go with the certificate, and are trusted where clients are asked for one, as node:tls has it.
   */
  pfx?: Uint8Array | PfxWithPassphrase | readonly (Uint8Array | PfxWithPassphrase)[];
  /**
   * The ciphers, those of TLS 1.3 among them: `TLS_AES_128_GCM_SHA256:ECDHE+AESGCM`. Where there are none but those of TLS
   * 1.3, it alone is spoken.
   */
  ciphers?: string;
  /** The signature algorithms that are taken, the preferred one first: `ECDSA+SHA256:RSA-PSS+SHA256`. */
  sigalgs?: string;
  /** The oldest protocol to speak; by default `TLSv1.2`. */
  minVersion?: ProtocolVersion;
  /** OpenSSL's old way to say which protocols to speak, in place of `minVersion` and `maxVersion`: `TLSv1_2_method`. */
  secureProtocol?: string;
  /** The groups for the key exchange: `X25519:P-256`. `auto` for OpenSSL's own. */
  ecdhCurve?: string;
  /** OpenSSL's options to turn on: a combination of {@linkcode SslOption}. */
  secureOptions?: number;
  /** The application protocols (ALPN), the preferred one first; or the same as bytes, each name after its length. */
  ALPNProtocols?: readonly string[] | Uint8Array;
  /** Whether clients are asked for a certificate; by default false. */
  requestCert?: boolean;
}

/** A PKCS#12 file's content with a passphrase of its own. */
export interface PfxWithPassphrase {
  /** The content. */
  readonly buf: Uint8Array;
  /** Its passphrase; by default the option of this name. */
  readonly passphrase?: string;
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
  /**
   * Asked about each client that asks for a name (SNI), in place of the names of `addContext()`: what it is to get. Until
   * it answers the handshake waits. See {@linkcode SniCallback}.
   */
  SNICallback?: SniCallback;
  /** Chooses the application protocol (ALPN), in place of `ALPNProtocols`. See {@linkcode AlpnCallback}. */
  ALPNCallback?: AlpnCallback;
  /** Whether a stream is paused when it comes, until `resume()`; by default false. */
  pauseOnConnect?: boolean;
  /** Whether the system asks now and then if a client is still there; by default false. */
  keepAlive?: boolean;
  /** After how many milliseconds of silence it asks first; by default 0 for the system's own setting, as on Deno always. */
  keepAliveInitialDelay?: number;
  /** True, as it always is: small writes are never held back. */
  noDelay?: true;
  /** Addresses whose connections are closed at once: a BlockList of node:net. */
  blockList?: AddressList;
  /**
   * Whether streams whose other side has ended stay until this side ends as well; by default false. Without it this side
   * ends by itself when all was read.
   */
  allowHalfOpen?: boolean;
}

const pem: OptionKind<Pem> = (value, name, of) => {
  if (!isPem(value)) throw refused(value, name, of, "PEM, as text or bytes");
  return value;
};
const keyWithPassphrase = object<{ pem: Pem; passphrase?: string }>({ pem, passphrase: anyText });
const oneKey: OptionKind<Pem | { readonly pem: Pem; readonly passphrase?: string }> = (value, name, of) =>
  isPem(value) || typeof value !== "object" ? pem(value, name, of) : keyWithPassphrase(value, name, of);

/** As node:tls has it, what is null is not given. */
function orNull<T>(kind: OptionKind<T>): OptionKind<T> {
  return (value, name, of) => value === null ? undefined : kind(value, name, of);
}

/** One of a kind, or an array of them. */
function oneOrMore<T>(kind: OptionKind<T>): OptionKind<T | readonly T[]> {
  return (value, name, of) => (Array.isArray(value) ? list(kind) : kind)(value, name, of);
}

const pfxWithPassphrase = object<PfxWithPassphrase>({ buf: bytes, passphrase: orNull(anyText) });
const onePfx: OptionKind<Uint8Array | PfxWithPassphrase> = (value, name, of) => {
  if (value instanceof Uint8Array) return bytes(value, name, of);
  if (!(value as Partial<PfxWithPassphrase>)?.buf) throw refused(value, name, of, "a PKCS#12 file's bytes, or { buf }");
  return pfxWithPassphrase(value, name, of);
};

const protocols: OptionKind<readonly string[] | Uint8Array> = (value, name, of) => {
  const names = value instanceof Uint8Array ? alpnNames(value) : list(anyText)(value, name, of);
  return names?.length === 0 ? undefined : names;
};

const version: OptionKind<ProtocolVersion> = (value, name, of) => {
  const versions = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"] as const;
  const found = versions.find((version) => version === value);
  if (found) return found;
  const error = refused(value, name, of, `one of ${versions.join(", ")}`);
  throw coded(error, "ERR_TLS_INVALID_PROTOCOL_VERSION");
};

const { keylog: _keylog, sessionCacheMode: _sessionCacheMode, ...ownKinds } = contextKinds;

/** The kinds of the options of `addContext()` and `setSecureContext()`. */
export const nodeContextKinds: OptionKinds<NodeTlsContextOptions> = {
  ...notHere(notInContexts),
  ...ownKinds,
  key: orNull((value, name, of) => (Array.isArray(value) ? list(oneKey) : pem)(value, name, of)),
  cert: orNull(oneOrMore(pem)),
  ca: orNull(oneOrMore(pem)),
  crl: orNull(oneOrMore(pem)),
  pfx: orNull(oneOrMore(onePfx)),
  passphrase: orNull(anyText),
  ciphers: orNull((value, name, of) => value === "" ? undefined : text(value, name, of)),
  sigalgs: orNull(text),
  ecdhCurve: text,
  minVersion: orNull(version),
  maxVersion: orNull(version),
  secureProtocol: orNull(text),
  secureOptions: orNull(integer(0, Number.MAX_SAFE_INTEGER)),
  sessionIdContext: orNull(ownKinds.sessionIdContext),
  sessionTimeout: orNull((value, name, of) => value === 0 ? undefined : ownKinds.sessionTimeout(value, name, of)),
  ALPNProtocols: orNull(protocols),
  requestCert: orNull(flag),
  rejectUnauthorized: orNull(flag),
  honorCipherOrder: orNull(flag),
};

/** The kinds of the options of {@linkcode createServer}. */
export const nodeServerKinds: OptionKinds<NodeTlsServerOptions> = {
  ...notHere(notInServers),
  ...nodeContextKinds,
  ...limitKinds,
  handshakeTimeout: orNull((value, name, of) => value === 0 ? undefined : limitKinds.handshakeTimeout(value, name, of)),
  lookupTimeout: milliseconds,
  SNICallback: orNull(callback()),
  ALPNCallback: orNull(callback()),
  pauseOnConnect: orNull(flag),
  keepAlive: orNull(flag),
  keepAliveInitialDelay: orNull(integer(0, 0x7fffffff)),
  noDelay: orNull((value, name, of) => {
    if (value !== true) throw refused(value, name, of, "true: small writes are never held back");
    return value;
  }),
  blockList: orNull(withMethods("a BlockList of node:net", "check")),
  allowHalfOpen: orNull(flag),
};

/** An option's name in node:tls, and its name here. */
const twins = [
  ["key", "privateKey"],
  ["cert", "certificate"],
  ["ca", "certificateAuthorities"],
  ["ciphers", "cipherList"],
  ["sigalgs", "signatureAlgorithms"],
  ["crl", "certificateRevocationLists"],
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
  const { key, cert, ca, crl, pfx, ciphers, sigalgs, ecdhCurve, secureOptions, ALPNProtocols, requestCert } = options;
  const { minVersion, maxVersion, secureProtocol, passphrase, verify, rejectUnauthorized } = options;
  const own = omitOptions({ minVersion: true, maxVersion: true }, pickOptions(contextKinds, options));
  const files = pfx === undefined ? [] : filesOf(pfx, passphrase);
  if (files.length > 0 && (key !== undefined || cert !== undefined)) {
    throw new TypeError("Cannot use pfx beside key and cert: give one or the other");
  }
  const asksForCertificate = requestCert === true || verify !== undefined && verify !== "none";
  const translated: SslContextOptions = {
    ...(files.length > 0 ? certificatesIn(files) : certificates(key, cert, passphrase)),
    ...authorities(ca, asksForCertificate ? files.flatMap(({ others }) => others) : [], asksForCertificate),
    ...(crl !== undefined && { certificateRevocationLists: listOf(crl).map(textOf).join("\n") }),
    ...protocolOptions({ ciphers, minVersion, maxVersion, secureProtocol }),
    ...(sigalgs !== undefined && { signatureAlgorithms: sigalgs }),
    ...(ecdhCurve !== undefined && ecdhCurve !== "auto" && { groups: ecdhCurve }),
    ...(secureOptions !== undefined && { options: secureOptions }),
    ...(ALPNProtocols !== undefined && { alpnProtocols: ALPNProtocols as readonly string[] }),
    ...(requestCert !== undefined && { verify: verifyMode(requestCert, rejectUnauthorized) }),
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
    const pem = isPem(one) ? one : one?.pem;
    const own = isPem(one) ? passphrase : one?.passphrase ?? passphrase;
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

function filesOf(pfx: NonNullable<NodeTlsContextOptions["pfx"]>, passphrase: string | undefined): Pkcs12[] {
  return listOf(pfx).map((one) =>
    one instanceof Uint8Array ? readPkcs12(one, passphrase) : readPkcs12(one.buf, one.passphrase ?? passphrase)
  );
}

function certificatesIn(files: readonly Pkcs12[]): SslContextOptions {
  const [first, ...others] = files.map(({ certificate, privateKey, others }) => ({
    certificate: [certificate, ...others].join("\n"),
    privateKey,
  }));
  return { ...first, ...(others.length > 0 && { moreCertificates: others }) };
}

/** Whom clients' certificates must come from: those that were given, and those of the PKCS#12 files. */
function authorities(
  ca: NodeTlsContextOptions["ca"],
  others: readonly string[],
  asksForCertificate: boolean,
): SslContextOptions {
  const texts = [...(ca === undefined ? [] : listOf(ca).map(textOf)), ...others];
  if (texts.length > 0) return { certificateAuthorities: texts.join("\n") };
  if (ca !== undefined && asksForCertificate) {
    throw new TypeError(
      "Cannot use an empty list as ca: nobody could get in. Leave it out for the system's authorities",
    );
  }
  return {};
}

function verifyMode(requestCert: boolean, rejectUnauthorized: boolean | undefined): VerifyMode {
  if (!requestCert) return "none";
  return rejectUnauthorized === false ? "request" : "require";
}
