import { type Stats, statSync } from "node:fs";
import type { Pointer } from "../ffi/types.ts";
import { beforeClosing, library } from "./library.ts";
import { openSslError } from "./openssl_error.ts";
import { freeCertificates, readCertificates } from "./pem.ts";
import { useRevocationLists } from "./revocation_lists.ts";

/** Whom a context trusts. */
export interface Trust {
  readonly authorities: Loaded | undefined;
  readonly revocationLists: Loaded | undefined;
  readonly trustsSystem: boolean;
}
import { hashOf, type Loaded } from "./loaded_options.ts";

/**
 * The certificates that contexts trust, read once for all contexts that trust the same: the system's take 20 ms to load
 * and 0.8 MB.
 */
export class TrustStore {
  /** The X509_STORE. */
  readonly pointer: Pointer;
  /** The authorities' X509s; none of the system's. */
  readonly authorities: readonly Pointer[];
  readonly #key: string;
  #users = 1;

  private constructor(key: string, pointer: Pointer, authorities: readonly Pointer[]) {
    this.pointer = pointer;
    this.authorities = authorities;
    this.#key = key;
    stores.set(key, this);
  }

  /** That of these authorities and lists. Its user gives it back. */
  static of(trust: Trust): TrustStore {
    const parts = [trust.authorities?.bytes, trust.revocationLists?.bytes];
    const system = trust.trustsSystem ? systemLooks() : "";
    const key = hashOf([...parts, system]);
    const shared = stores.get(key);
    if (shared) {
      shared.#users++;
      return shared;
    }
    const store = TrustStore.#make(key, trust);
    if (system && !trust.revocationLists) store.#keep();
    return store;
  }

  static #make(key: string, { authorities: source, revocationLists, trustsSystem }: Trust): TrustStore {
    const { crypto } = library();
    const pointer = crypto.X509_STORE_new();
    if (!pointer) throw openSslError("Cannot make a store of certificates");
    const authorities: Pointer[] = [];
    try {
      if (source) {
        authorities.push(...readCertificates("certificate authorities", source, "certificateAuthoritiesFile"));
      }
      for (const authority of authorities) {
        if (crypto.X509_STORE_add_cert(pointer, authority) !== 1) {
          throw openSslError("Cannot trust a certificate authority");
        }
      }
      if (trustsSystem && crypto.X509_STORE_set_default_paths(pointer) !== 1) {
        throw openSslError("Cannot use the system's certificate authorities", "they cannot be read");
      }
      if (revocationLists) useRevocationLists(pointer, revocationLists);
    } catch (error) {
      freeCertificates(authorities);
      crypto.X509_STORE_free(pointer);
      throw error;
    }
    return new TrustStore(key, pointer, authorities);
  }

  /** The system's is kept for whoever comes next. */
  #keep(): void {
    this.#users++;
    kept?.release();
    kept = this;
  }

  /** Its user needs it no longer. */
  release(): void {
    if (--this.#users > 0) return;
    if (stores.get(this.#key) === this) stores.delete(this.#key);
    freeCertificates([...this.authorities]);
    library().crypto.X509_STORE_free(this.pointer);
  }
}

const stores = new Map<string, TrustStore>();
let kept: TrustStore | undefined;

beforeClosing(() => {
  kept?.release();
  kept = undefined;
});

/** What the system's file and folder of authorities look like: renewed ones are loaded anew. */
function systemLooks(): string {
  const { crypto, memory, adapter } = library();
  const places = [
    [crypto.X509_get_default_cert_file_env(), crypto.X509_get_default_cert_file()],
    [crypto.X509_get_default_cert_dir_env(), crypto.X509_get_default_cert_dir()],
  ];
  return places.map(([variable, path]) => {
    const place = adapter.environment(memory.readString(variable!)!) || memory.readString(path!)!;
    return `${place} ${lookOf(place)}`;
  }).join();
}

function lookOf(path: string): string {
  // The system's are then taken for what they were.
  if (!library().adapter.canRead(path)) return "not to be read";
  try {
    const { mtimeMs, size, ino }: Stats = statSync(path);
    return `${mtimeMs} ${size} ${ino}`;
  } catch {
    return "missing";
  }
}
