import { isIP } from "node:net";
import { cString } from "../ffi/memory.ts";
import type { Null, Pointer } from "../ffi/types.ts";
import { writePem } from "./pem.ts";
import { library } from "./library.ts";
import { normalPattern } from "./names.ts";
import { openSslError } from "./openssl_error.ts";

/** A certificate and its private key as PEM text, as {@linkcode SslContext.server} takes them. */
export interface Credentials {
  /** The certificate. */
  certificate: string;
  /** The private key. */
  privateKey: string;
}

/**
 * Makes a self-signed certificate in memory, for trying things out: P-256, good for 30 days. Clients do not trust it
 * unless they are told to.
 *
 * @param names what it is good for, host names and IP addresses, the first one its subject; by default `localhost`,
 *   `127.0.0.1` and `::1`
 * @returns certificate and private key as PEM text
 * @throws {TypeError} for what is no array of host names and IP addresses
 *
 * @example
 * ```ts
 * import { selfSigned, SslContext } from "@openssl-sessions/openssl-sessions";
 *
 * using context = SslContext.server(selfSigned());
 * ```
 */
export function selfSigned(names: readonly string[] = ["localhost", "127.0.0.1", "::1"]): Credentials {
  if (!Array.isArray(names)) throw new TypeError('Cannot make a certificate: give names in an array, as ["localhost"]');
  const { crypto } = library();
  const normal = names.map((name) => typeof name === "string" ? normalPattern(name) : undefined);
  const wrong = names.find((_, index) => normal[index] === undefined);
  if (names.length === 0 || wrong !== undefined) {
    throw new TypeError(
      `Cannot make a certificate for ${JSON.stringify(wrong ?? names)}: give host names or IP addresses`,
    );
  }
  const key = generateKey();
  try {
    const certificate = required("make a certificate", crypto.X509_new());
    try {
      fill(certificate, key, normal as string[]);
      return {
        certificate: writePem("a certificate", (bio) => crypto.PEM_write_bio_X509(bio, certificate)),
        privateKey: writePem(
          "a private key",
          (bio) => crypto.PEM_write_bio_PrivateKey(bio, key, null, null, 0, null, null),
        ),
      };
    } finally {
      crypto.X509_free(certificate);
    }
  } finally {
    crypto.EVP_PKEY_free(key);
  }
}

function generateKey(): Pointer {
  const { crypto, memory } = library();
  const ellipticCurve = 408; // EVP_PKEY_EC
  const generator = required("make a key generator", crypto.EVP_PKEY_CTX_new_id(ellipticCurve, null));
  try {
    const key = new BigUint64Array(1);
    if (
      crypto.EVP_PKEY_keygen_init(generator) !== 1 ||
      crypto.EVP_PKEY_CTX_ctrl_str(generator, cString("ec_paramgen_curve"), cString("P-256")) !== 1 ||
      crypto.EVP_PKEY_keygen(generator, key) !== 1
    ) {
      throw openSslError("Cannot generate a key");
    }
    return memory.pointerIn(key)!;
  } finally {
    crypto.EVP_PKEY_CTX_free(generator);
  }
}

function fill(certificate: Pointer, key: Pointer, names: readonly string[]): void {
  const { crypto } = library();
  const version3 = 2, latin1 = 0x1001, days = 24 * 60 * 60;
  const subject = crypto.X509_get_subject_name(certificate);
  const name = cString(names[0]!);
  const alternatives = names.map((name) => `${isIP(name) ? "IP" : "DNS"}:${name}`).join(",");
  const steps: (() => boolean)[] = [
    () => crypto.X509_set_version(certificate, version3) === 1,
    // Browsers take two certificates of one issuer and serial number for a forgery.
    () =>
      crypto.ASN1_INTEGER_set(crypto.X509_get_serialNumber(certificate), 1 + Math.floor(Math.random() * 0x7ffffffe)) ===
        1,
    () => !!crypto.X509_gmtime_adj(crypto.X509_getm_notBefore(certificate), -300),
    () => !!crypto.X509_gmtime_adj(crypto.X509_getm_notAfter(certificate), 30 * days),
    () => crypto.X509_NAME_add_entry_by_txt(subject, cString("CN"), latin1, name, -1, -1, 0) === 1,
    () => crypto.X509_set_issuer_name(certificate, subject) === 1,
    () => crypto.X509_set_pubkey(certificate, key) === 1,
    // A server's own, and no authority's: some clients refuse the one in the place of the other.
    () => extend(certificate, 87, "critical,CA:FALSE"), // NID_basic_constraints
    () => extend(certificate, 83, "critical,digitalSignature"), // NID_key_usage
    () => extend(certificate, 126, "serverAuth,clientAuth"), // NID_ext_key_usage
    () => extend(certificate, 85, alternatives), // NID_subject_alt_name
    () => crypto.X509_sign(certificate, key, crypto.EVP_sha256()) > 0,
  ];
  for (const step of steps) {
    if (!step()) throw openSslError(`Cannot make a certificate for ${names.join(", ")}`);
  }
}

function extend(certificate: Pointer, nid: number, value: string): boolean {
  const { crypto } = library();
  const extension = crypto.X509V3_EXT_conf_nid(null, null, nid, cString(value));
  if (!extension) return false;
  const added = crypto.X509_add_ext(certificate, extension, -1) === 1;
  crypto.X509_EXTENSION_free(extension);
  return added;
}

function required(action: string, pointer: Pointer | Null): Pointer {
  if (!pointer) throw openSslError(`Cannot ${action}`);
  return pointer;
}
