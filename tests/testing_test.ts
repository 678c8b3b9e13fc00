import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { MemoryStore, type SessionStore } from "../mod.ts";
import { testSessionStore, type TestSessionStoreOptions } from "../testing.ts";
import { output, ownRuntime, Program, TemporaryFolder, thisRuntime } from "./server_support.ts";
import { root } from "./process.ts";
import { writeFileSync } from "node:fs";
import "./support.ts";

/** The statements that a store does not fulfil. */
async function failures(
  make: () => SessionStore,
  options: Omit<TestSessionStoreOptions, "describe" | "it"> = {},
): Promise<string[]> {
  const tests = new Map<string, () => Promise<void>>();
  testSessionStore("a store", make, {
    ...options,
    describe: (name, body) => {
      assertEquals(name, "a store: the contract of session stores");
      body();
    },
    it: (name, body) => tests.set(name, body),
  });
  assert(tests.size > 15);
  const failed: string[] = [];
  for (const [name, test] of tests) {
    await test().catch((error) => {
      assertEquals(error.name, "AssertionError", `${name}: ${error.message}`);
      failed.push(name);
    });
  }
  return failed;
}

/** A good store, whose answers come later. */
class GoodStore implements SessionStore {
  readonly sessions = new MemoryStore();

  async get(key: string): Promise<Uint8Array | undefined> {
    return await this.sessions.get(key);
  }
  async put(key: string, value: Uint8Array, expiresAt: Date): Promise<void> {
    await this.sessions.put(key, value, expiresAt);
  }
  async take(key: string): Promise<Uint8Array | undefined> {
    return await this.sessions.take(key);
  }
  async delete(key: string): Promise<void> {
    await this.sessions.delete(key);
  }
}

/** Stores with one mistake each, and a statement that must find it. */
const mistakes: Record<string, [() => SessionStore, string]> = {
  "finds what it does not have": [
    () =>
      new class extends GoodStore {
        override async get(key: string) {
          return await super.get(key) ?? new Uint8Array(1);
        }
      }(),
    "finds nothing under a key that nothing was put under",
  ],
  "forgets what was read": [
    () =>
      new class extends GoodStore {
        override get(key: string) {
          return this.take(key);
        }
      }(),
    "finds what was put, as often as it is asked",
  ],
  "shortens keys": [
    () =>
      new class extends GoodStore {
        override put(key: string, value: Uint8Array, expiresAt: Date) {
          return super.put(key.slice(0, 32), value, expiresAt);
        }
        override get(key: string) {
          return super.get(key.slice(0, 32));
        }
      }(),
    "keeps keys apart",
  ],
  "keeps the first value": [
    () =>
      new class extends GoodStore {
        override async put(key: string, value: Uint8Array, expiresAt: Date) {
          if (!this.sessions.get(key)) await super.put(key, value, expiresAt);
        }
      }(),
    "puts a value in place of another, and its time in place of the other's",
  ],
  "does not delete": [
    () =>
      new class extends GoodStore {
        override async delete() {}
      }(),
    "deletes",
  ],
  "keeps for ever": [
    () =>
      new class extends GoodStore {
        override put(key: string, value: Uint8Array) {
          return super.put(key, value, new Date(Date.now() + 60_000));
        }
      }(),
    "does not find what has expired when it is put",
  ],
  "takes bytes for text": [
    () =>
      new class extends GoodStore {
        override put(key: string, value: Uint8Array, expiresAt: Date) {
          return super.put(key, new TextEncoder().encode(new TextDecoder().decode(value)), expiresAt);
        }
      }(),
    "keeps bytes that are no text",
  ],
  "keeps 8 KiB at most": [
    () =>
      new class extends GoodStore {
        override put(key: string, value: Uint8Array, expiresAt: Date) {
          return super.put(key, value.subarray(0, 8192), expiresAt);
        }
      }(),
    "keeps 10 KiB",
  ],
  "keeps the buffer that a value is a part of": [
    () =>
      new class extends GoodStore {
        override put(key: string, value: Uint8Array, expiresAt: Date) {
          return super.put(key, new Uint8Array(value.buffer), expiresAt);
        }
      }(),
    "keeps a part of a buffer, and not all of it",
  ],
  "answers with no Uint8Array": [
    () =>
      new class extends GoodStore {
        override async get(key: string) {
          return [...await super.get(key) ?? []] as unknown as Uint8Array;
        }
      }(),
    "finds what was put, as often as it is asked",
  ],
  "lists what was deleted": [
    () =>
      new class extends GoodStore {
        readonly #all: [string, Uint8Array][] = [];
        override put(key: string, value: Uint8Array, expiresAt: Date) {
          this.#all.push([key, value]);
          return super.put(key, value, expiresAt);
        }
        entries() {
          return this.#all;
        }
      }(),
    "lists what it keeps and nothing that was deleted, if it can list anything",
  ],
  "takes in two steps": [
    () =>
      new class extends GoodStore {
        override async take(key: string) {
          const value = await this.get(key);
          await this.delete(key);
          return value;
        }
      }(),
    "lets one of many callers take",
  ],
  "takes and leaves": [
    () =>
      new class extends GoodStore {
        override take(key: string) {
          return this.get(key);
        }
      }(),
    "takes once",
  ],
};

describe("testSessionStore()", () => {
  it("finds nothing wrong with a good store", async () => {
    assertEquals(await failures(() => new GoodStore()), []);
    assertEquals(await failures(() => new GoodStore(), { makeSecond: (store) => store }), []);
  });

  for (const [mistake, [make, statement]] of Object.entries(mistakes)) {
    it(`finds out a store that ${mistake}`, async () => {
      const failed = await failures(make);
      assert(failed.includes(statement), `It found only: ${failed.join("; ")}`);
    });
  }

  it("wants to be told that there is no take", async () => {
    const withoutTake = () => {
      const { get, put, delete: remove } = MemoryStore.prototype;
      const store = new MemoryStore();
      return { get: get.bind(store), put: put.bind(store), delete: remove.bind(store) };
    };
    assertEquals(await failures(withoutTake, { take: false }), []);
    assert((await failures(withoutTake)).includes("takes once"));
    assertEquals(await failures(() => new GoodStore(), { take: false }), ["has no take"]);
  });

  it("finds out two stores that do not have the same sessions", async () => {
    const failed = await failures(() => new GoodStore(), { makeSecond: () => new GoodStore() });
    assertEquals(failed, ["finds what another store over the same sessions has put"]);
  });

  it("ends each store that it has made, the way the store says or the caller does", async () => {
    const made: string[] = [];
    const ended: string[] = [];
    const disposable = (symbol: "asyncDispose" | "dispose") => () => {
      made.push(symbol);
      return Object.assign(new MemoryStore(), { [Symbol[symbol]]: () => void ended.push(symbol) });
    };
    await failures(disposable("asyncDispose"));
    await failures(disposable("dispose"));
    const close = () => void ended.push("dispose");
    await failures(disposable("dispose"), { close, makeSecond: disposable("dispose") });
    assert(made.length > 60);
    assertEquals(ended.sort(), made.sort());
  });

  it("declares tests of the runtime's own where no other runner is given", async () => {
    using folder = new TemporaryFolder();
    const file = folder.file("store_test.ts");
    writeFileSync(
      file,
      `import { MemoryStore } from "${new URL("mod.ts", root).href}";
      import { testSessionStore } from "${new URL("testing.ts", root).href}";
      class BrokenStore extends MemoryStore {
        override delete(): void {}
      }
      testSessionStore("a good store", () => new MemoryStore());
      testSessionStore("a broken store", () => new BrokenStore());`,
    );
    const parameters = { deno: ["test", "-A", "--no-check", "--no-config"], bun: ["test"], node: ["--test"] };
    const { command } = ownRuntime();
    const program = new Program(command, [...parameters[thisRuntime], file], { cwd: folder.path });
    const { code, stdout, stderr } = await output(program);
    const all = stdout + stderr;
    assertEquals(code, 1, all);
    assertStringIncludes(all, "a good store: the contract of session stores");
    assertStringIncludes(all, "A value is listed that was deleted");
  });
});
