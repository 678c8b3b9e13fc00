import type { SessionCache } from "../cache/session_cache.ts";
import type { KeylogCallback } from "../ssl/callback_types.ts";
import { SslContext } from "../ssl/context.ts";
import type { SslContextOptions } from "../ssl/context_options.ts";
import { normalPattern } from "../ssl/names.ts";
import { chooseByName, findByName } from "./choose_by_name.ts";

/** A server's contexts as node:tls has them: one for all, and others for the names that were added. */
export class NodeTlsContexts {
  readonly #cache: SessionCache;
  #options: SslContextOptions;
  #keylog: KeylogCallback | undefined;
  /** Of two for one name the later one counts, as it does in node:tls. */
  readonly #added: { readonly name: string; readonly options: SslContextOptions }[] = [];
  #open: { readonly first: SslContext; readonly byName: ReadonlyMap<string, SslContext> } | undefined;

  /** Throws what is wrong with the options. */
  constructor(options: SslContextOptions, cache: SessionCache) {
    SslContext.server(options).dispose();
    this.#options = options;
    this.#cache = cache;
  }

  /** The context for a new connection. */
  get first(): SslContext {
    return this.#open!.first;
  }

  /** Makes the contexts. */
  open(): void {
    this.#open = this.#make();
  }

  /** Gives them back. Connections keep theirs. */
  close(): void {
    const { first, byName } = this.#open ?? {};
    this.#open = undefined;
    first?.dispose();
    for (const context of byName?.values() ?? []) context.dispose();
  }

  /** Has clients that ask for the name, where `*` stands for one label, get a context of their own. */
  add(name: string, options: SslContextOptions): void {
    const normal = typeof name === "string" ? normalPattern(name) : undefined;
    if (normal === undefined) {
      throw new TypeError(`Cannot add a context for ${JSON.stringify(name)}: give a host name, or *. and one`);
    }
    SslContext.server(options).dispose();
    this.#added.push({ name: normal, options });
    this.#renew();
  }

  /** Replaces what new connections begin with. */
  set(options: SslContextOptions): void {
    SslContext.server(options).dispose();
    this.#options = options;
    this.#renew();
  }

  /** Has connections to come tell their secrets. */
  tellSecrets(keylog: KeylogCallback): void {
    this.#keylog = keylog;
    this.#renew();
  }

  #renew(): void {
    if (!this.#open) return;
    const renewed = this.#make();
    this.close();
    this.#open = renewed;
  }

  #make(): { first: SslContext; byName: Map<string, SslContext> } {
    const made: SslContext[] = [];
    const make = (options: SslContextOptions) => {
      const context = SslContext.server({ ...options, ...(this.#keylog && { keylog: this.#keylog }) });
      made.push(context);
      this.#cache.attach(context);
      return context;
    };
    try {
      const first = make(this.#options);
      const byName = new Map<string, SslContext>();
      for (const [name, options] of new Map(this.#added.map(({ name, options }) => [name, options]))) {
        byName.set(name, make(options));
      }
      // Of those that are there then: a connection may have begun before they were renewed.
      chooseByName(first, (name) => findByName(this.#open?.byName, name));
      return { first, byName };
    } catch (error) {
      for (const context of made) context.dispose();
      throw error;
    }
  }
}
