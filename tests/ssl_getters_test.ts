import { assert, assertEquals, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { SslContext } from "../mod.ts";
import { callbacks } from "../ffi/callbacks.ts";
import type { Pointer } from "../ffi/types.ts";
import { contextPointer } from "../ssl/context.ts";
import { library } from "../ssl/library.ts";
import { leavingNothing } from "./counts.ts";
import { Contexts } from "./support.ts";

// deno-lint-ignore no-explicit-any -- each kind of callback goes to its own setter
type Callback = any;

/** The six functions of the manual page, by callback. */
const kinds: Record<"new" | "remove" | "get", {
  set(context: SslContext, callback: Callback): void;
  get(context: SslContext): { pointer: Pointer; callback: Callback } | null;
  raw(context: Pointer): Pointer | null | 0;
  setRaw(context: Pointer, callback: Pointer | null): void;
}> = {
  new: {
    set: (context, callback) => context.setNewSessionCallback(callback),
    get: (context) => context.getNewSessionCallback(),
    raw: (context) => library().ssl.SSL_CTX_sess_get_new_cb(context),
    setRaw: (context, callback) => library().ssl.SSL_CTX_sess_set_new_cb(context, callback),
  },
  remove: {
    set: (context, callback) => context.setRemoveSessionCallback(callback),
    get: (context) => context.getRemoveSessionCallback(),
    raw: (context) => library().ssl.SSL_CTX_sess_get_remove_cb(context),
    setRaw: (context, callback) => library().ssl.SSL_CTX_sess_set_remove_cb(context, callback),
  },
  get: {
    set: (context, callback) => context.setGetSessionCallback(callback),
    get: (context) => context.getGetSessionCallback(),
    raw: (context) => library().ssl.SSL_CTX_sess_get_get_cb(context),
    setRaw: (context, callback) => library().ssl.SSL_CTX_sess_set_get_cb(context, callback),
  },
};

const key = (pointer: Pointer) => library().memory.keyOf(pointer);

for (const [name, kind] of Object.entries(kinds)) {
  describe(`the getter of the ${name} session callback`, () => {
    it(
      "answers null if a callback has not been set",
      leavingNothing(() => {
        using server = SslContext.server();
        using client = SslContext.client();
        assertEquals(kind.get(server), null);
        assertEquals(kind.get(client), null);
      }),
    );

    it(
      "answers the function pointer that was set, and the function behind it",
      leavingNothing(() => {
        using context = SslContext.server();
        const callback = () => undefined;
        kind.set(context, callback);
        const set = kind.get(context)!;
        assertStrictEquals(set.callback, callback);
        const held = kind.raw(contextPointer(context));
        assert(held);
        assertEquals(key(set.pointer), key(held));
        const other = () => undefined;
        kind.set(context, other);
        assertStrictEquals(kind.get(context)!.callback, other);
        assertNotStrictEquals(kind.get(context)!.callback, callback);
      }),
    );

    it(
      "answers null after the callback has been cleared",
      leavingNothing(() => {
        using context = SslContext.server();
        kind.set(context, () => undefined);
        kind.set(context, null);
        assertEquals(kind.get(context), null);
        assert(!kind.raw(contextPointer(context)));
      }),
    );

    it(
      "answers for each context its own",
      leavingNothing(() => {
        using one = SslContext.server();
        using two = SslContext.server();
        const callback = () => undefined;
        kind.set(one, callback);
        assertEquals(kind.get(two), null);
        const other = () => undefined;
        kind.set(two, other);
        assertStrictEquals(kind.get(one)!.callback, callback);
        assertStrictEquals(kind.get(two)!.callback, other);
        one.dispose();
        assertStrictEquals(kind.get(two)!.callback, other);
      }),
    );

    it(
      "answers a pointer that other code has set, and no function",
      leavingNothing(() => {
        const { adapter } = library();
        // deno-lint-ignore no-explicit-any -- any of the three prototypes, and never called
        const foreign = adapter.trampoline(callbacks[`${name as "new"}Session`], (() => 0) as any);
        using context = SslContext.server();
        kind.set(context, () => undefined);
        kind.setRaw(contextPointer(context), foreign.pointer);
        const set = kind.get(context)!;
        assertEquals(key(set.pointer), key(foreign.pointer));
        assertEquals(set.callback, undefined);
        kind.setRaw(contextPointer(context), null);
        assertEquals(kind.get(context), null);
        foreign.close();
      }),
    );

    it(
      "answers null for what other code has cleared",
      leavingNothing(() => {
        using context = SslContext.server();
        kind.set(context, () => undefined);
        kind.setRaw(contextPointer(context), null);
        assertEquals(kind.get(context), null);
      }),
    );
  });
}

describe("the three getters", () => {
  it(
    "answer different function pointers respectively",
    leavingNothing(() => {
      using context = SslContext.server();
      for (const kind of Object.values(kinds)) kind.set(context, () => undefined);
      const pointers = Object.values(kinds).map((kind) => String(key(kind.get(context)!.pointer)));
      assertEquals(new Set(pointers).size, 3);
    }),
  );

  it(
    "answer the same within a callback",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.2");
      let asked = 0;
      const callback = () => {
        asked++;
        assertStrictEquals(contexts.server.getNewSessionCallback()!.callback, callback);
      };
      contexts.server.setNewSessionCallback(callback);
      contexts.visit();
      assertEquals(asked, 1);
    }),
  );
});
