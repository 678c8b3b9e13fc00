import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import {
  MemoryStore,
  OpenSslError,
  selfSigned,
  type Session,
  SessionCacheMode,
  type SslConnection,
  type SslContextOptions,
} from "../mod.ts";
import { Cached, secret } from "./cache_server_support.ts";
import { library } from "../ssl/library.ts";
import { leavingNothing } from "./counts.ts";
import { RawHello } from "./hello.ts";
import { many, randomIds, worstHellos } from "./worst_hellos.ts";
import { Contexts, type Link } from "./support.ts";

/** A store that counts what it is asked. */
class Counting extends MemoryStore {
  questions = 0;

  override get(key: string): Uint8Array | undefined {
    this.questions++;
    return super.get(key);
  }
  override take(key: string): Uint8Array | undefined {
    this.questions++;
    return super.take(key);
  }
}

/** What a ClientHello caused. */
interface Work {
  readonly questions: number;
  readonly events: number;
  readonly counted: number;
  /** Sessions read from what the store has, each with a client's certificate if there is one. */
  readonly decoded: number;
  readonly verified: number;
  /** Certificates copied in order to be parsed. */
  readonly certificates: number;
  /** All calls into libssl and libcrypto. */
  readonly calls: number;
}

/** Runs something and answers how often each function of libssl and libcrypto was called. */
function callsIn(run: () => void): Map<string, number> {
  type Functions = Record<string, (...parameters: unknown[]) => unknown>;
  const opened = library() as unknown as Record<"ssl" | "crypto", Functions>;
  const { ssl, crypto } = opened;
  const calls = new Map<string, number>();
  const counted = (functions: Functions): Functions =>
    Object.fromEntries(
      Object.entries(functions).map(([name, call]) => [name, (...parameters) => {
        calls.set(name, (calls.get(name) ?? 0) + 1);
        return call(...parameters);
      }]),
    );
  Object.assign(opened, { ssl: counted(ssl), crypto: counted(crypto) });
  try {
    run();
  } finally {
    Object.assign(opened, { ssl, crypto });
  }
  return calls;
}

interface Server {
  readonly store: Counting;
  readonly contexts: Cached;
}

/** The hello of a client that offers a session, and what is left of the connection. */
function helloOf(contexts: Contexts, session: Session): { link: Link; hello: RawHello } {
  const link = contexts.link(session);
  link.client.handshake();
  const buffer = new Uint8Array(20_000);
  const hello = new RawHello(buffer.slice(0, link.client.pullCiphertext(buffer)));
  return { link, hello };
}

/** Has the server read what the client sent, and more if it asks for another hello. */
function workOf({ store, contexts }: Server, session: Session, change: (hello: RawHello) => void, hellos = 1): Work {
  const { link, hello } = helloOf(contexts, session);
  using server = link.server;
  link.client.dispose();
  change(hello);
  const bytes = hello.write();
  const counted = () => {
    const { lookupLatency: _, storeLatency: __, ...counts } = contexts.cache.stats();
    return Object.values(counts).reduce((sum, count) => sum + count, 0);
  };
  const before = { questions: store.questions, events: contexts.events.length, counted: counted() };
  const calls = callsIn(() => handshake(server, bytes, hellos));
  const called = (name: string) => calls.get(name) ?? 0;
  assert(bytes.length < 70_000);
  return {
    questions: store.questions - before.questions,
    events: contexts.events.length - before.events,
    counted: counted() - before.counted,
    decoded: called("d2i_SSL_SESSION"),
    verified: called("X509_verify_cert"),
    certificates: called("i2d_X509"),
    calls: [...calls.values()].reduce((sum, count) => sum + count, 0),
  };
}

/** Has a server read a hello, several times if it asks for another. The handshake may fail. */
function handshake(server: SslConnection, hello: Uint8Array, hellos: number): void {
  for (let n = 0; n < hellos; n++) {
    server.pushCiphertext(hello);
    try {
      assertEquals(server.handshake(), "wants-bytes");
    } catch (error) {
      assert(error instanceof OpenSslError, String(error));
    }
  }
}

const identity = selfSigned(["client"]);
const servers: Record<string, SslContextOptions> = {
  "": {},
  " with client certificates": {
    verify: "require",
    certificateAuthorities: identity.certificate,
    sessionIdContext: "people",
  },
};

for (const [which, options] of Object.entries(servers)) {
  for (const sealed of [false, true]) {
    describe(`TLSv1.3: the work for a ClientHello, ${sealed ? "sealed" : "unsealed"}${which}`, () => {
      for (const [what, { change, hellos }] of Object.entries(worstHellos)) {
        it(
          `has a bound: ${what}`,
          leavingNothing(() => {
            const store = new Counting();
            const secrets = sealed ? { secrets: [secret()] } : {};
            // A client sends a share of X25519 first: a server of P-384 alone asks for another hello.
            const groups = hellos ? { groups: "P-384" } : {};
            const client = { ...(which && identity), groups: "X25519:P-384" };
            using contexts = new Cached("TLSv1.3", { store, ...secrets }, { ...options, ...groups }, client);
            const server = { store, contexts };
            for (let n = 0; n < 10; n++) contexts.visit();
            const [first, second] = contexts.sessions as [Session, Session];
            const ids = contexts.sessions.map((session) => {
              const { link, hello } = helloOf(contexts, session);
              link.dispose();
              return hello.offered;
            });
            // The ordinary one comes alone, and resumes.
            const ordinary = workOf(server, first, () => {});
            assertEquals(ordinary.questions, 1);
            assertEquals([ordinary.decoded, ordinary.certificates], [1, 0]);
            assertEquals(ordinary.verified, which ? 1 : 0);
            const hostile = workOf(server, second, (hello) => change(hello, ids), hellos);
            assertLessOrEqual(hostile.questions, 4);
            assertLessOrEqual(hostile.events, 5);
            assertLessOrEqual(hostile.counted, 12);
            assertLessOrEqual(hostile.decoded, 1);
            assertLessOrEqual(hostile.verified, ordinary.verified);
            assertEquals(hostile.certificates, 0);
            // 64 questions of the get callback, some calls for each.
            assertLessOrEqual(hostile.calls, ordinary.calls + 64 * 4);
            assertEquals(contexts.errors, []);
          }),
        );
      }
    });
  }
}

describe("SslContext's get session callback", () => {
  it(
    "is asked a bounded number of times for one connection",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.3", {
        sessionCacheMode: SessionCacheMode.Server | SessionCacheMode.NoInternal,
      });
      const session = contexts.resumable();
      let asked = 0;
      contexts.server.setGetSessionCallback(() => void asked++);
      const { link, hello } = helloOf(contexts, session);
      using server = link.server;
      link.client.dispose();
      server.pushCiphertext(hello.offer(randomIds(many)).write());
      assertEquals(server.handshake(), "wants-bytes");
      assertEquals(asked, 64);
    }),
  );
});
