/** Options with what their files hold: what a context is made of, and told from others by. */

import { Buffer } from "node:buffer";
import { createHash, type Hash } from "node:crypto";
import { readFileSync } from "node:fs";
import { copyOf, isBytes } from "./bytes.ts";
import { certificateKinds, type CertificateOptions, contextKinds, type SslContextOptions } from "./context_options.ts";
import { mergeOptions, omitOptions } from "./options.ts";

/** What an option or its file holds. */
export interface Loaded {
  readonly bytes: Uint8Array;
  /** The file, for errors; undefined where the option holds it itself. */
  readonly file: string | undefined;
}

/** One certificate's. */
export interface LoadedCertificate {
  readonly certificate: Loaded | undefined;
  readonly privateKey: Loaded | undefined;
  readonly passphrase: string | undefined;
  readonly ocspResponse: Loaded | undefined;
}

const { moreCertificates, certificateAuthorities, certificateAuthoritiesFile } = contextKinds;
const { certificateRevocationLists, certificateRevocationListsFile } = contextKinds;
const replaced = {
  ...certificateKinds,
  ...{ moreCertificates, certificateAuthorities, certificateAuthoritiesFile },
  ...{ certificateRevocationLists, certificateRevocationListsFile },
};

/** A context's. */
export interface LoadedOptions extends Omit<SslContextOptions, keyof typeof replaced> {
  /** The certificate that stands among the options, where one does, and those beside it. */
  readonly loadedCertificates: readonly LoadedCertificate[];
  readonly authorities: Loaded | undefined;
  readonly revocationLists: Loaded | undefined;
}

/** Answers what a file holds, or throws. */
export type FileReader = (file: string | URL) => Uint8Array;

/** Loads options that were read by `readOptions`. */
export function loadOptions(options: Readonly<SslContextOptions>, read: FileReader = readFileSync): LoadedOptions {
  const { moreCertificates = [], certificateAuthorities, certificateAuthoritiesFile } = options;
  const { certificateRevocationLists, certificateRevocationListsFile } = options;
  const isThere = moreCertificates.length > 0 ||
    Object.keys(options).some((name) => Object.hasOwn(certificateKinds, name));
  return mergeOptions<LoadedOptions>(omitOptions(replaced, options), {
    authorities: load("certificate authorities", certificateAuthorities, certificateAuthoritiesFile, read),
    revocationLists: load(
      "certificate revocation lists",
      certificateRevocationLists,
      certificateRevocationListsFile,
      read,
    ),
    loadedCertificates: (isThere ? [options, ...moreCertificates] : []).map((one) => loadCertificate(one, read)),
  });
}

function loadCertificate(options: Readonly<CertificateOptions>, read: FileReader): LoadedCertificate {
  return {
    certificate: load("certificate", options.certificate, options.certificateFile, read),
    privateKey: load("private key", options.privateKey, options.privateKeyFile, read),
    passphrase: options.passphrase,
    ocspResponse: load("stapled OCSP response", options.ocspResponse, options.ocspResponseFile, read),
  };
}

function load(
  what: string,
  given: string | Uint8Array | undefined,
  file: string | URL | undefined,
  read: FileReader,
): Loaded | undefined {
  if (file === undefined) {
    if (given === undefined) return undefined;
    const bytes = typeof given === "string" ? new TextEncoder().encode(given) : copyOf(`this ${what}`, given);
    return { bytes, file: undefined };
  }
  if (given !== undefined) throw new TypeError(`Cannot use both a ${what} and a ${what} file: give one`);
  try {
    return { bytes: read(file), file: String(file) };
  } catch (cause) {
    throw new Error(`Cannot read the ${what} file ${file}: ${(cause as Error).message}`, { cause });
  }
}

/** The files that options name. */
export function filesOf(options: Readonly<SslContextOptions>): (string | URL)[] {
  const { certificateAuthoritiesFile, certificateRevocationListsFile, moreCertificates = [] } = options;
  const files = [options, ...moreCertificates].flatMap(({ certificateFile, privateKeyFile, ocspResponseFile }) => [
    certificateFile,
    privateKeyFile,
    ocspResponseFile,
  ]);
  return [...files, certificateAuthoritiesFile, certificateRevocationListsFile].filter((file) => file !== undefined);
}

/** Forgets the private keys. */
export function wipe(loaded: LoadedOptions): void {
  for (const { certificate, privateKey } of loaded.loadedCertificates) (privateKey ?? certificate)?.bytes.fill(0);
}

/** The same for equal options alone, wherever they stand; it tells nothing of them, as there may be keys among them. */
export function hashOf(options: object): string {
  const hash = createHash("sha256");
  addTo(hash, options);
  return hash.digest("base64");
}

function addTo(hash: Hash, value: unknown): void {
  if (isBytes(value)) {
    const bytes = copyOf("these bytes", value);
    hash.update(`bytes ${bytes.length} `).update(bytes);
  } else if (Array.isArray(value)) {
    hash.update(`list ${value.length} `);
    for (const element of value) addTo(hash, element);
  } else if (typeof value === "object" && value !== null) {
    // The name of a file says nothing of what is in it.
    const entries = Object.entries(value).filter(([name, value]) => value !== undefined && name !== "file");
    hash.update(`object ${entries.length} `);
    for (const [name, value] of entries.sort(([a], [b]) => a < b ? -1 : 1)) {
      addTo(hash, name);
      addTo(hash, value);
    }
  } else if (typeof value === "function") hash.update(`function ${numberOf(value)} `);
  else hash.update(`${typeof value} ${Buffer.byteLength(String(value))} ${String(value)} `);
}

const numbers = new WeakMap<object, number>();
let lastNumber = 0;

/** Functions are equal only to themselves. */
function numberOf(value: object): number {
  let number = numbers.get(value);
  if (number === undefined) numbers.set(value, number = ++lastNumber);
  return number;
}
