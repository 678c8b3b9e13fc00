import { assertEquals, assertInstanceOf, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { createHash } from "node:crypto";
import {
  OpenSslError,
  selfSigned,
  Session,
  SslConnection,
  SslContext,
  type SslContextOptions,
  SslOption,
} from "../mod.ts";
import { verifyName } from "../ssl/verify_names.ts";
import { validFor } from "./certificate_support.ts";
import { leavingNothing } from "./counts.ts";
import { bytes, Contexts, credentials, hex, Link, thrownBy, versions } from "./support.ts";

const alice = selfSigned(["alice"]);
const eve = selfSigned(["eve"]);
const trusting = { verify: "require", certificateAuthorities: alice.certificate } as const;
const lax = { ...trusting, rejectUnauthorized: false };
const asItComes = { sessionIdContext: undefined } as unknown as SslContextOptions;

function idContext(options: SslContextOptions, role: "server" | "client" = "server"): string {
  using context = SslContext[role](options);
  using connection = SslConnection[role](context);
  return hex(connection.sessionIdContext);
}

for (const version of versions) {
  describe(`${version}: rejectUnauthorized: false`, () => {
    it(
      "lets a client in whose certificate does not verify, tells the verdict, and keeps it over resumptions",
      leavingNothing(() => {
        for (const options of [SslOption.NoTicket, 0]) {
          for (const [client, name, code] of [[eve, "DEPTH_ZERO_SELF_SIGNED_CERT", 18], [alice, "OK", 0]] as const) {
            using contexts = new Contexts(version, { ...lax, options }, client);
            for (const session of [undefined, contexts.resumable()]) {
              using link = contexts.link(session).connect();
              assertEquals(link.server.isResumed, session !== undefined);
              assertEquals(link.server.verifyResult.code, code);
              assertEquals(link.server.verifyResult.name, name);
              assertEquals(link.server.peerCertificate!.subject, client === eve ? "CN=eve" : "CN=alice");
              link.server.write(bytes("welcome"));
              link.toClient();
              assertEquals(link.client.read(new Uint8Array(10)), 7);
              link.close();
            }
          }
        }
      }),
    );

    it(
      "still requires a certificate where one is required, and not where it is only asked for",
      leavingNothing(() => {
        using contexts = new Contexts(version, lax);
        using link = contexts.link();
        assertStringIncludes(String(thrownBy(() => link.connect())), "peer did not return a certificate");
        using asking = new Contexts(version, { ...lax, verify: "request" });
        using other = asking.link().connect();
        assertEquals(other.server.peerCertificate, undefined);
        other.close();
      }),
    );

    it(
      "says that the chain does not hold before it says that the time is over, and that before another name",
      leavingNothing(() => {
        const day = 24 * 3600 * 1000;
        const expired = validFor(new Date(Date.now() - 9 * day), new Date(Date.now() - 2 * day));
        for (
          const [authorities, serverName, name] of [
            [expired, "localhost", "CERT_HAS_EXPIRED"],
            [expired, "elsewhere", "CERT_HAS_EXPIRED"],
            [eve, "localhost", "DEPTH_ZERO_SELF_SIGNED_CERT"],
            [eve, "elsewhere", "DEPTH_ZERO_SELF_SIGNED_CERT"],
          ] as const
        ) {
          const certificateAuthorities = authorities.certificate;
          const client = { certificateAuthorities, verify: "require", rejectUnauthorized: false } as const;
          using contexts = new Contexts(version, expired, client);
          using link = contexts.link(undefined, serverName).connect();
          assertEquals([serverName, link.client.verifyResult.name], [serverName, name]);
          link.close();
        }
      }),
    );

    it(
      "of a client lets a server be that is not trusted or has another name",
      leavingNothing(() => {
        const trusted = credentials.certificate;
        for (
          const [client, serverName, name] of [
            [{}, "localhost", "DEPTH_ZERO_SELF_SIGNED_CERT"],
            [{ certificateAuthorities: trusted }, "elsewhere", "HOSTNAME_MISMATCH"],
            [{ certificateAuthorities: trusted }, "localhost", "OK"],
          ] as const
        ) {
          using contexts = new Contexts(version, {}, { ...client, verify: "require", rejectUnauthorized: false });
          using link = contexts.link(undefined, serverName).connect();
          assertEquals(link.client.verifyResult.name, name);
          link.close();
          using strict = new Contexts(version, {}, { ...client, verify: "require" });
          using second = strict.link(undefined, serverName);
          const error = thrownBy(() => second.connect());
          if (name === "OK") second.close();
          else assertInstanceOf(error, OpenSslError);
        }
      }),
    );

    it(
      "makes no session that resumes where certificates are verified",
      leavingNothing(() => {
        const versionsOf = { minVersion: version, maxVersion: version };
        for (const unverified of [{ rejectUnauthorized: false }, { verify: "none" } as const]) {
          using contexts = new Contexts(version, {}, { verify: "require", ...asItComes, ...unverified });
          using strict = SslContext.client(versionsOf);
          using link = new Link({ server: contexts.server, client: strict }, contexts.resumable(), "localhost");
          assertStringIncludes(String(thrownBy(() => link.connect())), "session in different context");
          assertEquals(link.client.isEstablished, false);
        }
        // Nor does a server's, though both have the same names and the same authorities.
        const server = { ...asItComes, numTickets: 1, options: SslOption.NoTicket };
        using contexts = new Contexts(version, { ...server, ...lax }, eve);
        const kept = new Map<string, Session>();
        contexts.server.setNewSessionCallback((_connection, session) => kept.set(hex(session.id), session).size > 0);
        const session = contexts.resumable();
        for (const [options, isLetIn] of [[trusting, false], [lax, true]] as const) {
          using other = SslContext.server({ ...credentials, ...server, ...options, ...versionsOf });
          other.setGetSessionCallback((_connection, id) => kept.get(hex(id)));
          using copy = Session.fromDer(session.toDer());
          using link = new Link({ server: other, client: contexts.client }, copy, "localhost");
          const error = thrownBy(() => link.connect());
          if (!isLetIn) assertStringIncludes(String(error), "certificate verify failed");
          assertEquals([link.server.isEstablished, link.server.isResumed], [isLetIn, isLetIn]);
          if (isLetIn) link.close();
        }
        for (const session of kept.values()) session.dispose();
      }),
    );

    it(
      "does not go over to another context of useContext(), nor is it lost there",
      leavingNothing(() => {
        const versionsOf = { minVersion: version, maxVersion: version };
        for (
          const [own, target, isLetIn] of [[lax, trusting, false], [trusting, lax, true], [{}, lax, true]] as const
        ) {
          using contexts = new Contexts(version, own, eve);
          using other = SslContext.server({ ...credentials, ...target, ...versionsOf });
          contexts.server.setClientHelloCallback((_connection, hello) => {
            hello.useContext(other);
            return "continue";
          });
          using link = contexts.link();
          const error = thrownBy(() => link.connect());
          assertEquals(link.server.isEstablished, isLetIn);
          if (!isLetIn) assertStringIncludes(String(error), "certificate verify failed");
        }
        // One that is trusted gets in where everybody did before.
        using contexts = new Contexts(version, lax, alice);
        using other = SslContext.server({ ...credentials, ...trusting, ...versionsOf });
        contexts.server.setClientHelloCallback((_connection, hello) => {
          hello.useContext(other);
          return "continue";
        });
        using link = contexts.link().connect();
        assertEquals(link.server.verifyResult.name, "OK");
        link.close();
      }),
    );
  });
}

describe("the derived session id context", () => {
  it(
    "tells who rejects from who does not, and is else what it was",
    leavingNothing(() => {
      const strict = idContext({ ...credentials, ...trusting });
      assertEquals(idContext({ ...credentials, ...trusting, rejectUnauthorized: true }), strict);
      const others = [lax, { ...lax, verify: "request" as const }, { ...trusting, verify: "request" as const }];
      const all = new Set([strict, ...others.map((options) => idContext({ ...credentials, ...options }))]);
      assertEquals(all.size, 4);
      // Where none is asked for there is none to reject.
      assertEquals(idContext({ ...credentials, rejectUnauthorized: false }), idContext(credentials));
      const block = alice.certificate.replace(/\s/g, "");
      const hash = createHash("sha256").update(`openssl-sessions\0verify require\0${block}`);
      assertEquals(idContext(trusting), hash.digest("hex"));
      assertEquals(idContext({}, "client"), hex(bytes("openssl-sessions")));
      assertEquals(idContext({ rejectUnauthorized: false }, "client"), idContext({ verify: "none" }, "client"));
      assertEquals(idContext({ verify: "none" }, "client") === idContext({}, "client"), false);
    }),
  );
});

describe("VerifyResult.name", () => {
  it("is the code's name as node:tls has it", () => {
    const expected = {
      0: "OK",
      2: "UNABLE_TO_GET_ISSUER_CERT",
      9: "CERT_NOT_YET_VALID",
      10: "CERT_HAS_EXPIRED",
      18: "DEPTH_ZERO_SELF_SIGNED_CERT",
      19: "SELF_SIGNED_CERT_IN_CHAIN",
      20: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
      21: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
      23: "CERT_REVOKED",
      28: "CERT_REJECTED",
      62: "HOSTNAME_MISMATCH",
    };
    for (const [code, name] of Object.entries(expected)) assertEquals(verifyName(Number(code)), name);
    // Those of which node:tls has no name, by OpenSSL's.
    const others = {
      29: "SUBJECT_ISSUER_MISMATCH",
      61: "SUITE_B_CANNOT_SIGN_P_384_WITH_P_256",
      64: "IP_ADDRESS_MISMATCH",
      70: "STORE_LOOKUP",
      94: "EC_KEY_EXPLICIT_PARAMS",
      104: "DUPLICATE_EXTENSION",
    };
    for (const [code, name] of Object.entries(others)) assertEquals(verifyName(Number(code)), name);
    for (const code of [1, -1, 105, 1000]) assertEquals(verifyName(code), "UNSPECIFIED");
  });
});
