import { appendFileSync } from "node:fs";
import type { SessionCache } from "../cache/session_cache.ts";
import { SslContext } from "../ssl/context.ts";
import type { CertificateOptions, SslContextOptions } from "../ssl/context_options.ts";
import { library } from "../ssl/library.ts";
import { chooseByName, findByName } from "./choose_by_name.ts";
import type { ServerCertificates } from "./tls_server_options.ts";

/**
 * The contexts that a server's certificates make: one for each set of names. A connection is made with the first, and
 * goes on with another one by the name that its client asks for.
 */
export class ServerContexts {
  readonly #cache: SessionCache;
  readonly #onError: (error: Error) => void;
  #options: ServerCertificates;
  #contexts: readonly SslContext[];
  #byName: ReadonlyMap<string, SslContext>;

  /** Throws what is wrong with the options. */
  constructor(options: ServerCertificates, cache: SessionCache, onError: (error: Error) => void) {
    this.#cache = cache;
    this.#onError = onError;
    this.#options = options;
    this.#contexts = this.#make(options);
    this.#byName = named(this.#contexts);
  }

  /** The context for a new connection. */
  get first(): SslContext {
    return this.#contexts[0]!;
  }

  /** The files that the contexts are made of. */
  get files(): string[] {
    const { certificates, common } = divided(this.#options);
    const paths = [...certificates, common].flatMap((options) =>
      Object.entries(options).filter(([name]) => name.endsWith("File") && name !== "keylogFile").map(([, path]) => path)
    );
    return [...new Set(paths.filter((path) => path !== undefined).map(String))];
  }

  /**
   * Makes new contexts, with some options changed, for the connections to come. Those that are there go on with what
   * they have. If it throws, all stays as it was. A certificate among the changes takes the place of all that were
   * there, with their keys.
   */
  reload(changes: ServerCertificates = {}): void {
    const { common } = divided(this.#options);
    const { certificate, certificateFile, certificates } = changes;
    const bringsCertificates = [certificate, certificateFile, certificates].some((value) => value !== undefined);
    const options = { ...(bringsCertificates ? common : this.#options), ...changes };
    const contexts = this.#make(options);
    this.dispose();
    this.#options = options;
    this.#contexts = contexts;
    this.#byName = named(contexts);
  }

  /** Gives the contexts back. Connections keep theirs. */
  dispose(): void {
    for (const context of this.#contexts) context.dispose();
  }

  #make(options: ServerCertificates): SslContext[] {
    const { certificates, common } = divided(options);
    if (certificates.length === 0) {
      throw new TypeError(
        "Cannot make a server without a certificate: give certificate and privateKey, or their files, or selfSigned()",
      );
    }
    const keylog = this.#keylog(options.keylogFile);
    const contexts: SslContext[] = [];
    try {
      for (const [first, ...others] of byNames(certificates)) {
        const moreCertificates = [...first!.moreCertificates ?? [], ...others];
        contexts.push(SslContext.server({ ...common, ...first, moreCertificates, ...(keylog && { keylog }) }));
      }
      for (const context of contexts) this.#cache.attach(context);
      // Of those that are there then: a connection may have begun before they were reloaded.
      if (contexts.length > 1) chooseByName(contexts[0]!, (name) => findByName(this.#byName, name) ?? this.first);
      return contexts;
    } catch (error) {
      for (const context of contexts) context.dispose();
      throw error;
    }
  }

  #keylog(file: string | true | undefined): SslContextOptions["keylog"] {
    const path = file === true ? library().adapter.environment("SSLKEYLOGFILE") : file;
    if (!path) return undefined;
    return (_connection, line) => {
      try {
        appendFileSync(path, line + "\n", { mode: 0o600 });
      } catch (cause) {
        this.#onError(new Error(`Cannot write to the key log ${path}: ${(cause as Error).message}`, { cause }));
      }
    };
  }
}

type OneCertificate = Pick<SslContextOptions, keyof CertificateOptions | "moreCertificates">;

const ofOneCertificate: readonly string[] = [
  "certificate",
  "certificateFile",
  "privateKey",
  "privateKeyFile",
  "passphrase",
  "ocspResponse",
  "ocspResponseFile",
  "moreCertificates",
] satisfies (keyof OneCertificate)[];

/** Tells the certificates from what they have in common. The one that stands among the options comes first. */
function divided(options: ServerCertificates): { certificates: OneCertificate[]; common: SslContextOptions } {
  const { certificates = [], keylogFile: _keylogFile, watch: _watch, ...rest } = options;
  const own: OneCertificate = {};
  const common: SslContextOptions = {};
  for (const [name, value] of Object.entries(rest)) {
    if (value !== undefined) Object.assign(ofOneCertificate.includes(name) ? own : common, { [name]: value });
  }
  return { certificates: Object.keys(own).length > 0 ? [own, ...certificates] : [...certificates], common };
}

/** Puts together the certificates that are for the same names: RSA beside ECDSA. */
function byNames(certificates: readonly OneCertificate[]): OneCertificate[][] {
  if (certificates.length === 1) return [[...certificates]];
  const groups = new Map<string, OneCertificate[]>();
  for (const [index, certificate] of certificates.entries()) {
    const context = SslContext.server(certificate);
    const names = [...context.serverNames].sort().join();
    context.dispose();
    if (names === "" && index > 0) {
      throw new TypeError(
        `Cannot choose the certificate number ${
          index + 1
        } by a name: it has none that a client could ask for, in its ` +
          "alternative names or as its common name; put it first, to serve those who ask for another name, or leave it out",
      );
    }
    const group = groups.get(names);
    if (group) group.push(certificate);
    else groups.set(names, [certificate]);
  }
  return [...groups.values()];
}

/** The contexts by the names that their certificates are for; of two for one name, the first. */
function named(contexts: readonly SslContext[]): Map<string, SslContext> {
  const byName = new Map<string, SslContext>();
  for (const context of contexts) {
    for (const name of context.serverNames) if (!byName.has(name)) byName.set(name, context);
  }
  return byName;
}
