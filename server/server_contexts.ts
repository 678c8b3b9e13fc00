import { appendFileSync } from "node:fs";
import type { SessionCache } from "../cache/session_cache.ts";
import { makeLoadedContext, type SslContext } from "../ssl/context.ts";
import {
  certificateKinds,
  type CertificateOptions,
  contextKinds,
  type SslContextOptions,
} from "../ssl/context_options.ts";
import { serverNamesOf } from "../ssl/credentials.ts";
import { library } from "../ssl/library.ts";
import { type FileReader, filesOf, hashOf, type LoadedCertificate, loadOptions } from "../ssl/loaded_options.ts";
import { mergeOptions, omitOptions, type OptionKinds, pickOptions } from "../ssl/options.ts";
import { chooseByName, findByName } from "./choose_by_name.ts";
import type { ReportError } from "./error_report.ts";
import { ReadFiles } from "./files.ts";
import { Slices } from "./slices.ts";
import { certificatesKinds, type ServerCertificates } from "./tls_server_options.ts";

/**
 * The contexts that a server's certificates make: one for each set of names. A connection is made with the first, and
 * goes on with another one by the name that its client asks for.
 */
export class ServerContexts {
  readonly #cache: SessionCache;
  readonly #onError: ReportError;
  #options: Readonly<ServerCertificates> = mergeOptions();
  /** By what they were made of, the first one first. */
  #contexts: ReadonlyMap<string, SslContext> = new Map();
  #byName: ReadonlyMap<string, SslContext> = new Map();
  /** The names of the certificates, by their hashes. */
  #names: ReadonlyMap<string, string> = new Map();
  /** One reload after the other. */
  #last: Promise<void> = Promise.resolve();
  #isDisposed = false;

  private constructor(cache: SessionCache, onError: ReportError) {
    this.#cache = cache;
    this.#onError = onError;
  }

  /** Takes options that were read. Rejects with what is wrong with them. */
  static async make(
    options: Readonly<ServerCertificates>,
    cache: SessionCache,
    onError: ReportError,
  ): Promise<ServerContexts> {
    const contexts = new ServerContexts(cache, onError);
    await contexts.#load(options);
    return contexts;
  }

  /** The context for a new connection. */
  get first(): SslContext {
    return this.#contexts.values().next().value!;
  }

  /** The files that the contexts are made of. */
  get files(): (string | URL)[] {
    return serverFilesOf(this.#options);
  }

  /**
   * Makes new contexts, with some options changed, for the connections to come; those of which nothing has changed stay.
   * Connections go on with what they have. If it rejects, all stays as it was. A certificate among the changes takes the
   * place of all that were there, with their keys.
   */
  reload(changes: Readonly<ServerCertificates> = mergeOptions()): Promise<void> {
    const bringsCertificates = ["certificate", "certificateFile", "certificates"].some((name) => name in changes);
    const reloaded = this.#last.then(() =>
      this.#load(mergeOptions<ServerCertificates>(
        bringsCertificates ? omitOptions(allCertificatesKinds, this.#options) : this.#options,
        changes,
      ))
    );
    this.#last = reloaded.catch(() => {});
    return reloaded;
  }

  /** Whether they were given back. */
  get isDisposed(): boolean {
    return this.#isDisposed;
  }

  /** Gives the contexts back. Connections keep theirs. */
  dispose(): void {
    this.#isDisposed = true;
    for (const context of this.#contexts.values()) context.dispose();
  }

  /** Reads all files, makes what is new of them a few at a time, and then puts it in the place of what was there. */
  async #load(options: Readonly<ServerCertificates>): Promise<void> {
    const made: SslContext[] = [];
    const files = await ReadFiles.of(serverFilesOf(options));
    try {
      const { contexts, names } = await this.#make(options, files.reader, made);
      // From here on nothing is waited for, and nothing goes wrong.
      const [first] = contexts.values();
      // Of those that are there then: a connection may have begun before they were reloaded.
      if (contexts.size > 1) chooseByName(first!, (name) => findByName(this.#byName, name) ?? this.first);
      const before = this.#contexts;
      this.#options = options;
      this.#contexts = contexts;
      this.#names = names;
      this.#byName = named(contexts.values());
      for (const [key, context] of before) if (!contexts.has(key)) context.dispose();
    } catch (error) {
      for (const context of made) context.dispose();
      throw error;
    } finally {
      files.wipe();
    }
  }

  async #make(
    options: Readonly<ServerCertificates>,
    read: FileReader,
    made: SslContext[],
  ): Promise<{ contexts: Map<string, SslContext>; names: Map<string, string> }> {
    const { certificates, common } = divided(options);
    if (certificates.length === 0) {
      throw new TypeError(
        "Cannot make a server without a certificate: give certificate and privateKey, or their files, or selfSigned()",
      );
    }
    const slices = new Slices();
    const rest = async () => {
      await slices.rest();
      if (this.#isDisposed) throw new Error("Cannot reload certificates: the server is closed");
    };
    const shared = loadOptions(common, read);
    const keylog = this.#keylog(options.keylogFile);
    const sharedKey = hashOf({ shared, keylog: options.keylogFile });
    const names = new Map<string, string>();
    const contexts = new Map<string, SslContext>();
    await rest();
    for (const group of await this.#grouped(certificates, read, names, rest)) {
      const loadedCertificates = group.flatMap(({ loaded }) => loaded);
      const key = [sharedKey, ...group.map(({ key }) => key)].join();
      let context = this.#contexts.get(key);
      if (!context) {
        context = makeLoadedContext("server", { ...shared, loadedCertificates, ...(keylog && { keylog }) });
        made.push(context);
        this.#cache.attach(context);
      }
      contexts.set(key, context);
      await rest();
    }
    await rest();
    return { contexts, names };
  }

  /** Puts together the certificates that are for the same names: RSA beside ECDSA. */
  async #grouped(
    certificates: readonly OneCertificate[],
    read: FileReader,
    names: Map<string, string>,
    rest: () => Promise<void>,
  ): Promise<Group[]> {
    const groups = new Map<string, Group>();
    for (const [index, certificate] of certificates.entries()) {
      const loaded = loadOptions(certificate, read).loadedCertificates;
      const key = hashOf(loaded);
      const own = this.#names.get(key) ?? namesOfAll(loaded);
      if (own === "" && index > 0) {
        throw new TypeError(
          `Cannot choose the certificate number ${index + 1} by a name: it has none that a client could ask for, in ` +
            "its alternative names or as its common name; put it first, to serve those who ask for another name, or " +
            "leave it out",
        );
      }
      names.set(key, own);
      groups.set(own, [...groups.get(own) ?? [], { loaded, key }]);
      await rest();
    }
    return [...groups.values()];
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

/** Certificates for the same names, and their hashes. */
type Group = readonly { readonly loaded: readonly LoadedCertificate[]; readonly key: string }[];

/** The files that a server's options name. */
export function serverFilesOf(options: Readonly<ServerCertificates>): (string | URL)[] {
  const { certificates, common } = divided(options);
  return [...certificates, common].flatMap(filesOf);
}

/** The names of certificates in an order that does not depend on theirs. */
function namesOfAll(loaded: readonly LoadedCertificate[]): string {
  const names = loaded.flatMap(({ certificate }) => certificate ? serverNamesOf(certificate) : []);
  return [...new Set(names)].sort().join();
}

/** The contexts by the names that their certificates are for; of two for one name, the first. */
function named(contexts: Iterable<SslContext>): Map<string, SslContext> {
  const byName = new Map<string, SslContext>();
  for (const context of contexts) {
    for (const name of context.serverNames) if (!byName.has(name)) byName.set(name, context);
  }
  return byName;
}
