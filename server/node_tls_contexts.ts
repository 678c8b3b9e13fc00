import type { SessionCache } from "../cache/session_cache.ts";
import { setAlpnCallback } from "../ssl/alpn_callback.ts";
import type { AlpnCallback, ClientHelloCallback, KeylogCallback } from "../ssl/callback_types.ts";
import { contextState, makeLoadedContext, type SslContext } from "../ssl/context.ts";
import { setClientHelloStep } from "../ssl/context_callbacks.ts";
import { contextKinds, type SslContextOptions } from "../ssl/context_options.ts";
import { type LoadedOptions, loadOptions, wipe } from "../ssl/loaded_options.ts";
import { normalPattern } from "../ssl/names.ts";
import { readOptions } from "../ssl/options.ts";
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

/** What a context is made of, as it was when it was given, and the context, once a client needs it. */
interface Entry {
  readonly options: LoadedOptions;
  context: SslContext | undefined;
}

/**
 * A server's contexts as node:tls has them: one for all, and others for the names that were added. What is given is tried
 * at once, to tell what is wrong with it. Where the server listens the context stays; the others are made when the first
 * client asks for them, so that a server of a thousand names begins to listen as fast as one of a single name. A change
 * makes nothing anew but what it changes.
 */
export class NodeTlsContexts {
  readonly #cache: SessionCache;
  #first: Entry;
  /** Of two for one name the later one counts, as it does in node:tls. */
  readonly #added = new Map<string, Entry>();
  /** Those of an SNICallback's answers that are in use, the one that was asked for last at the end. */
  readonly #answered = new Map<SecureContext, SslContext>();
  readonly #choice: NodeTlsChoice;
  #keylog: KeylogCallback | undefined;
  #isOpen = false;

  /** Throws what is wrong with the options. */
  constructor(options: SslContextOptions, cache: SessionCache, choice: NodeTlsChoice = {}) {
    this.#cache = cache;
    this.#choice = choice;
    this.#first = this.#tried(options);
  }

  /** The context for a new connection. */
  get first(): SslContext {
    return this.#first.context!;
  }

  /** Makes the first, and the others from now on when they are asked for. */
  open(): void {
    this.#first.context = this.#chooseFrom(this.#make(this.#first.options));
    this.#isOpen = true;
  }

  /** Gives them back. Connections keep theirs. */
  close(): void {
    this.#isOpen = false;
    for (const entry of [this.#first, ...this.#added.values()]) giveBack(entry);
    for (const context of this.#answered.values()) context.dispose();
    this.#answered.clear();
  }

  /** Has clients that ask for the name, where `*` stands for one label, get a context of their own. */
  add(name: string, options: SslContextOptions): void {
    const normal = typeof name === "string" ? normalPattern(name) : undefined;
    if (normal === undefined) {
      throw new TypeError(`Cannot add a context for ${JSON.stringify(name)}: give a host name, or *. and one`);
    }
    const entry = this.#tried(options);
    forget(this.#added.get(normal));
    this.#added.set(normal, entry);
  }

  /** Replaces what new connections begin with. */
  set(options: SslContextOptions): void {
    const entry = this.#tried(options);
    if (entry.context) this.#chooseFrom(entry.context);
    forget(this.#first);
    this.#first = entry;
  }

  /** Has connections tell their secrets. */
  tellSecrets(keylog: KeylogCallback): void {
    this.#keylog = keylog;
    const made = [this.#first, ...this.#added.values()].flatMap(({ context }) => context ?? []);
    for (const context of [...made, ...this.#answered.values()]) context.setKeylogCallback(keylog);
  }

  /** Throws what is wrong with the options. */
  #tried(given: SslContextOptions): Entry {
    const options = loadOptions(readOptions("SslContext.server()", contextKinds, given));
    try {
      const context = this.#make(options);
      if (this.#isOpen) return { options, context };
      context.dispose();
      return { options, context: undefined };
    } catch (error) {
      wipe(options);
      throw error;
    }
  }

  #make(options: LoadedOptions): SslContext {
    const context = makeLoadedContext("server", options);
    try {
      this.#cache.attach(context);
      if (this.#keylog) context.setKeylogCallback(this.#keylog);
      if (this.#choice.alpn) setAlpnCallback(context, this.#choice.alpn);
      return context;
    } catch (error) {
      context.dispose();
      throw error;
    }
  }

  /** Has connections that begin with a context go on with another one, of those that are there then. */
  #chooseFrom(first: SslContext): SslContext {
    const { questions } = this.#choice;
    if (questions) setClientHelloStep(contextState(first), "chooseContext", this.#byAnswer(questions));
    else chooseByName(first, (name) => this.#named(name));
    return first;
  }

  #named(name: string): SslContext | undefined {
    const entry = this.#isOpen ? findByName(this.#added, name) : undefined;
    return entry && (entry.context ??= this.#make(entry.options));
  }

  /** The step that waits for what an SNICallback answers. */
  #byAnswer(questions: SniQuestions): ClientHelloCallback {
    return (connection, hello) => {
      const name = hello.serverName;
      if (name === undefined) return "continue";
      const answer = questions.ask(connection, name);
      if (!answer) return "suspend";
      if (answer.refusal !== undefined) return "refuse";
      if (answer.context) hello.useContext(this.#answeredBy(answer.context));
      return "continue";
    };
  }

  /** Makes a context for an SNICallback's answer. Throws what is wrong with it. */
  prepare(answer: SecureContext): void {
    // When the server has closed nobody waits for it.
    if (this.#isOpen) this.#answeredBy(answer);
  }

  #answeredBy(answer: SecureContext): SslContext {
    let context = this.#answered.get(answer);
    if (context) this.#answered.delete(answer);
    else {
      const options = loadOptions(readOptions("SslContext.server()", contextKinds, this.#choice.optionsOf!(answer)));
      try {
        context = this.#make(options);
      } finally {
        wipe(options);
      }
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

function giveBack(entry: Entry): void {
  const { context } = entry;
  entry.context = undefined;
  context?.dispose();
}

/** Of one that is replaced. */
function forget(entry: Entry | undefined): void {
  if (!entry) return;
  giveBack(entry);
  wipe(entry.options);
}
