import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { type Credentials, MemoryStore, selfSigned, SessionCache, SslContext, type SslContextOptions } from "../mod.ts";
import { listen } from "../mod.ts";
import { nameOnly, selfSignedBy } from "./certificate_support.ts";
import { leavingNothing } from "./counts.ts";
import { sClient } from "./curl_support.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { Contexts } from "./support.ts";

const onCurve = (curve: string, name: string) =>
  selfSignedBy(["-newkey", "ec", "-pkeyopt", `ec_paramgen_curve:${curve}`], name);

/** Curves that TLS 1.3 does not know, as far as this OpenSSL has them: from 4.0 on it is built without some. */
const curves = ["brainpoolP256r1", "secp256k1", "secp224r1"].filter((groups) => {
  try {
    SslContext.client({ groups }).dispose();
    return true;
  } catch {
    return false;
  }
});
const [curve] = curves as [string];

/** Clients that speak both versions, and know these curves: the default leaves them out. */
const groups = ["P-256", ...curves].join(":");

/** Two ends of both versions. */
function both(server: SslContextOptions, client: SslContextOptions = {}): Contexts {
  const versions = { minVersion: "TLSv1.2", maxVersion: "TLSv1.3" } as const;
  return new Contexts("TLSv1.3", { ...versions, ...server }, { ...versions, groups, ...client });
}

describe("A certificate that TLS 1.3 cannot use", () => {
  for (const curve of curves) {
    it(
      `with a key on ${curve} is served with TLS 1.2 to a client of both, and resumes`,
      leavingNothing(() => {
        const credentials = onCurve(curve, "localhost");
        using contexts = both(credentials);
        new SessionCache({ store: new MemoryStore() }).attach(contexts.server);
        for (const resumed of [false, true]) {
          using link = contexts.link(contexts.sessions.at(-1)).connect();
          assertEquals([link.client.protocol, link.client.isResumed], ["TLSv1.2", resumed]);
          // A client takes the mark of a downgrade for an attack.
          link.close();
        }
      }),
    );
  }

  for (const curve of ["P-256", "P-384", "P-521"]) {
    it(
      `is not one with a key on ${curve}`,
      leavingNothing(() => {
        using contexts = both(onCurve(curve, "localhost"), { groups: `${curve}` });
        using link = contexts.link().connect();
        assertEquals(link.client.protocol, "TLSv1.3");
        link.close();
      }),
    );
  }

  it(
    "beside one that it can use leaves the choice to libssl",
    leavingNothing(() => {
      const rsa = selfSignedBy(["-newkey", "rsa:2048"], "localhost");
      using contexts = both({ ...onCurve(curve, "localhost"), moreCertificates: [rsa] });
      using link = contexts.link().connect();
      assertEquals(link.client.protocol, "TLSv1.3");
      link.close();
    }),
  );

  it(
    "limits its own name, whichever comes first",
    leavingNothing(() => {
      const versions = { minVersion: "TLSv1.2", maxVersion: "TLSv1.3" } as const;
      const old = onCurve(curve, "old.example");
      const modern = nameOnly("new.example");
      for (const [first, other] of [[old, modern], [modern, old]] as const) {
        using contexts = both(first);
        using second = SslContext.server({ ...versions, ...other });
        contexts.server.setClientHelloCallback((_connection, hello) => {
          hello.useContext(second.serverNames.includes(hello.serverName!) ? second : contexts.server);
          return "continue";
        });
        for (const [name, protocol] of [["old.example", "TLSv1.2"], ["new.example", "TLSv1.3"]] as const) {
          using link = contexts.link(undefined, name).connect();
          assertEquals([name, link.client.protocol], [name, protocol]);
          assertEquals(link.client.peerCertificate!.subject, `CN=${name}`);
          link.close();
        }
      }
    }),
  );

  it(
    "is given back the context's own limit by a change of mind",
    leavingNothing(() => {
      using contexts = both({ ...selfSigned(), maxVersion: "TLSv1.3" });
      using second = SslContext.server(onCurve(curve, "old.example"));
      contexts.server.setClientHelloCallback((_connection, hello) => {
        hello.useContext(second);
        hello.useContext(contexts.server);
        return "continue";
      });
      using link = contexts.link().connect();
      assertEquals(link.client.protocol, "TLSv1.3");
      link.close();
    }),
  );

  it(
    "is refused by its name where nothing but TLS 1.3 is spoken",
    leavingNothing(() => {
      const error = assertThrows(
        () => SslContext.server({ ...onCurve(curve, "old.example"), minVersion: "TLSv1.3" }),
        TypeError,
      );
      assertStringIncludes(error.message, "Cannot speak TLSv1.3 with the certificate for old.example");
    }),
  );

  it(
    "connects openssl s_client through listen(), by the first name and by another",
    leavingNothingLater(async () => {
      const certificates: Credentials[] = [selfSigned(["new.example"]), onCurve(curve, "old.example")];
      const hello = new TextEncoder().encode("hello");
      for (const ordered of [certificates, certificates.toReversed()]) {
        const options = { certificates: ordered, hostname: "127.0.0.1" };
        await using server = await listen(options, { open: (socket) => socket.end(hello) });
        for (const [name, protocol] of [["old.example", "TLSv1.2"], ["new.example", "TLSv1.3"]] as const) {
          const report = await sClient(server.port, ["-servername", name, "-groups", groups]);
          assertEquals([name, report.protocol], [name, protocol]);
        }
      }
    }),
  );
});

describe("honorCipherOrder", () => {
  const offers = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"];
  const suites = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"];
  for (
    const [version, list, names] of [["TLSv1.2", "cipherList", offers], ["TLSv1.3", "cipherSuites", suites]] as const
  ) {
    for (const honorCipherOrder of [undefined, true, false]) {
      it(
        `as ${honorCipherOrder} has ${
          honorCipherOrder === false ? "the client" : "the server"
        } choose, with ${version}`,
        leavingNothing(() => {
          const [first, second] = names as [string, string];
          const order = honorCipherOrder === undefined ? {} : { honorCipherOrder };
          using contexts = new Contexts(version, { [list]: `${first}:${second}`, ...order }, {
            [list]: `${second}:${first}`,
          });
          using link = contexts.link().connect();
          assertEquals(link.client.cipher, honorCipherOrder === false ? second : first);
          link.close();
        }),
      );
    }
  }
});
