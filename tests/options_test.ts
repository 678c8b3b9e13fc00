/** What is done with the options that users give, wherever they give them. */

import { assert, assertEquals, assertInstanceOf, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import {
  ClientSessions,
  connect,
  createServer,
  listen,
  MemoryStore,
  openLibrary,
  RedisStore,
  selfSigned,
  serve,
  SessionCache,
  SqliteStore,
  SslConnection,
  SslContext,
  TieredStore,
} from "../mod.ts";
import { integer, list, object, oneOf, text } from "../ssl/option_kinds.ts";
import { mergeOptions, omitOptions, type OptionKinds, pickOptions, readOptions } from "../ssl/options.ts";
import { testSessionStore } from "../testing.ts";
import { credentials } from "./support.ts";

interface Sample {
  port?: number;
  verify?: "none" | "require";
  inner?: { name?: string };
  names?: readonly string[];
}

const kinds: OptionKinds<Sample> = {
  port: integer(0, 65_535),
  verify: oneOf("none", "require"),
  inner: object<{ name?: string }>({ name: text }),
  names: list(text),
};

const read = (options: unknown) => readOptions("sample()", kinds, options);

describe("readOptions()", () => {
  it("answers a frozen copy without a prototype, in which nothing is undefined", () => {
    const given = { port: 1, verify: undefined, names: ["a"] };
    const options = read(given);
    given.names.push("b");
    assertEquals({ ...options }, { port: 1, names: ["a"] });
    assertEquals(Object.getPrototypeOf(options), null);
    assert(Object.isFrozen(options) && Object.isFrozen(options.names));
    assertEquals({ ...read(undefined) }, {});
  });

  it("reads each option once", () => {
    let times = 0;
    const options = read({
      get port() {
        return ++times;
      },
    });
    assertEquals([options.port, options.port, times], [1, 1, 1]);
  });

  it("takes objects without a prototype, of another class, and behind a proxy", () => {
    class Configuration {
      port = 1;
      toString() {
        return "a method is no option";
      }
    }
    for (
      const given of [Object.assign(Object.create(null), { port: 1 }), new Configuration(), new Proxy({ port: 1 }, {})]
    ) {
      assertEquals(read(given).port, 1);
    }
  });

  it("refuses what is no object of options", () => {
    for (
      const [given, shown] of [[null, "null"], ["text", "text"], [1, "a number"], [[], "an array"], [
        () => {},
        "a function",
      ]]
    ) {
      assertThrows(
        () => read(given),
        TypeError,
        `Cannot use these options with sample(): give an object, not ${shown}`,
      );
    }
    assertThrows(
      () => read({ inner: [] }),
      TypeError,
      "Cannot use the option inner with sample(): give an object, not an array",
    );
  });

  it("refuses options that are a prototype's or not enumerable, which would not count", () => {
    class Configuration {
      get verify() {
        return "require";
      }
    }
    const hidden = Object.defineProperty({}, "verify", { value: "require" });
    for (const given of [new Configuration(), Object.create({ verify: "require" }), hidden]) {
      assertThrows(
        () => read(given),
        TypeError,
        "Cannot use the option verify with sample(): it must be an enumerable property of the object itself",
      );
    }
  });

  it("lets nothing count that was put into Object.prototype", () => {
    const polluted = Object.prototype as { verify?: string; verfiy?: string };
    polluted.verify = "none";
    polluted.verfiy = "none";
    try {
      const merged = [
        read({ port: 1 }),
        mergeOptions<Sample>(read({ port: 1 }), read({})),
        pickOptions(kinds, read({ port: 1 })),
        omitOptions({ names: true }, read({ port: 1 })),
      ];
      for (const options of merged) {
        assertEquals("verify" in options, false);
        assertEquals(options.port, 1);
      }
    } finally {
      delete polluted.verify;
      delete polluted.verfiy;
    }
  });

  it("refuses what is not known, and says which name is the nearest", () => {
    assertThrows(
      () => read({ verfiy: "require" }),
      TypeError,
      "Cannot use the option verfiy with sample(): there is none of that name; did you mean verify?",
    );
    assertThrows(
      () => read({ inner: { nmae: "a" } }),
      TypeError,
      "option inner.nmae with sample(): there is none of that name; did you mean name?",
    );
    assertThrows(() => read({ constructor: 1 }), TypeError, "there are port, verify, inner, names");
    assertThrows(() => read(JSON.parse('{ "__proto__": { "verify": "none" } }')), TypeError, "the option __proto__");
    // Undefined is left out, whatever its name.
    assertEquals({ ...read({ verfiy: undefined }) }, {});
  });

  it("says what values are wrong, without showing text, which may be a key", () => {
    const error = assertThrows(
      () => read({ names: ["fine", 5] }),
      TypeError,
      "names[1] with sample(): it takes text, not a number",
    );
    assertInstanceOf(error, TypeError);
    assertThrows(() => read({ port: "8443" }), TypeError, "not text");
    assertThrows(() => read({ port: "8443" }), TypeError, "write port: 8443");
    const secret = assertThrows(() => read({ port: "hunter2" }), TypeError);
    assertEquals(secret.message.includes("hunter2"), false);
  });
});

/** Each function that takes options, and what it is called in its errors. */
const takers: Record<string, (options: never) => unknown> = {
  "openLibrary()": (options) => openLibrary(options),
  "SslContext.server()": (options) => SslContext.server(options),
  "SslContext.client()": (options) => SslContext.client(options),
  "SslConnection.client()": (options) => {
    using context = SslContext.client();
    SslConnection.client(context, options);
  },
  "new SessionCache()": (options) => new SessionCache(options),
  "new MemoryStore()": (options) => new MemoryStore(options),
  "new SqliteStore()": (options) => new SqliteStore(":memory:", options),
  "new RedisStore()": (options) => new RedisStore(options),
  "new TieredStore()": (options) => new TieredStore(options),
  "new ClientSessions()": (options) => new ClientSessions(options),
  "listen()": (options) => listen(options, () => {}),
  "serve()": (options) => serve(options, () => new Response()),
  "connect()": (options) => connect(options),
  "createServer()": (options) => createServer(options),
  "addContext()": (options) => createServer(selfSigned()).addContext("localhost", options),
  "setSecureContext()": (options) => createServer(selfSigned()).setSecureContext(options),
  "testSessionStore()": (options) => testSessionStore("none", () => new MemoryStore(), options),
  "reload()": async (options) => {
    await using server = await listen({ ...credentials, hostname: "127.0.0.1" }, () => {});
    await server.reload(options);
  },
  "close()": async (options) => {
    await using server = await listen({ ...credentials, hostname: "127.0.0.1" }, () => {});
    await server.close(options);
  },
};

for (const [name, take] of Object.entries(takers)) {
  describe(`${name}'s options`, () => {
    it("are closed", async () => {
      const error = await assertRejects(async () => await take({ noSuchOption: 1 } as never), TypeError);
      assertStringIncludes(
        error.message,
        `Cannot use the option noSuchOption with ${name}: there is none of that name`,
      );
    });

    it("are an object", async () => {
      for (const wrong of [null, "text", 5, [], true]) {
        await assertRejects(async () => await take(wrong as never), TypeError, `Cannot use these options with ${name}`);
      }
    });
  });
}
