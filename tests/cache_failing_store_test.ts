import { assert, assertEquals, assertInstanceOf, assertStrictEquals, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import process from "node:process";
import { MemoryStore, type SessionStore, SessionStoreError, type StoreOperation } from "../mod.ts";
import { CachingContexts } from "./cache_support.ts";
import { assertNothingLeft, leavingNothing, standing } from "./counts.ts";
import { bytes, type Link, type Version, versions } from "./support.ts";

const broken = new Error("the disk is on fire");

/** A store whose operations can be replaced. */
class Replaceable implements Required<Omit<SessionStore, "entries" | "isShared">> {
  readonly inner = new MemoryStore();
  replaced: Partial<SessionStore> = {};

  get(key: string) {
    return (this.replaced.get ?? ((key) => this.inner.get(key)))(key);
  }
  put(key: string, value: Uint8Array, expiresAt: Date) {
    return (this.replaced.put ?? ((...all) => this.inner.put(...all)))(key, value, expiresAt);
  }
  take(key: string) {
    return (this.replaced.take ?? ((key) => this.inner.take(key)))(key);
  }
  delete(key: string) {
    return (this.replaced.delete ?? ((key) => this.inner.delete(key)))(key);
  }

  /** Has lookups answer with this, or throw it. */
  answers(answer: (key: string) => unknown): void {
    const lookup = answer as (key: string) => Uint8Array;
    this.replaced = { get: lookup, take: lookup };
  }
}

/** How sessions are looked up with this version. */
const lookup: Record<Version, StoreOperation> = { "TLSv1.2": "get", "TLSv1.3": "take" };

/** Both ends say something and hear it. */
function assertWorks(link: Link): void {
  const buffer = new Uint8Array(100);
  link.client.write(bytes("ping"));
  link.toServer();
  assertEquals(new TextDecoder().decode(buffer.subarray(0, link.server.read(buffer)!)), "ping");
  link.server.write(bytes("pong"));
  link.toClient();
  assertEquals(new TextDecoder().decode(buffer.subarray(0, link.client.read(buffer)!)), "pong");
}

/** Offers a session whose lookup goes wrong: the handshake is full, and the connection works. */
function assertFullHandshake(contexts: CachingContexts, store: Replaceable, answer: (key: string) => unknown): void {
  const session = contexts.resumable();
  store.answers(answer);
  using link = contexts.link(session);
  link.connect();
  assertEquals(link.server.isResumed, false);
  assertWorks(link);
  link.close();
}

function assertReported(error: unknown, operation: StoreOperation, cause: unknown): void {
  assertInstanceOf(error, SessionStoreError);
  assertEquals((error as SessionStoreError).operation, operation);
  assertStrictEquals((error as SessionStoreError).cause, cause);
  assertStringIncludes((error as SessionStoreError).message, `failed to ${operation} a session`);
}

/** Values that are not the session that was asked for. */
const wrongAnswers: Record<string, (contexts: CachingContexts, store: Replaceable) => (key: string) => unknown> = {
  "garbage": () => () => new Uint8Array(200).fill(0xa5),
  "no bytes at all": () => () => new Uint8Array(0),
  "a value cut short": (_contexts, { inner }) => (key) => inner.get(key)!.subarray(0, -20),
  "a value with more behind it": (_contexts, { inner }) => (key) => new Uint8Array([...inner.get(key)!, 1, 2, 3]),
  "another session": (contexts, { inner }) => {
    let other: Uint8Array | undefined;
    const put = inner.put.bind(inner);
    inner.put = (key, value, expiresAt) => {
      other ??= value;
      put(key, value, expiresAt);
    };
    contexts.visit();
    return () => other;
  },
  "a string": () => () => "a session",
  "a number": () => () => 7,
  "an object": () => () => ({}),
  "an array of numbers": (_contexts, { inner }) => (key) => [...inner.get(key)!],
};

for (const version of versions) {
  describe(`${version}: SessionCache with a store that fails`, () => {
    it(
      "makes a full handshake when the lookup throws",
      leavingNothing(() => {
        const store = new Replaceable();
        using contexts = new CachingContexts(version, store);
        assertFullHandshake(contexts, store, () => {
          throw broken;
        });
        assertEquals(contexts.errors.length, 1);
        assertReported(contexts.errors[0], lookup[version], broken);
        const { lookups, hits, misses, errors } = contexts.cache.stats();
        assertEquals({ lookups, hits, misses, errors }, { lookups: 1, hits: 0, misses: 1, errors: 1 });
      }),
    );

    it(
      "makes a full handshake when the lookup throws what is no error",
      leavingNothing(() => {
        const store = new Replaceable();
        using contexts = new CachingContexts(version, store);
        assertFullHandshake(contexts, store, () => {
          throw "out of order";
        });
        assertReported(contexts.errors[0], lookup[version], "out of order");
        assertStringIncludes(contexts.errors[0]!.message, "out of order");
      }),
    );

    for (const [what, wrong] of Object.entries(wrongAnswers)) {
      it(
        `makes a full handshake when the store answers with ${what}`,
        leavingNothing(() => {
          const store = new Replaceable();
          using contexts = new CachingContexts(version, store);
          assertFullHandshake(contexts, store, wrong(contexts, store));
          assertEquals(contexts.errors.length, 1);
          assertInstanceOf(contexts.errors[0], SessionStoreError);
          assertEquals(contexts.errors[0]!.operation, lookup[version]);
          assertEquals(contexts.cache.stats().errors, 1);
        }),
      );
    }

    for (const nothing of [undefined, null]) {
      it(
        `takes ${nothing} for a miss`,
        leavingNothing(() => {
          const store = new Replaceable();
          using contexts = new CachingContexts(version, store);
          assertFullHandshake(contexts, store, () => nothing);
          assertEquals(contexts.errors, []);
          assertEquals(contexts.cache.stats().misses, 1);
        }),
      );
    }

    it(
      "resumes with a Buffer, which is a Uint8Array",
      leavingNothing(() => {
        const store = new Replaceable();
        using contexts = new CachingContexts(version, store);
        const session = contexts.resumable();
        store.answers((key) => process.getBuiltinModule("node:buffer").Buffer.from(store.inner.get(key)!));
        assertEquals(contexts.visit(session), { resumed: true });
        assertEquals(contexts.errors, []);
      }),
    );

    it(
      "goes on when put throws, and the session does not resume",
      leavingNothing(() => {
        const store = new Replaceable();
        using contexts = new CachingContexts(version, store);
        store.replaced.put = () => {
          throw broken;
        };
        using link = contexts.link();
        link.connect();
        assertWorks(link);
        link.close();
        assertEquals(contexts.errors.length, 1);
        assertReported(contexts.errors[0], "put", broken);
        assertEquals(contexts.visit(contexts.sessions.at(-1)), { resumed: false });
      }),
    );

    it(
      "goes on when delete throws",
      leavingNothing(() => {
        const store = new Replaceable();
        using contexts = new CachingContexts(version, store);
        store.replaced.delete = () => {
          throw broken;
        };
        {
          using link = contexts.link();
          link.connect();
          using session = link.server.session()!;
          contexts.server.removeSession(session);
          link.close();
        }
        assertEquals(contexts.errors.length, 1);
        assertReported(contexts.errors[0], "delete", broken);
        assertEquals(contexts.visit(contexts.sessions.at(-1)), { resumed: true });
      }),
    );

    it("hears of it when put and delete reject", async () => {
      const before = standing();
      await watchingRejections(async () => {
        const store = new Replaceable();
        using contexts = new CachingContexts(version, store);
        store.replaced = { put: () => Promise.reject(broken), delete: () => Promise.reject(broken) };
        {
          using link = contexts.link();
          link.connect();
          using session = link.server.session()!;
          contexts.server.removeSession(session);
          link.close();
        }
        await new Promise((resolve) => setImmediate(resolve));
        assertEquals(contexts.errors.map(({ operation }) => operation), ["put", "delete"]);
        for (const error of contexts.errors) assertStrictEquals(error.cause, broken);
      });
      assertNothingLeft(before);
    });

    it(
      "goes on when onStoreError throws",
      leavingNothing(() => {
        const store = new Replaceable();
        const complain = () => {
          throw new Error("and so is the operator");
        };
        using contexts = new CachingContexts(version, store, {}, {}, complain);
        assertFullHandshake(contexts, store, () => {
          throw broken;
        });
        assertEquals(contexts.errors.length, 1);
      }),
    );

    it(
      "resumes again when the store is well again",
      leavingNothing(() => {
        const store = new Replaceable();
        using contexts = new CachingContexts(version, store);
        assertFullHandshake(contexts, store, () => {
          throw broken;
        });
        store.replaced = {};
        assertEquals(contexts.visit(contexts.resumable()), { resumed: true });
      }),
    );
  });
}

/** Runs a test in which no rejection may go unhandled. */
async function watchingRejections(test: () => Promise<void>): Promise<void> {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => void unhandled.push(reason);
  process.on("unhandledRejection", note);
  try {
    await test();
    // They are told of when the microtasks are done.
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    process.off("unhandledRejection", note);
  }
  assertEquals(unhandled, []);
}

describe("SessionStoreError", () => {
  it("has no key and no value of the store in it", () => {
    const error = new SessionStoreError("put", new Error("no space left on device"));
    assertEquals(error.name, "SessionStoreError");
    assertEquals(
      error.message,
      "The session store failed to put a session, and the session will not resume: no space left on device",
    );
    assert(error instanceof Error);
  });
});
