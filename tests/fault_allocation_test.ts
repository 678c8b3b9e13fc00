import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { MemoryStore, Session, SessionCache, SslConnection, SslContext } from "../mod.ts";
import { assertNothingLeft, standing } from "./counts.ts";
import { Contexts, credentials, type Version, versions } from "./support.ts";

const constructors = ["Uint8Array", "Uint32Array", "BigUint64Array", "Int32Array"] as const;

/** What an engine throws where it has no memory for a buffer. */
class NoMemory extends RangeError {}

/** Runs something in which the engine has no memory for the buffer number `failing`. Answers whether it got that far. */
function withoutMemory(failing: number, act: () => void): boolean {
  const scope = globalThis as unknown as Record<string, unknown>;
  const originals = constructors.map((name) => [name, scope[name]] as const);
  let made = 0;
  for (const [name, original] of originals) {
    scope[name] = new Proxy(original as typeof Uint8Array, {
      construct(target, parameters, newTarget) {
        if (made++ === failing) throw new NoMemory("Array buffer allocation failed");
        return Reflect.construct(target, parameters, newTarget);
      },
    });
  }
  try {
    act();
  } finally {
    for (const [name, original] of originals) scope[name] = original;
  }
  return made > failing;
}

/** Fails each allocation in turn, until there is none left to fail. */
function failEach(act: () => void): number {
  for (let failing = 0;; failing++) {
    const before = standing();
    let reached = false;
    try {
      reached = withoutMemory(failing, act);
      if (!reached) return failing;
      // It was caught where a store or a callback may fail, and costs nothing but a full handshake.
    } catch (error) {
      const causes = [error, ...(error instanceof AggregateError ? error.errors : []), (error as Error).cause];
      assert(causes.some((cause) => cause instanceof NoMemory), String((error as Error).stack));
    }
    assertNothingLeft(before);
    assert(failing < 2000, "It goes on and on");
  }
}

/** A full handshake, data both ways, a resumption, and all that can be asked in between. */
function live(version: Version): void {
  using contexts = new Contexts(version, { alpnProtocols: ["h2"] }, { alpnProtocols: ["h2"] });
  const cache = new SessionCache({ store: new MemoryStore(), secrets: ["a secret of sixteen bytes or more"] });
  cache.attach(contexts.server);
  for (let visit = 0; visit < 2; visit++) {
    using link = contexts.link(visit > 0 ? contexts.sessions.at(-1) : undefined);
    link.connect();
    link.client.write(Uint8Array.of(1, 2, 3));
    link.toServer();
    link.server.read(new Uint8Array(100));
    void [link.server.alpnProtocol, link.server.sessionId, link.client.peerCertificate, link.client.verifyResult];
    link.client.session()?.dispose();
    link.close();
  }
}

describe("where the engine has no memory for a buffer", () => {
  for (const version of versions) {
    it(`${version}: a connection fails, and leaves nothing behind, at each of them`, () => {
      live(version);
      const allocations = failEach(() => live(version));
      assert(allocations > 10, `${allocations} allocations`);
    });
  }

  it("a session is read and written, or not, and nothing is left", () => {
    using contexts = new Contexts("TLSv1.3");
    const der = contexts.resumable().toDer();
    const allocations = failEach(() => {
      using session = Session.fromDer(der);
      assertEquals(session.toDer(), der);
      using again = Session.fromPem(session.toPem());
      void [again.id, again.idContext, again.peerCertificate, again.alpnProtocol];
    });
    assert(allocations > 5, `${allocations} allocations`);
  });

  it("a context is made or not, and nothing is left", () => {
    const allocations = failEach(() => {
      using context = SslContext.server({
        ...credentials,
        certificateAuthorities: credentials.certificate,
        verify: "request",
        alpnProtocols: ["h2", "http/1.1"],
        ocspResponse: Uint8Array.of(0x30, 7, 0x0a, 1, 0, 0xa0, 2, 0x30, 0),
      });
      using connection = SslConnection.server(context);
      void connection.isEstablished;
    });
    assert(allocations > 5, `${allocations} allocations`);
  });
});
