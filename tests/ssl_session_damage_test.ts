import { assert, assertEquals, assertInstanceOf, assertStringIncludes, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { inspect } from "node:util";
import { OpenSslError, Session } from "../mod.ts";
import { library } from "../ssl/library.ts";
import { counts, leavingNothing } from "./counts.ts";
import { Contexts, thrownBy, type Version, versions } from "./support.ts";

const properties = Object.entries(Object.getOwnPropertyDescriptors(Session.prototype))
  .filter(([_, { get }]) => get).map(([name]) => name as keyof Session);

/** The DER form of a session with all that it can hold. */
function realDer(version: Version): Uint8Array {
  using contexts = new Contexts(version, { alpnProtocols: ["h2"] }, { alpnProtocols: ["h2"] });
  return contexts.resumable().toDer();
}

/** Asserts that these bytes are a session that can be used all round, or an error that says why not. */
function assertSessionOrError(der: Uint8Array): boolean {
  const before = counts().sessions;
  let session: Session;
  try {
    session = Session.fromDer(der);
  } catch (error) {
    assert(error instanceof OpenSslError || error instanceof RangeError, String(error));
    assertStringIncludes(error.message, `Cannot read a session from ${der.length} bytes of DER`);
    assertEquals(library().crypto.ERR_peek_error(), 0);
    assertEquals(counts().sessions, before);
    return false;
  }
  for (const property of properties) {
    // A damaged version or certificate is an error where it is asked for.
    const error = thrownBy(() => session[property]);
    assert(error instanceof Error);
  }
  assertStringIncludes(inspect(session), "Session { ");
  assert(session.toDer().length > 0);
  session.toPem();
  session.clone().dispose();
  session.dispose();
  assertEquals(library().crypto.ERR_peek_error(), 0);
  assertEquals(counts().sessions, before);
  return true;
}

/** Numbers that are the same in each run. */
function* numbers(seed: number): Generator<number, never> {
  for (let state = seed;;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state / 0x100000000;
  }
}

for (const version of versions) {
  describe(`${version}: Session.fromDer()`, () => {
    it(
      "refuses every truncation of a real session",
      leavingNothing(() => {
        const der = realDer(version);
        for (let length = 0; length < der.length; length++) {
          assertEquals(assertSessionOrError(der.slice(0, length)), false, `${length} bytes`);
        }
        assertEquals(assertSessionOrError(der), true);
      }),
    );

    it(
      "refuses or takes a real session with any one byte changed",
      leavingNothing(() => {
        const der = realDer(version);
        let taken = 0, refused = 0;
        for (let place = 0; place < der.length; place++) {
          for (const mask of [0x01, 0x80, 0xff]) {
            const changed = der.slice();
            changed[place]! ^= mask;
            if (assertSessionOrError(changed)) taken++;
            else refused++;
          }
        }
        assert(taken > 0 && refused > 0);
      }),
    );

    it(
      "refuses or takes a real session with several bytes changed",
      leavingNothing(() => {
        const der = realDer(version);
        const random = numbers(7);
        for (let round = 0; round < 1000; round++) {
          const changed = der.slice();
          for (let n = 0; n < 3; n++) {
            changed[Math.floor(random.next().value * der.length)] = Math.floor(random.next().value * 256);
          }
          assertSessionOrError(changed);
        }
      }),
    );

    it(
      "refuses a session that bytes follow",
      leavingNothing(() => {
        const der = realDer(version);
        for (const rest of [[0], [0x30], [...der]]) {
          const error = thrownBy(() => Session.fromDer(Uint8Array.from([...der, ...rest])));
          assertInstanceOf(error, RangeError);
          assertEquals(
            (error as Error).message,
            `Cannot read a session from ${der.length + rest.length} bytes of DER: it ends after ${der.length}`,
          );
        }
      }),
    );

    it(
      "makes no connection fall over a damaged session that it took",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        const der = contexts.resumable().toDer();
        const random = numbers(3);
        for (let round = 0; round < 200; round++) {
          const changed = der.slice();
          changed[Math.floor(random.next().value * der.length)]! ^= 1 << Math.floor(random.next().value * 8);
          const outcome = thrownBy(() => {
            using session = Session.fromDer(changed);
            using link = contexts.link(session);
            link.connect();
            link.close();
          });
          assert(outcome instanceof Error);
          for (const session of contexts.sessions.splice(0)) session.dispose();
        }
        library().crypto.ERR_clear_error();
        assertEquals(contexts.visit(), { resumed: false });
      }),
    );
  });
}

describe("Session.fromDer()", () => {
  it(
    "refuses garbage of any length",
    leavingNothing(() => {
      const random = numbers(1);
      for (let length = 0; length < 300; length++) {
        assertEquals(assertSessionOrError(Uint8Array.from({ length }, () => random.next().value * 256)), false);
      }
      assertEquals(assertSessionOrError(new Uint8Array(1_000_000)), false);
    }),
  );

  it(
    "refuses nothing at all",
    leavingNothing(() => {
      assertThrows(() => Session.fromDer(new Uint8Array(0)), Error, "Cannot read a session from 0 bytes of DER");
    }),
  );

  for (const wrong of [undefined, null, "der", 5, [48, 3], {}, new ArrayBuffer(8)]) {
    it(`refuses ${JSON.stringify(wrong)}, which is no Uint8Array`, () => {
      assertThrows(() => Session.fromDer(wrong as unknown as Uint8Array), TypeError);
    });
  }
});

describe("Session.fromPem()", () => {
  it(
    "refuses what is no PEM, another thing's PEM and damaged PEM",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.2");
      const pem = contexts.resumable().toPem();
      const cases: [string, string][] = [
        ["", "no start line"],
        ["no session", "no start line"],
        [pem.replaceAll("SSL SESSION PARAMETERS", "CERTIFICATE"), "no start line"],
        [pem.slice(0, pem.length / 2), "bad end line"],
        [pem.replace(/\n[A-Za-z0-9+/]{10}/, "\n!!!!!!!!!!"), "bad base64 decode"],
        [pem.replace(/\n[A-Za-z0-9+/]{8}/, "\nAAAAAAAA"), ""],
      ];
      for (const [text, reason] of cases) {
        const error = thrownBy(() => Session.fromPem(text));
        assertInstanceOf(error, OpenSslError);
        assertStringIncludes((error as Error).message, "PEM");
        assertStringIncludes((error as Error).message, reason);
        assertEquals(library().crypto.ERR_peek_error(), 0);
      }
    }),
  );

  it(
    "takes a session with other text around it",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.2");
      const session = contexts.resumable();
      using read = Session.fromPem(`A session:\n\n${session.toPem()}\nThat was it.\n`);
      assertEquals(read.id, session.id);
    }),
  );
});
