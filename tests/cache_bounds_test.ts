import { assert, assertEquals, assertGreater, assertLessOrEqual, assertMatch, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { MemoryStore, selfSigned, SessionCache, type SessionStore } from "../mod.ts";
import { Cached, secret } from "./cache_server_support.ts";
import { leavingNothing } from "./counts.ts";
import { openssl, withFolder } from "./process.ts";
import { versions } from "./support.ts";

/** A store that keeps everything for ever, and remembers when it need not have. */
class Keeping implements SessionStore {
  readonly values = new Map<string, Uint8Array>();
  readonly expiries: number[] = [];

  get(key: string): Uint8Array | undefined {
    return this.values.get(key);
  }
  take(key: string): Uint8Array | undefined {
    const value = this.values.get(key);
    this.values.delete(key);
    return value;
  }
  put(key: string, value: Uint8Array, expiresAt: Date): void {
    this.values.set(key, value);
    this.expiries.push(expiresAt.getTime());
  }
  delete(key: string): void {
    this.values.delete(key);
  }
}

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

const hour = 3600;
const day = 24 * hour;
/** No bound but the one that a test is about. */
const long = { sessionTimeout: 30 * day };

for (const version of versions) {
  const single = version === "TLSv1.3";

  describe(`${version}: SessionCache's maxSessionAge`, () => {
    it(
      "ends sessions before their own time",
      leavingNothing(() => {
        const store = new Keeping();
        using contexts = new Cached(version, { store, maxSessionAge: 100, maxLineageAge: Infinity }, long);
        const start = Date.now();
        const session = contexts.resumable();
        assertLessOrEqual(store.expiries[0]!, Date.now() + 100_000);
        assertGreater(store.expiries[0]!, start + 98_000);
        assertEquals(after(90, () => contexts.visit(session)), { resumed: true });
        const last = contexts.sessions.at(-1)!;
        assertEquals(after(101, () => contexts.visit(last)), { resumed: false });
        assertEquals(contexts.cache.stats().tooOld, 1);
        const refused = contexts.events.find(({ type }) => type === "refused");
        assertEquals(refused && "reason" in refused && refused.reason, "too old");
        assertEquals(contexts.errors, []);
      }),
    );

    it(
      "leaves their own time to sessions that end before it",
      leavingNothing(() => {
        const store = new Keeping();
        using contexts = new Cached(version, { store, maxSessionAge: 1000 }, { sessionTimeout: 100 });
        const session = contexts.resumable();
        assertLessOrEqual(store.expiries[0]!, Date.now() + 100_000);
        assertEquals(after(101, () => contexts.visit(session)), { resumed: false });
      }),
    );

    it(
      "is never reached by sessions that are over when they are made: they are not stored",
      leavingNothing(() => {
        const store = new Keeping();
        using contexts = new Cached(version, { store }, { sessionTimeout: 5 });
        after(10, () => contexts.visit());
        assertEquals(store.values.size, 0);
        assertEquals(contexts.events.map((event) => ({ ...event, id: "" })), [
          { type: "not stored", id: "", reason: "too old" },
        ]);
        assertEquals(contexts.counted, {});
      }),
    );
  });

  describe(`${version}: SessionCache's maxLineageAge`, () => {
    for (const secrets of [undefined, [secret()]]) {
      it(
        `ends a line of resumptions, ${secrets ? "sealed" : "unsealed"}`,
        leavingNothing(() => {
          const store = new Keeping();
          const options = { store, maxLineageAge: 1000, ...(secrets ? { secrets } : {}) };
          using contexts = new Cached(version, options, long);
          contexts.visit();
          const resumed = [];
          for (const seconds of [300, 600, 900, 990, 1001, 1500, 2000, 2002]) {
            const session = contexts.sessions.at(-1)!;
            resumed.push(after(seconds, () => contexts.visit(session).resumed));
          }
          // A new line begins at 1001, and ends at 2001.
          assertEquals(resumed, [true, true, true, true, false, true, true, false]);
          assertEquals(contexts.cache.stats().tooOld, 2);
          // The store is told the same end for all of the line.
          const ends = [...new Set(store.expiries.map((time) => Math.round((time - store.expiries[0]!) / 1000)))];
          assertEquals(ends, [0, 1001, 2002]);
          assertEquals(store.expiries.length, single ? 9 : 3);
        }),
      );
    }

    it(
      "goes on across servers",
      leavingNothing(() => {
        const options = { store: new Keeping(), secrets: [secret()], maxLineageAge: 1000 };
        using contexts = new Cached(version, options, long);
        using other = new Cached(version, options, long);
        contexts.visit();
        const visits = ([[other, 400], [contexts, 800], [other, 990], [contexts, 1001]] as const).map(
          ([server, seconds]) => after(seconds, () => contexts.visitAt(server, contexts.sessions.at(-1)).resumed),
        );
        assertEquals(visits, [true, true, true, false]);
      }),
    );

    it(
      "is a day where nothing else is said",
      leavingNothing(() => {
        const store = new Keeping();
        using contexts = new Cached(version, { store }, long);
        const session = contexts.resumable();
        assertEquals(Math.round((store.expiries[0]! - Date.now()) / 1000 / hour), 24);
        assertEquals(after(day - 60, () => contexts.visit(session)), { resumed: true });
        const last = contexts.sessions.at(-1)!;
        assertEquals(after(day + 60, () => contexts.visit(last)), { resumed: false });
      }),
    );

    it(
      "is over for a value whose beginning is no time",
      leavingNothing(() => {
        const store = new Keeping();
        using contexts = new Cached(version, { store }, long);
        const session = contexts.resumable();
        const [[key, value]] = [...store.values] as [[string, Uint8Array]];
        const changed = value.slice();
        changed.fill(0xff, 1, 9); // NaN
        store.values.set(key, changed);
        assertEquals(contexts.visit(session), { resumed: false });
        assertEquals(contexts.cache.stats().tooOld, 1);
        assert(store.expiries.every(Number.isFinite));
      }),
    );
  });

  describe(`${version}: SessionCache with client certificates`, () => {
    it(
      "lets no session outlive the client's certificate",
      leavingNothing(() => {
        const identity = shortLived();
        const store = new Keeping();
        using contexts = new Cached(version, { store, secrets: [secret()], maxLineageAge: Infinity }, {
          ...long,
          verify: "require",
          certificateAuthorities: identity.certificate,
        }, identity);
        const session = contexts.resumable();
        const [expiry] = store.expiries;
        // The certificate was made just now for a day, the session for a month.
        assertGreater(expiry!, Date.now() + day * 1000 - 60_000);
        assertLessOrEqual(expiry!, Date.now() + day * 1000);
        assertEquals(after(day - 60, () => contexts.visit(session)), { resumed: true });
        const last = contexts.sessions.at(-1)!;
        assertEquals(after(day + 1, () => contexts.visit(last)), { resumed: false });
        assertEquals(contexts.cache.stats().tooOld, 1);
        for (const time of store.expiries.slice(0, 2)) assertEquals(time, expiry);
      }),
    );
  });

  describe(`${version}: SessionCache's maxEntrySize`, () => {
    it(
      "keeps from the store what is larger",
      leavingNothing(() => {
        const store = new MemoryStore();
        using contexts = new Cached(version, { store, maxEntrySize: 100 });
        const session = contexts.resumable();
        assertEquals(store.size, 0);
        assertEquals(contexts.visit(session), { resumed: false });
        assertEquals(contexts.counted, { tooLarge: 2, lookups: 1, misses: 1 });
        assertEquals(contexts.events.map((event) => "reason" in event ? event.reason : event.type), [
          "too large",
          "miss",
          "too large",
        ]);
      }),
    );

    it(
      "is 10 KiB: more than a session takes, and less than one with a client's certificate of hundreds of names",
      leavingNothing(() => {
        const identity = selfSigned(Array.from({ length: 600 }, (_, n) => `client-${n}.example.com`));
        const trust = { verify: "require", certificateAuthorities: identity.certificate } as const;
        using small = new Cached(version, { store: new MemoryStore() }, trust, identity);
        small.visit();
        assertEquals(small.counted, { tooLarge: 1 });
        using large = new Cached(version, { store: new MemoryStore(), maxEntrySize: 50_000 }, trust, identity);
        assertEquals(large.visit(large.resumable()), { resumed: true });
        assertEquals(large.counted.tooLarge, undefined);
      }),
    );
  });
}

/** A client's certificate that is good for a day from now, and its key. */
function shortLived(): { certificate: string; privateKey: string } {
  return withFolder((folder) => {
    const [key, certificate] = [join(folder, "key.pem"), join(folder, "certificate.pem")];
    const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    openssl(["req", "-x509", ...kind, "-days", "1", "-subj", "/CN=client", "-keyout", key, "-out", certificate]);
    return { certificate: readFileSync(certificate, "utf8"), privateKey: readFileSync(key, "utf8") };
  });
}

describe("SessionCache's numbers", () => {
  it("are above 0", () => {
    for (const name of ["lookupTimeout", "maxSessionAge", "maxLineageAge", "maxEntrySize"]) {
      for (const wrong of [0, -1, NaN, -Infinity]) {
        const error = assertThrows(() => new SessionCache({ store: new MemoryStore(), [name]: wrong }), RangeError);
        assertMatch(error.message, new RegExp(`^Cannot use the option ${name} .*above 0.*, not ${wrong}$`));
      }
      new SessionCache({ store: new MemoryStore(), [name]: 0.5 });
    }
  });

  it("are no longer than a timer can wait", () => {
    const error = assertThrows(
      () => new SessionCache({ store: new MemoryStore(), lookupTimeout: 2 ** 31 }),
      RangeError,
    );
    assertEquals(
      error.message,
      "Cannot use the option lookupTimeout with new SessionCache(): it takes milliseconds above 0, up to 2147483647, " +
        "not 2147483648",
    );
  });
});
