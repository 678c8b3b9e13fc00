import { certificateOf } from "./certificate.ts";
import type { X509Certificate } from "node:crypto";
import type { Pointer } from "../ffi/types.ts";
import { connectionPointer, type SslConnection } from "./connection.ts";
import { library } from "./library.ts";
import { clearErrors } from "./openssl_error.ts";

/** Whether this is a server's end. @see SSL_is_server(3) */
export function isServers(connection: SslConnection): boolean {
  return library().ssl.SSL_is_server(connectionPointer(connection)) === 1;
}

/** The longest a Finished message's content can be: EVP_MAX_MD_SIZE. */
const longestDigest = 64;

/**
 * What this side's Finished message held, or the other side's; undefined before there is one.
 *
 * @see SSL_get_finished(3)
 */
export function finishedOf(connection: SslConnection, whose: "own" | "peer"): Uint8Array | undefined {
  const pointer = connectionPointer(connection);
  const { ssl } = library();
  const content = new Uint8Array(longestDigest);
  const get = whose === "own" ? ssl.SSL_get_finished : ssl.SSL_get_peer_finished;
  const length = Number(get(pointer, content, longestDigest));
  return length === 0 ? undefined : content.slice(0, length);
}

/** The key types of signatures as node:tls writes them, by their NIDs. Others go by OpenSSL's short names. */
const signatures: Readonly<Record<number, string>> = {
  6: "RSA",
  116: "DSA",
  408: "ECDSA",
  912: "RSA-PSS",
  1087: "Ed25519",
  1088: "Ed448",
};

/**
 * The signature algorithms that both sides know, this side's preferred ones first: `ECDSA+SHA256`. On servers only.
 *
 * @see SSL_get_shared_sigalgs(3)
 */
export function sharedSignatureAlgorithmsOf(connection: SslConnection): string[] {
  const pointer = connectionPointer(connection);
  const { ssl } = library();
  const signature = new Int32Array(1);
  const hash = new Int32Array(1);
  const ask = (index: number) => ssl.SSL_get_shared_sigalgs(pointer, index, signature, hash, null, null, null);
  return Array.from({ length: Math.max(0, ask(0)) }, (_, index) => {
    ask(index);
    return `${signatures[signature[0]!] ?? shortName(signature[0]!)}+${shortName(hash[0]!)}`;
  });
}

function shortName(nid: number): string {
  const undefinedNid = 0;
  const { crypto, memory } = library();
  const name = nid === undefinedNid ? undefined : memory.readString(crypto.OBJ_nid2sn(nid));
  return name ?? "UNDEF";
}

/** The server's part of the key exchange, as its client sees it. */
export interface EphemeralKey {
  /** `ECDH` or `DH`. */
  readonly type: "ECDH" | "DH";
  /** The curve's name, where there is one: `X25519`. */
  readonly name?: string;
  /** The key's size in bits. */
  readonly size: number;
}

/** EVP_PKEY_DH, EVP_PKEY_EC, EVP_PKEY_X25519, EVP_PKEY_X448. */
const keyTypes = { dh: 28, ec: 408, x25519: 1034, x448: 1035 };

/** The curves of TLS by their sizes in bits, for OpenSSL 1.1.1, which does not tell their names. */
const curves: Readonly<Record<number, string>> = { 256: "prime256v1", 384: "secp384r1", 521: "secp521r1" };

/**
 * The key of the server that a client's handshake used; undefined where there was none, or none with a name of its own, as
 * with hybrids of two kinds.
 *
 * @see SSL_get_peer_tmp_key(3)
 */
export function ephemeralKeyOf(connection: SslConnection): EphemeralKey | undefined {
  const pointer = connectionPointer(connection);
  const { ssl, crypto, memory } = library();
  const getPeerKey = 109, getGroup = 134; // SSL_CTRL_GET_PEER_TMP_KEY, SSL_CTRL_GET_NEGOTIATED_GROUP
  const variable = new BigUint64Array(1);
  const answer = Number(ssl.SSL_ctrl(pointer, getPeerKey, 0, variable));
  clearErrors();
  const key = answer === 1 ? memory.pointerIn(variable) : undefined;
  if (!key) return undefined;
  try {
    const type = (crypto.EVP_PKEY_get_id ?? crypto.EVP_PKEY_id!)(key);
    const size = (crypto.EVP_PKEY_get_bits ?? crypto.EVP_PKEY_bits!)(key);
    if (type === keyTypes.dh) return { type: "DH", size };
    if (type === keyTypes.x25519 || type === keyTypes.x448) return { type: "ECDH", name: shortName(type), size };
    if (type !== keyTypes.ec) return undefined;
    const group = Number(ssl.SSL_ctrl_pointer(pointer, getGroup, 0, null));
    const name = group > 0 ? shortName(group) : curves[size];
    return name === undefined ? { type: "ECDH", size } : { type: "ECDH", name, size };
  } finally {
    crypto.EVP_PKEY_free(key);
  }
}

/** The ticket that a client has of its session; undefined where there is none. @see SSL_SESSION_get0_ticket(3) */
export function ticketOf(connection: SslConnection): Uint8Array | undefined {
  const pointer = connectionPointer(connection);
  const { ssl, memory } = library();
  const session = ssl.SSL_get_session(pointer);
  if (!session) return undefined;
  const variable = new BigUint64Array(1);
  const length = new BigUint64Array(1);
  ssl.SSL_SESSION_get0_ticket(session, variable, length);
  const ticket = memory.pointerIn(variable);
  return ticket && memory.readBytes(ticket, Number(length[0]));
}

/** Has records hold this much plaintext at most: 512 to 16,384 bytes. @see SSL_set_max_send_fragment(3) */
export function setMaxSendFragment(connection: SslConnection, size: number): boolean {
  const setFragment = 52; // SSL_CTRL_SET_MAX_SEND_FRAGMENT
  const answer = Number(library().ssl.SSL_ctrl_pointer(connectionPointer(connection), setFragment, size, null));
  clearErrors();
  return answer === 1;
}

/** A copy of this side's certificate; undefined where it has none. @see SSL_get_certificate(3) */
export function ownCertificateOf(connection: SslConnection): X509Certificate | undefined {
  return certificateOf(library().ssl.SSL_get_certificate(connectionPointer(connection)));
}

/** More issuers than this are not looked for: chains in use have three or four. */
const longestChain = 16;

/**
 * Copies of the certificate that the other side showed and of its issuers, each after what it has signed: from what the
 * other side sent, and from the authorities that are trusted here. Empty where it showed none. A resumed connection
 * knows no more than its session, which has the first.
 *
 * @see SSL_get_peer_cert_chain(3), X509_STORE_CTX_get1_issuer(3)
 */
export function peerChainOf(connection: SslConnection): X509Certificate[] {
  const pointer = connectionPointer(connection);
  const { ssl, crypto } = library();
  const get = ssl.SSL_get1_peer_certificate ?? ssl.SSL_get_peer_certificate!;
  const leaf = get(pointer);
  if (!leaf) return [];
  const owned: Pointer[] = [leaf];
  try {
    const sent = sentChain(pointer);
    const chain: Link[] = [{ pointer: leaf, certificate: certificateOf(leaf)! }];
    while (chain.length < longestChain) {
      const last = chain.at(-1)!;
      if (last.certificate.checkIssued(last.certificate)) break;
      const at = sent.findIndex(({ certificate }) => last.certificate.checkIssued(certificate));
      const [next] = at < 0 ? [trustedIssuer(pointer, last.pointer, owned)] : sent.splice(at, 1);
      if (!next) break;
      chain.push(next);
    }
    return chain.map(({ certificate }) => certificate);
  } finally {
    clearErrors();
    for (const certificate of owned) crypto.X509_free(certificate);
  }
}

interface Link {
  readonly pointer: Pointer;
  readonly certificate: X509Certificate;
}

/** What the other side sent. The certificates stay libssl's. */
function sentChain(connection: Pointer): Link[] {
  const { ssl, crypto } = library();
  const stack = ssl.SSL_get_peer_cert_chain(connection);
  if (!stack) return [];
  const length = Math.min(crypto.OPENSSL_sk_num(stack), longestChain);
  return Array.from({ length }, (_, index) => {
    const pointer = crypto.OPENSSL_sk_value(stack, index) as Pointer;
    return { pointer, certificate: certificateOf(pointer)! };
  });
}

/** The issuer of a certificate among the authorities that the connection's context trusts. */
function trustedIssuer(connection: Pointer, certificate: Pointer, owned: Pointer[]): Link | undefined {
  const { ssl, crypto, memory } = library();
  const context = ssl.SSL_get_SSL_CTX(connection);
  const search = context && crypto.X509_STORE_CTX_new();
  if (!search) return undefined;
  try {
    if (crypto.X509_STORE_CTX_init(search, ssl.SSL_CTX_get_cert_store(context), null, null) !== 1) return undefined;
    const variable = new BigUint64Array(1);
    if (crypto.X509_STORE_CTX_get1_issuer(variable, search, certificate) !== 1) return undefined;
    const pointer = memory.pointerIn(variable);
    if (!pointer) return undefined;
    owned.push(pointer);
    return { pointer, certificate: certificateOf(pointer)! };
  } finally {
    crypto.X509_STORE_CTX_free(search);
  }
}
