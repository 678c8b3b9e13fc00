import { appendFileSync } from "node:fs";
import type { SessionCache } from "../cache/session_cache.ts";
import type { ClientHello } from "../ssl/client_hello.ts";
import type { SslConnection } from "../ssl/connection.ts";
import { contextPointer, contextState, makeLoadedContext, type SslContext } from "../ssl/context.ts";
import { setClientHelloStep } from "../ssl/context_callbacks.ts";
import {
  certificateKinds,
  type CertificateOptions,
  contextKinds,
  type SslContextOptions,
} from "../ssl/context_options.ts";
import { serverNamesOf } from "../ssl/credentials.ts";
import { library } from "../ssl/library.ts";
import {
  type FileReader,
  filesOf,
  hashOf,
  type LoadedCertificate,
  type LoadedOptions,
  loadOptions,
} from "../ssl/loaded_options.ts";
import { mergeOptions, omitOptions, type OptionKinds, pickOptions, readOptions } from "../ssl/options.ts";
import { CertificatesOnDemand, type OnDemandParts } from "./certificates_on_demand.ts";
import { findByName } from "./choose_by_name.ts";
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

  /** What all certificates have in common. */
  #shared: LoadedOptions | undefined;
  #hasDefault = true;
  readonly #onDemand: CertificatesOnDemand | undefined;

  private constructor(cache: SessionCache, onError: ReportError, demand: Demand | undefined) {
    this.#cache = cache;
    this.#onError = onError;
    this.#onDemand = demand && new CertificatesOnDemand({
      ...demand,
      make: (options) => this.#makeForName(options),
      report: (error) => onError(error, { kind: "handshake", socket: undefined }),
    });
  }

  /** Takes options that were read. Rejects with what is wrong with them. */
  static async make(
    options: Readonly<ServerCertificates>,
    cache: SessionCache,
    onError: ReportError,
    demand?: Demand,
  ): Promise<ServerContexts> {
    const contexts = new ServerContexts(cache, onError, demand);
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

  /** Gives the contexts back, a few at a time. Connections keep theirs. */
  async dispose(): Promise<void> {
    this.#isDisposed = true;
    this.#onDemand?.close();
    await giveBack(this.#contexts.values());
  }

  /** Reads all files, makes what is new of them a few at a time, and then puts it in the place of what was there. */
  async #load(options: Readonly<ServerCertificates>): Promise<void> {
    const made: SslContext[] = [];
    let replaced: SslContext[] = [];
    const files = await ReadFiles.of(serverFilesOf(options));
    try {
      const { contexts, names, shared, hasDefault } = await this.#make(options, files.reader, made);
      this.#requireOpen();
      // From here on nothing is waited for, and nothing goes wrong.
      const [first] = contexts.values();
      if (contexts.size > 1 || this.#onDemand) {
        contextPointer(first!);
        setClientHelloStep(
          contextState(first!),
          "chooseContext",
          (connection, hello) => this.#choose(connection, hello),
        );
      }
      const before = this.#contexts;
      this.#options = options;
      this.#contexts = contexts;
      this.#names = names;
      this.#shared = shared;
      this.#hasDefault = hasDefault;
      this.#byName = named(contexts.values());
      replaced = [...before].flatMap(([key, context]) => contexts.has(key) ? [] : context);
    } catch (error) {
      replaced = made;
      throw error;
    } finally {
      files.wipe();
      // Those that wait for an answer go on with what is there now.
      if (replaced !== made) this.#onDemand?.forget();
      await giveBack(replaced);
    }
  }

  #requireOpen(): void {
    if (this.#isDisposed) throw new Error("Cannot reload certificates: the server is closed");
  }

  async #make(
    options: Readonly<ServerCertificates>,
    read: FileReader,
    made: SslContext[],
  ): Promise<Loading> {
    const { certificates, common } = divided(options);
    const hasDefault = certificates.length > 0;
    if (!hasDefault && !this.#onDemand) {
      throw new TypeError(
        "Cannot make a server without a certificate: give certificate and privateKey, or their files, or selfSigned()",
      );
    }
    const slices = new Slices();
    const rest = async () => {
      await slices.rest();
      this.#requireOpen();
    };
    const loaded = loadOptions(common, read);
    const keylog = this.#keylog(options.keylogFile);
    const shared = mergeOptions<LoadedOptions>(loaded, keylog ? { keylog } : {});
    const sharedKey = hashOf({ loaded, keylog: options.keylogFile });
    const names = new Map<string, string>();
    const contexts = new Map<string, SslContext>();
    await rest();
    const groups = hasDefault ? await this.#grouped(certificates, read, names, rest) : [[]];
    for (const group of groups) {
      const loadedCertificates = group.flatMap(({ loaded }) => loaded);
      const key = [sharedKey, ...group.map(({ key }) => key)].join();
      let context = this.#contexts.get(key);
      if (!context) {
        context = makeLoadedContext("server", mergeOptions<LoadedOptions>(shared, { loadedCertificates }));
        made.push(context);
        this.#cache.attach(context);
      }
      contexts.set(key, context);
      await rest();
    }
    await rest();
    return { contexts, names, hasDefault, shared };
  }

  /** Chooses among those that are there now: a connection may have begun before they were reloaded. */
  #choose(connection: SslConnection, hello: ClientHello): "continue" | "suspend" | "refuse" {
    const name = hello.serverName;
    let context = name === undefined ? undefined : findByName(this.#byName, name);
    if (!context && name !== undefined && this.#onDemand) {
      const found = this.#onDemand.find(connection, name);
      if (found === "waiting") return "suspend";
      context = found;
    }
    if (!context && !this.#hasDefault) return "refuse";
    hello.useContext(context ?? this.first);
    return "continue";
  }

  /** A context for what certificateFor() answered. */
  async #makeForName(given: CertificateOptions): Promise<SslContext> {
    const options = readOptions("certificateFor()", certificateKinds, given);
    const files = await ReadFiles.of(filesOf(options));
    try {
      const { loadedCertificates } = loadOptions(options, files.reader);
      if (!loadedCertificates[0]?.certificate) throw new TypeError("it answered with options without a certificate");
      return makeLoadedContext("server", mergeOptions<LoadedOptions>(this.#shared!, { loadedCertificates }));
    } finally {
      files.wipe();
    }
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

async function giveBack(contexts: Iterable<SslContext>): Promise<void> {
  const slices = new Slices();
  for (const context of contexts) {
    context.dispose();
    await slices.rest();
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

/** What a server's options are loaded to. */
interface Loading {
  readonly contexts: Map<string, SslContext>;
  readonly names: Map<string, string>;
  readonly shared: LoadedOptions;
  /** There is a certificate for those who ask for no name, or for another. */
  readonly hasDefault: boolean;
}

/** How certificates are had that are not among the options. */
export type Demand = Pick<OnDemandParts, "certificateFor" | "timeout">;

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
