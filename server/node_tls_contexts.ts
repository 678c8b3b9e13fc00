import type { SessionCache } from "../cache/session_cache.ts";
import { setAlpnCallback } from "../ssl/alpn_callback.ts";
import type { AlpnCallback, ClientHelloCallback, KeylogCallback } from "../ssl/callback_types.ts";
import { contextState, SslContext } from "../ssl/context.ts";
import { setClientHelloStep } from "../ssl/context_callbacks.ts";
import type { SslContextOptions } from "../ssl/context_options.ts";
import { normalPattern } from "../ssl/names.ts";
import { chooseByName, findByName } from "./choose_by_name.ts";
import type { SecureContext } from "./secure_context.ts";
import type { SniQuestions } from "./sni_questions.ts";

/** So many of an SNICallback's answers stay made: one may make an answer of its own for each client. */
const mostAnswered = 256;

/** How a server chooses what its clients get, beside the names that were added. */
export interface NodeTlsChoice {
  /** An SNICallback's, which takes the place of the names. */
  readonly questions?: SniQuestions | undefined;
  /** The options of a context for one of its answers. */
  readonly optionsOf?: ((answer: SecureContext) => SslContextOptions) | undefined;
  readonly alpn?: AlpnCallback | undefined;
}

/** A server's contexts as node:tls has them: one for all, and others for the names that were added. */
export class NodeTlsContexts {
  readonly #cache: SessionCache;
  #options: SslContextOptions;
  #keylog: KeylogCallback | undefined;
  /** Of two for one name the later one counts, as it does in node:tls. */
  readonly #added: { readonly name: string; readonly options: SslContextOptions }[] = [];
  /** Those of an SNICallback's answers that are in use, the one that was asked for last at the end. */
  readonly #answered = new Map<SecureContext, SslContext>();
  readonly #choice: NodeTlsChoice;
  #open: { readonly first: SslContext; readonly byName: ReadonlyMap<string, SslContext> } | undefined;

  /** Throws what is wrong with the options. */
  constructor(options: SslContextOptions, cache: SessionCache, choice: NodeTlsChoice = {}) {
    SslContext.server(options).dispose();
    this.#options = options;
    this.#cache = cache;
    this.#choice = choice;
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
    for (const context of this.#answered.values()) context.dispose();
    this.#answered.clear();
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
      const context = this.#makeOne(options);
      made.push(context);
      return context;
    };
    try {
      const first = make(this.#options);
      const byName = new Map<string, SslContext>();
      for (const [name, options] of new Map(this.#added.map(({ name, options }) => [name, options]))) {
        byName.set(name, make(options));
      }
      const { questions } = this.#choice;
      if (questions) setClientHelloStep(contextState(first), "chooseContext", this.#byAnswer(questions));
      // Of those that are there then: a connection may have begun before they were renewed.
      else chooseByName(first, (name) => findByName(this.#open?.byName, name));
      return { first, byName };
    } catch (error) {
      for (const context of made) context.dispose();
      throw error;
    }
  }

  #makeOne(options: SslContextOptions): SslContext {
    const context = SslContext.server({ ...options, ...(this.#keylog && { keylog: this.#keylog }) });
    try {
      this.#cache.attach(context);
      if (this.#choice.alpn) setAlpnCallback(context, this.#choice.alpn);
      return context;
    } catch (error) {
      context.dispose();
      throw error;
    }
  }

  /** The step that waits for what an SNICallback answers. */
  #byAnswer(questions: SniQuestions): ClientHelloCallback {
    return (connection, hello) => {
      const name = hello.serverName;
      if (name === undefined) return "continue";
      const answer = questions.ask(connection, name);
      if (!answer) return "suspend";
      if (answer.refusal !== undefined) return "refuse";
      if (answer.context) hello.useContext(this.#contextOf(answer.context));
      return "continue";
    };
  }

  /** Makes a context for an SNICallback's answer. Throws what is wrong with it. */
  prepare(answer: SecureContext): void {
    // When the server has closed nobody waits for it.
    if (this.#open) this.#contextOf(answer);
  }

  #contextOf(answer: SecureContext): SslContext {
    let context = this.#answered.get(answer);
    if (context) this.#answered.delete(answer);
    else {
      context = this.#makeOne(this.#choice.optionsOf!(answer));
      if (this.#answered.size >= mostAnswered) {
        const [leastRecent, unused] = this.#answered.entries().next().value!;
        this.#answered.delete(leastRecent);
        // Connections keep theirs.
        unused.dispose();
      }
    }
    this.#answered.set(answer, context);
    return context;
  }
}
