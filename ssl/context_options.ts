import type { KeylogCallback } from "./callback_types.ts";
import { anyText, bytes, callback, either, file, flag, integer, list, object, oneOf, text } from "./option_kinds.ts";
import type { OptionKind, OptionKinds } from "./options.ts";
import type { ProtocolVersion } from "./protocol.ts";

/** Whether the other side must show a certificate that can be verified: not asked, asked, or required. */
export type VerifyMode = "none" | "request" | "require";

/** A certificate, and what goes with it. */
export interface CertificateOptions {
  /**
   * The certificate as PEM text, the issuers' certificates after it. One whose key TLS 1.3 does not know (brainpool,
   * secp256k1) is served with TLS 1.2.
   */
  certificate?: string;
  /** A file with the same. */
  certificateFile?: string | URL;
  /** The private key as PEM text; by default it is looked for in the certificate's text. */
  privateKey?: string;
  /** A file with the same. */
  privateKeyFile?: string | URL;
  /** The passphrase of an encrypted private key. */
  passphrase?: string;
  /**
   * What the certificate's issuer says of it (OCSP), in DER: sent to clients that ask for it, so that they need not ask
   * the issuer. It is sent as it is, also when its time is over. Servers only.
   */
  ocspResponse?: Uint8Array;
  /** A file with the same. */
  ocspResponseFile?: string | URL;
}

/** The options of {@linkcode SslContext.server} and {@linkcode SslContext.client}. */
export interface SslContextOptions extends CertificateOptions {
  /**
   * Certificates with keys of other types for the same names, each with its own chain: RSA beside ECDSA. The one that
   * the other side can do with is chosen.
   */
  moreCertificates?: readonly CertificateOptions[];
  /** The oldest protocol to speak; by default OpenSSL's own, which the system's configuration sets. */
  minVersion?: ProtocolVersion;
  /** The newest protocol to speak; by default the newest there is. */
  maxVersion?: ProtocolVersion;
  /**
   * The ciphers up to TLS 1.2: `ECDHE+AESGCM`. Those of TLS 1.3 stay as they are: they have an option of their own.
   *
   * @see SSL_CTX_set_cipher_list(3)
   */
  cipherList?: string;
  /** The cipher suites of TLS 1.3: `TLS_AES_128_GCM_SHA256`. @see SSL_CTX_set_ciphersuites(3) */
  cipherSuites?: string;
  /**
   * Whether a server chooses the first of its own ciphers that the client offers; by default true, as in node:tls. With
   * false, the first of the client's.
   */
  honorCipherOrder?: boolean;
  /** The groups for the key exchange: `X25519:P-256`. @see SSL_CTX_set1_groups_list(3) */
  groups?: string;
  /**
   * The signature algorithms that are taken, the preferred one first: `ECDSA+SHA256:RSA-PSS+SHA256`; by default OpenSSL's
   * own. @see SSL_CTX_set1_sigalgs_list(3)
   */
  signatureAlgorithms?: string;
  /** The application protocols (ALPN), the preferred one first: `["h2", "http/1.1"]`. */
  alpnProtocols?: readonly string[];
  /** Whether the other side must show a certificate; by default `"require"` for clients, `"none"` for servers. */
  verify?: VerifyMode;
  /**
   * Whether a certificate that was asked for and cannot be verified ends the handshake; by default true. With false, any
   * gets in, and {@linkcode SslConnection.verifyResult} tells the verdict. `verify: "require"` wants one all the same.
   */
  rejectUnauthorized?: boolean;
  /** The certificates to trust, as PEM text; by default the system's where anything is verified. */
  certificateAuthorities?: string;
  /** A file with the same. */
  certificateAuthoritiesFile?: string | URL;
  /**
   * The revocation lists (CRL) of those authorities, as PEM text. With them a certificate is refused that is on its
   * issuer's list, and so is one whose issuer, or any above it, has no list here or only one whose time is over. Sessions
   * resume only under the lists that they were made under.
   */
  certificateRevocationLists?: string;
  /** A file with the same. */
  certificateRevocationListsFile?: string | URL;
  /**
   * What a session must have been made under to resume here, 1 to 32 bytes; by default a hash of the server's names, its
   * verify mode, whether it rejects whom it cannot verify, its certificate authorities and its revocation lists.
   */
  sessionIdContext?: string | Uint8Array;
  /** What is cached: a combination of {@linkcode SessionCacheMode}; by default OpenSSL's, `Server`. */
  sessionCacheMode?: number;
  /** How many sessions the internal cache holds, 0 for any number; by default OpenSSL's, 20,480. */
  sessionCacheSize?: number;
  /** For how long sessions may resume, in seconds, 1 at least; by default OpenSSL's, 300 (7,200 from 3.0 on). */
  sessionTimeout?: number;
  /**
   * How many TLS 1.3 tickets follow a full handshake, 64 at most; by default OpenSSL's, 2, and 1 with a
   * {@linkcode SessionCache}. Each is a session in the store, and 79 bytes to the client. 0 is for clients that only
   * write: where they close with a ticket unread, the system resets their connection.
   */
  numTickets?: number;
  /** Options to turn on: a combination of {@linkcode SslOption}. */
  options?: number;
  /** Called with each secret of a connection, in the NSS key log format. */
  keylog?: KeylogCallback;
}

/**
 * More tickets than these no context sends: clients of LibreSSL end a connection after 100 messages that follow its
 * handshake, and each ticket is work before the first answer, and an entry in the store.
 */
export const mostTickets = 64;

/**
 * The names of ciphers. OpenSSL passes over those that belong into the other list: a server would speak what its operator
 * thinks to have left out.
 */
function ciphers(belongs: (name: string) => boolean, other: string, versions: string): OptionKind<string> {
  return (value, name, of) => {
    const names = text(value, name, of)!;
    const stray = names.split(/[:, ;]/).find((cipher) => cipher !== "" && !belongs(cipher));
    if (stray === undefined) return names;
    throw new RangeError(
      `Cannot use the option ${name} with ${of}: ciphers of ${versions}, such as ${stray}, go into ${other}`,
    );
  };
}

/** The kinds of a certificate's options. */
export const certificateKinds: OptionKinds<CertificateOptions> = {
  // Text that is no PEM, be it empty, is for whoever reads it to refuse.
  certificate: anyText,
  certificateFile: file,
  privateKey: anyText,
  privateKeyFile: file,
  passphrase: anyText,
  ocspResponse: bytes,
  ocspResponseFile: file,
};

/** The kinds of a context's options. */
export const contextKinds: OptionKinds<SslContextOptions> = {
  ...certificateKinds,
  moreCertificates: list(object(certificateKinds)),
  minVersion: oneOf("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
  maxVersion: oneOf("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
  cipherList: ciphers((name) => !/^[!+-]?TLS_/.test(name) || name.includes("_WITH_"), "cipherSuites", "TLS 1.3"),
  cipherSuites: ciphers((name) => /^!?TLS_/.test(name), "cipherList", "TLS 1.2 and before"),
  honorCipherOrder: flag,
  groups: text,
  signatureAlgorithms: text,
  alpnProtocols: list(anyText),
  verify: oneOf("none", "request", "require"),
  rejectUnauthorized: flag,
  certificateAuthorities: anyText,
  certificateAuthoritiesFile: file,
  certificateRevocationLists: text,
  certificateRevocationListsFile: file,
  sessionIdContext: either((value) => typeof value === "string", anyText, bytes),
  sessionCacheMode: integer(0, 0x7fffffff),
  sessionCacheSize: integer(0, 0x7fffffff),
  sessionTimeout: integer(1, 0x7fffffff, "whole seconds"),
  numTickets: integer(0, mostTickets),
  options: integer(0, Number.MAX_SAFE_INTEGER),
  keylog: callback(),
};
