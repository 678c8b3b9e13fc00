import { appendFileSync } from "node:fs";
import type { SessionCache } from "../cache/session_cache.ts";
import { SslContext } from "../ssl/context.ts";
import {
  certificateKinds,
  type CertificateOptions,
  contextKinds,
  type SslContextOptions,
} from "../ssl/context_options.ts";
import { library } from "../ssl/library.ts";
import { mergeOptions, omitOptions, type OptionKinds, pickOptions } from "../ssl/options.ts";
import { chooseByName, findByName } from "./choose_by_name.ts";
import type { ReportError } from "./error_report.ts";
import { certificatesKinds, type ServerCertificates } from "./tls_server_options.ts";

/**
 * The contexts that a server's certificates make: one for each set of names. A connection is made with the first, and
 * goes on with another one by the name that its client asks for.
 */
export class ServerContexts {
  readonly #cache: SessionCache;
  readonly #onError: ReportError;
  #options: ServerCertificates;
  #contexts: readonly SslContext[];
  #byName: ReadonlyMap<string, SslContext>;

  /** Takes options that were read. Throws what is wrong with them. */
  constructor(options: Readonly<ServerCertificates>, cache: SessionCache, onError: ReportError) {
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
      Object.entries(options).filter(([name]) => name.endsWith("File")).map(([, path]) => String(path))
    );
    return [...new Set(paths)];
  }

  /**
   * Makes new contexts, with some options changed, for the connections to come. Those that are there go on with what
   * they have. If it throws, all stays as it was. A certificate among the changes takes the place of all that were
   * there, with their keys.
   */
  reload(changes: Readonly<ServerCertificates> = mergeOptions()): void {
    const bringsCertificates = ["certificate", "certificateFile", "certificates"].some((name) => name in changes);
    const options = mergeOptions<ServerCertificates>(
      bringsCertificates ? omitOptions(allCertificatesKinds, this.#options) : this.#options,
      changes,
    );
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
        const error = new Error(`Cannot write to the key log ${path}: ${(cause as Error).message}`, { cause });
        this.#onError(error, { kind: "reload", socket: undefined });
      }
    };
  }
}

type OneCertificate = Pick<SslContextOptions, keyof CertificateOptions | "moreCertificates">;

const oneCertificateKinds: OptionKinds<OneCertificate> = {
  ...certificateKinds,
  moreCertificates: contextKinds.moreCertificates,
};

/** Those whose place a certificate takes. */
const allCertificatesKinds = { ...oneCertificateKinds, certificates: certificatesKinds.certificates };

/** Those that say something to the server, and nothing to its contexts. */
const ofServers = { watch: certificatesKinds.watch, keylogFile: certificatesKinds.keylogFile };

/** Tells the certificates from what they have in common. The one that stands among the options comes first. */
function divided(
  options: Readonly<ServerCertificates>,
): { certificates: readonly OneCertificate[]; common: Readonly<SslContextOptions> } {
  const own = pickOptions(oneCertificateKinds, options);
  const common = omitOptions({ ...allCertificatesKinds, ...ofServers }, options);
  const { certificates = [] } = options;
  return { certificates: Object.keys(own).length > 0 ? [own, ...certificates] : certificates, common };
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
