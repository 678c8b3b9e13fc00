import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { ReleasedError, type Session, SessionCacheMode } from "../mod.ts";
import { library } from "../ssl/library.ts";
import { assertNothingLeft, standing } from "./counts.ts";
import { Contexts, hex, type Link, type Version, versions } from "./support.ts";

class Meant extends Error {}

/** A server that keeps its sessions itself, as objects, and is told when to fail. */
class Server {
  readonly contexts: Contexts;
  readonly store = new Map<string, Session>();
  trouble: "" | "throw in new" | "throw in get" | "throw in hello" | "dispose in new" | "dispose in get" = "";
  removed = 0;

  constructor(version: Version) {
    this.contexts = new Contexts(version, {
      numTickets: 1,
      sessionCacheMode: SessionCacheMode.Server | SessionCacheMode.NoInternalLookup,
      sessionCacheSize: 10,
    });
    const { server } = this.contexts;
    server.setClientHelloCallback(() => {
      this.#fail("throw in hello");
      return "continue";
    });
    server.setNewSessionCallback((connection, session) => {
      this.#fail("throw in new");
      if (this.trouble === "dispose in new") connection.dispose();
      const id = hex(session.id);
      this.store.get(id)?.dispose();
      this.store.set(id, session);
      return true;
    });
    server.setGetSessionCallback((connection, id, lookup) => {
      this.#fail("throw in get");
      if (this.trouble === "dispose in get") connection.dispose();
      const session = this.store.get(hex(id));
      if (!session || session.isReleased) return undefined;
      lookup.copy = id[0]! % 2 === 0;
      if (!lookup.copy) this.store.delete(hex(id));
      return session;
    });
    server.setRemoveSessionCallback(() => {
      if (++this.removed % 50 === 0) throw new Meant("from remove");
    });
  }

  #fail(trouble: string): void {
    if (this.trouble === trouble) throw new Meant(trouble);
  }

  [Symbol.dispose](): void {
    for (const session of this.store.values()) session.dispose();
    try {
      this.contexts[Symbol.dispose]();
    } catch (error) {
      if (!isMeant(error)) throw error;
      this.contexts[Symbol.dispose]();
    }
  }
}

function isMeant(error: unknown): boolean {
  return error instanceof AggregateError
    ? error.errors.every(isMeant)
    : error instanceof Meant || error instanceof ReleasedError;
}

function attempt(act: () => unknown): void {
  try {
    act();
  } catch (error) {
    if (!isMeant(error)) throw error;
  }
}

/** Brings the handshake to its end, or as far as the trouble lets it come. */
function persist(link: Link): void {
  for (let turn = 0; turn < 5; turn++) {
    if (link.client.isReleased || link.server.isReleased) return;
    attempt(() => link.client.handshake());
    attempt(() => link.toServer());
    attempt(() => link.server.handshake());
    attempt(() => link.toClient());
  }
}

/** Disposes both; the first may throw what a callback threw, and the second is not to be forgotten over it. */
function end(link: Link): void {
  attempt(() => link.client.dispose());
  attempt(() => link.server.dispose());
}

/** A whole life: handshake, goodbye, end. */
function finish(link: Link): void {
  persist(link);
  attempt(() => link.deliver());
  attempt(() => link.client.shutdown());
  attempt(() => link.toServer());
  attempt(() => link.server.shutdown());
  end(link);
}

const kinds: ((server: Server, link: () => Link) => void)[] = [
  (_server, link) => finish(link()),
  (_server, link) => finish(link()),
  (_server, link) => {
    const pair = link();
    persist(pair);
    end(pair);
  },
  (_server, link) => {
    const pair = link();
    attempt(() => pair.half());
    end(pair);
  },
  (_server, link) => {
    const pair = link();
    pair.client.handshake();
    pair.server.pushCiphertext(new TextEncoder().encode("no TLS at all, but some other protocol"));
    try {
      pair.server.handshake();
      throw new Error("That was TLS?");
    } catch (error) {
      assertEquals((error as Error).name, "OpenSslError");
    }
    end(pair);
  },
  ...(["throw in new", "throw in get", "dispose in new", "dispose in get"] as const).map(
    (trouble) => (server: Server, link: () => Link) => {
      server.trouble = trouble;
      const pair = link();
      persist(pair);
      end(pair);
      server.trouble = "";
    },
  ),
  (server, link) => {
    server.trouble = "throw in hello";
    const pair = link();
    pair.client.handshake();
    pair.toServer();
    attempt(() => pair.server.handshake());
    end(pair);
    server.trouble = "";
    library().crypto.ERR_clear_error();
  },
];

describe("10,000 handshakes of mixed kinds", () => {
  it("leave not one SSL, SSL_CTX or SSL_SESSION alive", () => {
    const before = standing();
    let resumed = 0, handshakes = 0;
    for (let round = 0; handshakes < 10_000; round++) {
      using server = new Server(versions[round % 2]!);
      const { contexts } = server;
      for (let n = 0; n < 500; n++, handshakes++) {
        const session = n % 3 ? contexts.sessions.at(-1) : undefined;
        kinds[n % kinds.length]!(server, () => contexts.link(session));
        while (contexts.sessions.length > 3) contexts.sessions.shift()!.dispose();
      }
      resumed += contexts.server.counters().hits;
    }
    assert(resumed > 500, `Only ${resumed} were resumed`);
    assertNothingLeft(before);
  });
});
