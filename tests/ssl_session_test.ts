import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { inspect } from "node:util";
import { openLibrary, selfSigned, Session, SslOption } from "../mod.ts";
import { library } from "../ssl/library.ts";
import { openssl } from "./process.ts";
import { leavingNothing } from "./counts.ts";
import { bytes, Contexts, hex, Link, thrownBy, versions } from "./support.ts";

const clientCredentials = selfSigned(["client.example"]);

for (const version of versions) {
  describe(`${version}: Session`, () => {
    it(
      "tells what the connection negotiated",
      leavingNothing(() => {
        using contexts = new Contexts(
          version,
          {
            alpnProtocols: ["h2"],
            sessionIdContext: "id context",
            sessionTimeout: 1234,
            verify: "require",
            certificateAuthorities: clientCredentials.certificate,
            numTickets: 1,
          },
          { ...clientCredentials, alpnProtocols: ["http/1.1", "h2"] },
        );
        const before = Math.floor(Date.now() / 1000) * 1000;
        using link = contexts.link().connect();
        using session = link.server.session()!;
        assertEquals(session.id.length, 32);
        assertEquals(session.idContext, bytes("id context"));
        assertEquals(session.protocol, version);
        assertEquals(session.cipher, link.server.cipher);
        assert(session.created.getTime() >= before && session.created.getTime() <= Date.now());
        assertEquals(session.timeout, 1234);
        assertEquals(session.expires.getTime(), session.created.getTime() + 1_234_000);
        assertEquals(session.serverName, "localhost");
        assertEquals(session.alpnProtocol, "h2");
        assertEquals(session.maxEarlyData, 0);
        assertEquals(session.isResumable, true);
        assertEquals(session.isReleased, false);
        assertEquals(session.peerCertificate!.subject, "CN=client.example");
        assertEquals(session.peerCertificate!.subjectAltName, "DNS:client.example");

        const atClient = contexts.sessions[0]!;
        assertEquals(atClient.protocol, version);
        assertEquals(atClient.peerCertificate!.subject, "CN=localhost");
        assertEquals(atClient.ticketLifetimeHint, version === "TLSv1.3" ? 1234 : 0);
        assertEquals(hex(atClient.id) === hex(session.id), version === "TLSv1.2");
        link.close();
      }),
    );

    it(
      "has no name, protocol and certificate where there was none",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        using link = new Link(contexts);
        link.connect();
        using session = link.server.session()!;
        assertEquals(session.serverName, undefined);
        assertEquals(session.alpnProtocol, undefined);
        assertEquals(session.peerCertificate, undefined);
        link.close();
      }),
    );

    it(
      "can have its time and timeout set, and refuses what is none",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        const session = contexts.resumable();
        session.created = new Date(1_700_000_000_999);
        assertEquals(session.created.getTime(), 1_700_000_000_000);
        session.timeout = 77;
        assertEquals(session.timeout, 77);
        assertEquals(session.expires.getTime(), 1_700_000_077_000);
        session.timeout = 0;
        assertEquals(session.timeout, 0);
        session.timeout = 0x7fffffff;
        assertEquals(session.timeout, 0x7fffffff);
        for (const wrong of [-1, 1.5, NaN, Infinity, 0x80000000, "5", null, undefined]) {
          assertThrows(() => session.timeout = wrong as number, RangeError, "it takes whole seconds");
        }
        for (const wrong of [new Date(NaN), new Date(-1000)]) {
          assertThrows(() => session.created = wrong, RangeError, "Cannot set a session's time");
        }
        assertEquals(session.created.getTime(), 1_700_000_000_000);
      }),
    );

    it(
      "has clones that are the same session, each to be disposed",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        const session = contexts.resumable();
        using clone = session.clone();
        clone.timeout = 55;
        assertEquals(session.timeout, 55);
        session.dispose();
        assertEquals(clone.timeout, 55);
        assertEquals(clone.isReleased, false);
      }),
    );

    it(
      "goes to DER and PEM and back, and is still good for resumption",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        const session = contexts.resumable();
        const der = session.toDer();
        using fromDer = Session.fromDer(der);
        using fromPem = Session.fromPem(session.toPem());
        for (const read of [fromDer, fromPem]) {
          assertEquals(read.toDer(), der);
          assertEquals(read.id, session.id);
          assertEquals(read.protocol, session.protocol);
          assertEquals(read.created, session.created);
          assertEquals(read.timeout, session.timeout);
          assertEquals(read.cipher, session.cipher);
          assertEquals(contexts.visit(read), { resumed: true });
        }
        using inTheMiddle = Session.fromDer(new Uint8Array([1, 2, ...der, 3]).subarray(2, 2 + der.length));
        assertEquals(inTheMiddle.id, session.id);
      }),
    );

    it(
      "is read by the openssl command, and read from it",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        const session = contexts.resumable();
        const text = openssl(["sess_id", "-text", "-noout"], session.toPem());
        assertStringIncludes(text, `Protocol  : ${version}`);
        assertStringIncludes(text, `Session-ID: ${hex(session.id).toUpperCase()}`);
        assertStringIncludes(text, `Timeout   : ${session.timeout} (sec)`);
        // What 3.0 and later write, 1.1.1 does not read.
        if (openssl(["version"]).split(".")[0] !== openLibrary().version.split(".")[0]) return;
        using back = Session.fromPem(openssl(["sess_id", "-outform", "PEM"], session.toPem()));
        assertEquals(back.toDer(), session.toDer());
      }),
    );

    it(
      "shows no secret",
      leavingNothing(() => {
        using contexts = new Contexts(version, { numTickets: 1 });
        const secrets: string[] = [];
        contexts.server.setKeylogCallback((_connection, line) => {
          secrets.push(line.split(" ")[2]!);
        });
        const session = contexts.resumable();
        // The master key stands in the DER form, which is how this test knows that it looks for the right thing.
        const text = openssl(["sess_id", "-text", "-noout"], session.toPem());
        const key = /(?:Master-Key|Resumption PSK): ([0-9A-F]+)/.exec(text)![1]!.toLowerCase();
        assertStringIncludes(hex(session.toDer()), key);
        secrets.push(key, hex(session.id));
        const runtimes = globalThis as {
          Deno?: { inspect(value: unknown, options?: unknown): string };
          Bun?: { inspect(value: unknown): string };
        };
        const shown = [
          inspect(session, { depth: 9, showHidden: true }),
          String(session),
          JSON.stringify(session),
          runtimes.Deno?.inspect(session, { depth: 9, showHidden: true }) ?? "",
          runtimes.Bun?.inspect(session) ?? "",
        ];
        for (const secret of secrets) {
          for (const text of shown) {
            assertEquals(text.toLowerCase().includes(secret), false, text);
            const decimal = secret.slice(0, 32).match(/../g)!.map((pair) => parseInt(pair, 16)).join(", ");
            assertEquals(text.includes(decimal), false, text);
          }
        }
        assertStringIncludes(
          shown[0]!,
          `Session { ${version}, ${session.cipher}, localhost, id ${hex(session.id.slice(0, 4))}…`,
        );
        if (runtimes.Deno) assertEquals(shown[3], shown[0]);
        if (runtimes.Bun) assertEquals(shown[4], shown[0]);
      }),
    );

    it(
      "resumes in no other session id context",
      leavingNothing(() => {
        using contexts = new Contexts(version);
        const session = contexts.resumable();
        contexts.server.setSessionIdContext("another");
        assertEquals(contexts.visit(session), { resumed: false });
        contexts.server.setSessionIdContext(bytes("openssl-sessions"));
        assertEquals(contexts.visit(session), { resumed: true });
      }),
    );

    it(
      "resumes without a server's memory of it where stateless tickets are on",
      leavingNothing(() => {
        using contexts = new Contexts(version, { sessionCacheMode: 0 });
        contexts.server.clearOptions(SslOption.NoTicket);
        const session = contexts.resumable();
        assertEquals(contexts.server.counters().number, 0);
        assertEquals(contexts.visit(session), { resumed: true });
      }),
    );
  });
}

describe("Session", () => {
  it("is not constructed", () => {
    const Constructor = Session as unknown as new (...parameters: unknown[]) => Session;
    assertThrows(() => new Constructor(Symbol("Session"), null), TypeError, "use fromDer(), fromPem()");
  });

  it(
    "is refused by a connection where its version is not to be had",
    leavingNothing(() => {
      using older = new Contexts("TLSv1.2");
      using newer = new Contexts("TLSv1.3");
      const session = older.resumable();
      const outcome = thrownBy(() => assertEquals(newer.visit(session), { resumed: false }));
      // Newer releases say so at once; what never happens is that it resumes.
      assert(outcome instanceof Error);
      library().crypto.ERR_clear_error();
    }),
  );
});
