import {
  ClientSessions,
  type HttpsServer,
  listen,
  type MaybePromise,
  MemoryStore,
  serve,
  type Server,
  SessionCache,
  type SessionStore,
} from "../../mod.ts";
import type { Random } from "../fuzz/random.ts";
import { credentials } from "../support.ts";

/** A store that is well, slow, failing or silent, as it is told. */
class UnreliableStore implements SessionStore {
  readonly #inner = new MemoryStore({ maxEntries: 5000 });
  state: "well" | "slow" | "failing" | "silent" = "well";
  readonly #silenced: (() => void)[] = [];

  get(key: string): MaybePromise<Uint8Array | undefined> {
    return this.#answer(() => this.#inner.get(key));
  }

  take(key: string): MaybePromise<Uint8Array | undefined> {
    return this.#answer(() => this.#inner.take(key));
  }

  put(key: string, value: Uint8Array, expiresAt: Date): MaybePromise<void> {
    return this.#answer(() => this.#inner.put(key, value, expiresAt));
  }

  delete(key: string): MaybePromise<void> {
    return this.#answer(() => this.#inner.delete(key));
  }

  change(state: UnreliableStore["state"]): void {
    this.state = state;
    for (const speak of this.#silenced.splice(0)) speak();
  }

  #answer<T>(answer: () => T): MaybePromise<T> {
    switch (this.state) {
      case "well":
        return answer();
      case "slow":
        return new Promise((resolve) => setTimeout(resolve, 2)).then(answer);
      case "failing":
        return Promise.reject(new Error("The store is down"));
      case "silent":
        return new Promise<void>((resolve) => void this.#silenced.push(resolve)).then(answer);
    }
  }
}

/** What is served: an echo by listen(), HTTP by serve(), on one store. */
export class Farm {
  readonly echo: Server;
  readonly http: HttpsServer;
  readonly #store: UnreliableStore;
  readonly #random: Random;

  private constructor(random: Random, store: UnreliableStore, echo: Server, http: HttpsServer) {
    this.#random = random;
    this.#store = store;
    this.echo = echo;
    this.http = http;
  }

  static async start(random: Random): Promise<Farm> {
    const store = new UnreliableStore();
    const options = () => ({
      ...credentials,
      hostname: "127.0.0.1",
      handshakeTimeout: 2000,
      idleTimeout: 2000,
      sessions: new SessionCache({ store, lookupTimeout: 20, secrets: ["a secret of sixteen bytes or more"] }),
      onError() {},
    });
    const echo = await listen(options(), { data: (socket, bytes) => void socket.end(bytes) });
    const http = await serve(
      { ...options(), headerTimeout: 2000 },
      async (request) => new Response(`You said ${await request.text()}`),
    );
    return new Farm(random, store, echo, http);
  }

  /** Something happens to it: new certificates, or a change in the store's health. */
  change(): void {
    const { echo, http } = this;
    const random = this.#random;
    if (random.oneIn(3)) void random.pick([echo, http]).reload(random.oneIn(2) ? {} : credentials);
    else this.#store.change(random.pick(["well", "well", "slow", "failing", "silent"] as const));
  }

  async close(): Promise<void> {
    this.#store.change("well");
    await Promise.all([this.echo.close({ grace: 5000 }), this.http.close({ grace: 5000 })]);
  }
}

/** Where the clients keep their sessions. */
export function clientSessionsOf(): ClientSessions {
  return new ClientSessions();
}
