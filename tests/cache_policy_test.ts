import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import {
  MemoryStore,
  OpenSslError,
  type RefusalReason,
  selfSigned,
  Session,
  type SessionCacheStats,
  SslContext,
  type SslContextOptions,
} from "../mod.ts";
import { chooseByName } from "../server/choose_by_name.ts";
import { Authority } from "./authority.ts";
import { Cached, secret } from "./cache_server_support.ts";
import { leavingNothing } from "./counts.ts";
import { credentials, type Version, versions } from "./support.ts";

/** Does something when this many seconds have passed, by JavaScript's clock; libssl keeps its own. */
function after<T>(seconds: number, act: () => T): T {
  const { now } = Date;
  Date.now = () => now.call(Date) + seconds * 1000;
  try {
    return act();
  } finally {
    Date.now = now;
  }
}

/** Two servers on one store, the second as the first is to be from now on. */
class Changed {
  readonly before: Cached;
  readonly now: Cached;

  constructor(
    version: Version,
    before: SslContextOptions,
    now: SslContextOptions,
    client: SslContextOptions = {},
    sealed = true,
  ) {
    const options = { store: new MemoryStore(), ...(sealed && { secrets: [secret()] }) };
    this.before = new Cached(version, options, before, client);
    this.now = new Cached(version, options, now, client);
  }

  /** Whether a session that was made before resumes now, and why not. */
  visit(serverName = "localhost", again = serverName): { resumed: boolean; reasons: RefusalReason[] } {
    this.before.visitAt(this.before, undefined, serverName);
    const { resumed } = this.before.visitAt(this.now, this.before.sessions.at(-1), again);
    const reasons = this.now.events.flatMap((event) => event.type === "refused" ? [event.reason] : []);
    return { resumed, reasons };
  }

  [Symbol.dispose](): void {
    assertEquals(this.now.errors, []);
    this.before[Symbol.dispose]();
    this.now[Symbol.dispose]();
  }
}

const resumes = { resumed: true, reasons: [] as RefusalReason[] };
const refused = (reason: RefusalReason) => ({ resumed: false, reasons: [reason] });

/** What one context would negotiate and another would not, with TLS 1.2. */
const ciphers: Record<string, [before: string, now: string, resumes: boolean]> = {
  "stays in the list": ["ECDHE-ECDSA-AES128-SHA", "ECDHE+AESGCM:ECDHE-ECDSA-AES128-SHA", true],
  "leaves the list": ["ECDHE-ECDSA-AES128-SHA", "ECDHE+AESGCM", false],
  "is below the security level": [
    "ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0",
    "ECDHE-ECDSA-NULL-SHA:ECDHE+AESGCM:@SECLEVEL=1",
    false,
  ],
};

describe("TLSv1.2: a session whose cipher", () => {
  for (const [what, [before, now, resumed]] of Object.entries(ciphers)) {
    it(
      `${what} ${resumed ? "resumes" : "does not resume"}`,
      leavingNothing(() => {
        const client = { cipherList: "ALL:eNULL:@SECLEVEL=0" };
        using servers = new Changed("TLSv1.2", { cipherList: before }, { cipherList: now }, client);
        assertEquals(servers.visit(), resumed ? resumes : refused("another cipher"));
        assertEquals(servers.now.counted.otherCipher, resumed ? undefined : 1);
      }),
    );
  }

  it(
    "is not among those of the context that the client's name chooses does not resume",
    leavingNothing(() => {
      const list = { cipherList: "ECDHE-ECDSA-AES128-SHA" };
      using servers = new Changed("TLSv1.2", list, list);
      const options = { cipherList: "ECDHE+AESGCM", sessionIdContext: "openssl-sessions" };
      using strict = SslContext.server({ ...credentials, ...options });
      servers.now.cache.attach(strict);
      assertEquals(servers.visit(), resumes);
      chooseByName(servers.now.server, () => strict);
      assertEquals(servers.visit(), refused("another cipher"));
    }),
  );
});

describe("Sessions of old protocols", () => {
  for (const version of ["TLSv1", "TLSv1.1"] as const) {
    for (const sealed of [false, true]) {
      it(
        `resume: ${version}, ${sealed ? "sealed" : "unsealed"}`,
        leavingNothing(() => {
          const old = { minVersion: version, maxVersion: version, cipherList: "DEFAULT:@SECLEVEL=0" };
          using servers = new Changed("TLSv1.2", old, old, old, sealed);
          assertEquals(servers.visit(), resumes);
          assertEquals(servers.before.sessions[0]!.protocol, version);
        }),
      );
    }
  }

  it(
    "do not resume where another version is negotiated by now",
    leavingNothing(() => {
      const list = { cipherList: "DEFAULT:@SECLEVEL=0" };
      const old = { ...list, minVersion: "TLSv1.1", maxVersion: "TLSv1.1" } as const;
      using servers = new Changed("TLSv1.2", old, list, { ...list, minVersion: "TLSv1.1" });
      assertEquals(servers.visit(), refused("another protocol version"));
      assertEquals(servers.now.counted.otherVersion, 1);
    }),
  );
});

for (const version of versions) {
  describe(`${version}: a session from the future`, () => {
    for (const seconds of [240, 360, 400 * 86_400]) {
      const isTolerated = seconds < 300;
      it(
        `${isTolerated ? "resumes" : "does not resume"}, by a clock that was ${seconds} seconds ahead`,
        leavingNothing(() => {
          const options = { store: new MemoryStore(), maxLineageAge: Infinity };
          using contexts = new Cached(version, options, { sessionTimeout: 2_000_000 });
          contexts.visit();
          const visit = () => contexts.visit(contexts.sessions[0]);
          assertEquals(after(-seconds, visit), { resumed: isTolerated });
          const { fromTheFuture, tooOld } = contexts.counted;
          assertEquals([fromTheFuture, tooOld], [isTolerated ? undefined : 1, undefined]);
        }),
      );
    }

    it(
      "does not resume either if its line is not",
      leavingNothing(() => {
        const store = new MemoryStore();
        using contexts = new Cached(version, { store }, { sessionTimeout: 2_000_000 });
        contexts.visit();
        const [[key, value]] = [...store.entries()] as [[string, Uint8Array]];
        // A value that is not sealed has the time of the first handshake before the session.
        const header = value.subarray(0, 9);
        using session = Session.fromDer(value.subarray(header.length));
        session.created = new Date(Date.now() + 400_000);
        store.put(key, Uint8Array.from([...header, ...session.toDer()]), new Date(Date.now() + 10_000));
        assertEquals(contexts.visit(contexts.sessions[0]), { resumed: false });
        assertEquals(contexts.counted.fromTheFuture, 1);
      }),
    );

    it(
      "does not resume either if only its line is",
      leavingNothing(() => {
        const store = new MemoryStore();
        using contexts = new Cached(version, { store, maxLineageAge: Infinity });
        contexts.visit();
        const [[key, value]] = [...store.entries()] as [[string, Uint8Array]];
        const changed = value.slice();
        new DataView(changed.buffer).setFloat64(1, Date.now() + 400 * 86_400_000);
        store.put(key, changed, new Date(Date.now() + 10_000));
        assertEquals(contexts.visit(contexts.sessions[0]), { resumed: false });
        assertEquals(contexts.counted.fromTheFuture, 1);
      }),
    );
  });

  describe(`${version}: a session's server name`, () => {
    it(
      "is the same in letters of either case",
      leavingNothing(() => {
        using servers = new Changed(version, {}, {});
        assertEquals(servers.visit("localhost", "LocalHost"), resumes);
      }),
    );
  });

  describe(`${version}: a session of another session id context`, () => {
    it(
      "does not resume where nothing is sealed, and the reason is told",
      leavingNothing(() => {
        using servers = new Changed(version, {}, { sessionIdContext: "other" }, { verify: "none" }, false);
        assertEquals(servers.visit(), refused("another context"));
        assertEquals(servers.now.counted.otherContext, 1);
      }),
    );
  });

  describe(`${version}: a session with a client's certificate`, () => {
    const trusting = (certificateAuthorities: string, more: SslContextOptions = {}): SslContextOptions => ({
      verify: "require",
      certificateAuthorities,
      // By default it follows from the authorities, so that nothing of other ones is even looked for.
      sessionIdContext: "openssl-sessions",
      ...more,
    });
    const [alice, other] = [selfSigned(["alice"]), selfSigned(["other"])];
    const certificateRefused = (servers: Changed): SessionCacheStats["certificateRefused"] =>
      servers.now.cache.stats().certificateRefused;

    it(
      "resumes while its authority is trusted",
      leavingNothing(() => {
        const both = trusting(alice.certificate + other.certificate);
        using servers = new Changed(version, trusting(alice.certificate), both, alice);
        assertEquals(servers.visit(), resumes);
      }),
    );

    it(
      "does not resume when its authority is trusted no more",
      leavingNothing(() => {
        using servers = new Changed(version, trusting(alice.certificate), trusting(other.certificate), alice);
        servers.before.visit();
        using link = servers.before.linkTo(servers.now, servers.before.sessions[0]);
        // A full handshake, in which the server does not let it in.
        let thrown: unknown;
        try {
          link.connect();
        } catch (error) {
          thrown = error;
        }
        assertEquals(thrown instanceof Error && /certificate verify failed/.test(thrown.message), true);
        assertEquals(certificateRefused(servers), 1);
      }),
    );

    it(
      "does not resume as verified where it would come in unverified",
      leavingNothing(() => {
        const lax = { verify: "request", rejectUnauthorized: false } as const;
        const [before, now] = [trusting(alice.certificate, lax), trusting(other.certificate, lax)];
        using servers = new Changed(version, before, now, alice);
        assertEquals(servers.visit(), refused("the client's certificate"));
        // What was unverified then and is now resumes: nothing has changed.
        using unverified = new Changed(version, now, now, alice);
        assertEquals(unverified.visit(), resumes);
      }),
    );

    it(
      "does not resume where it was let in unverified and would not be",
      leavingNothing(() => {
        const lax = trusting(other.certificate, { verify: "request", rejectUnauthorized: false });
        for (const verify of ["request", "require"] as const) {
          const strict = trusting(other.certificate, { verify });
          using servers = new Changed(version, lax, strict, alice);
          assertThrows(() => servers.visit(), OpenSslError, "certificate verify failed");
          assertEquals(certificateRefused(servers), 1);
          // Nor by the name that it asks for.
          using named = new Changed(version, lax, lax, alice);
          chooseByName(named.now.server, () => servers.now.server);
          assertThrows(() => named.visit(), OpenSslError, "certificate verify failed");
          assertEquals(certificateRefused(named), 1);
        }
      }),
    );

    it(
      "resumes by the certificates in between that it came with, again and again",
      leavingNothing(() => {
        using root = new Authority("root");
        using between = new Authority("between", root);
        const client = between.issue(["client"]);
        using servers = new Changed(version, trusting(root.chain), trusting(root.chain), client);
        assertEquals(servers.visit(), resumes);
        const last = servers.before.sessions.at(-1);
        assertEquals(servers.before.visitAt(servers.now, last), { resumed: true });
        using gone = new Changed(
          version,
          trusting(root.chain),
          trusting(other.certificate, { verify: "request" }),
          client,
        );
        gone.before.visit();
        using link = gone.before.linkTo(gone.now, gone.before.sessions[0]);
        try {
          link.connect();
        } catch {
          // The server does not let it in.
        }
        assertEquals(certificateRefused(gone), 1);
      }),
    );

    it(
      "does not resume when its authority has revoked it since",
      leavingNothing(() => {
        using root = new Authority("root");
        const client = root.issue(["client"]);
        const listed = (revoked: string[]) =>
          trusting(root.chain, { certificateRevocationLists: root.revocationList(revoked) });
        using servers = new Changed(version, trusting(root.chain), listed([]), client);
        assertEquals(servers.visit(), resumes);
        using revoked = new Changed(version, trusting(root.chain), listed([client.certificate]), client);
        revoked.before.visit();
        using link = revoked.before.linkTo(revoked.now, revoked.before.sessions[0]);
        try {
          link.connect();
        } catch {
          // The server does not let it in.
        }
        assertEquals(certificateRefused(revoked), 1);
      }),
    );

    it(
      "resumes only where clients are asked for one, and one without only where none is demanded",
      leavingNothing(() => {
        const asking = trusting(alice.certificate);
        const none = { sessionIdContext: "openssl-sessions" };
        using unasked = new Changed(version, asking, none, alice);
        assertEquals(unasked.visit(), refused("the client's certificate"));
        using demanded = new Changed(version, none, asking, alice);
        assertEquals(demanded.visit(), refused("the client's certificate"));
        using requested = new Changed(version, none, trusting(alice.certificate, { verify: "request" }));
        assertEquals(requested.visit(), resumes);
      }),
    );
  });
}

describe("A stored value", () => {
  it(
    "of a client's certificate with others in between holds a session that can be read",
    leavingNothing(() => {
      using root = new Authority("root");
      using between = new Authority("between", root);
      const store = new MemoryStore();
      const trust = { verify: "require", certificateAuthorities: root.chain } as const;
      using contexts = new Cached("TLSv1.3", { store }, trust, between.issue(["client"]));
      contexts.visit();
      const [[, value]] = [...store.entries()] as [[string, Uint8Array]];
      const length = value[10]! === 0x82 ? 4 + (value[11]! << 8 | value[12]!) : 0;
      using session = Session.fromDer(value.slice(9, 9 + length));
      assertEquals(session.peerCertificate?.subject, "CN=client");
    }),
  );
});
