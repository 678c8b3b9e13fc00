import type { X509Certificate } from "node:crypto";
import { cString } from "../ffi/memory.ts";
import type { Pointer } from "../ffi/types.ts";
import { copyOf, writeInto } from "./bytes.ts";
import { certificateOf } from "./certificate.ts";
import { library } from "./library.ts";
import { clearErrors, openSslError } from "./openssl_error.ts";
import { verifyName } from "./verify_names.ts";

/** How the verification of the other side's certificate ended. */
export interface VerifyResult {
  /** 0 for a verified certificate, and for none where none was asked for. See openssl-verification-options(1). */
  readonly code: number;
  /** The same as node:tls has it: `OK`, `CERT_HAS_EXPIRED`, `DEPTH_ZERO_SELF_SIGNED_CERT`; `UNSPECIFIED` for rare ones. */
  readonly name: string;
  /** The same in words: `ok`, `self-signed certificate`. */
  readonly reason: string;
}

/** A cipher suite by its names. */
export interface CipherNames {
  /** OpenSSL's name: `ECDHE-RSA-AES128-GCM-SHA256`. */
  readonly name: string;
  /** The RFCs' name: `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`. */
  readonly standardName: string;
  /** The first version of the protocol that has it: `TLSv1.2`. */
  readonly version: string;
}

/** The cipher suite of an SSL, by all of its names. */
export function cipherNamesOf(connection: Pointer): CipherNames | undefined {
  const { ssl, memory } = library();
  const cipher = ssl.SSL_get_current_cipher(connection);
  if (!cipher) return undefined;
  const name = memory.readString(ssl.SSL_CIPHER_get_name(cipher))!;
  return {
    name,
    standardName: memory.readString(ssl.SSL_CIPHER_standard_name(cipher)) ?? name,
    version: memory.readString(ssl.SSL_CIPHER_get_version(cipher))!,
  };
}

/** The application protocol of an SSL. */
export function alpnProtocolOf(connection: Pointer): string | undefined {
  const { ssl, memory } = library();
  const name = new BigUint64Array(1);
  const length = new Uint32Array(1);
  ssl.SSL_get0_alpn_selected(connection, name, length);
  const pointer = memory.pointerIn(name);
  return pointer ? new TextDecoder().decode(memory.readBytes(pointer, length[0]!)) : undefined;
}

/** A copy of the certificate that the other side of an SSL showed. */
export function peerCertificateOf(connection: Pointer): X509Certificate | undefined {
  const { ssl, crypto } = library();
  const get = ssl.SSL_get1_peer_certificate ?? ssl.SSL_get_peer_certificate!;
  const pointer = get(connection);
  try {
    return certificateOf(pointer);
  } finally {
    if (pointer) crypto.X509_free(pointer);
  }
}

/** How the verification of that certificate ended. */
export function verifyResultOf(connection: Pointer): VerifyResult {
  const { ssl, crypto, memory } = library();
  const code = Number(ssl.SSL_get_verify_result(connection));
  return { code, name: verifyName(code), reason: memory.readString(crypto.X509_verify_cert_error_string(code))! };
}

/** Key material of an SSL whose handshake is over. */
export function exportKeyingMaterial(
  connection: Pointer,
  length: number,
  label: string,
  context: Uint8Array | undefined,
): Uint8Array {
  if (!Number.isInteger(length) || length < 1 || length > 65_536) {
    throw new RangeError(`Cannot export ${length} bytes of keying material: it takes 1 to 65536`);
  }
  const text = cString(label);
  const copy = context ? copyOf("this context", context) : new Uint8Array();
  // C gets no empty buffer.
  const bound = new Uint8Array(copy.length + 1);
  writeInto(bound, copy);
  const material = new Uint8Array(length);
  clearErrors();
  const answer = library().ssl.SSL_export_keying_material(
    connection,
    material,
    length,
    text,
    text.length - 1,
    bound,
    bound.length - 1,
    context ? 1 : 0,
  );
  if (answer !== 1) throw openSslError(`Cannot export keying material for ${JSON.stringify(label)}`);
  return material;
}
