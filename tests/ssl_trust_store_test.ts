import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { utimesSync, writeFileSync } from "node:fs";
import process from "node:process";
import { selfSigned, SslContext } from "../mod.ts";
import type { Pointer } from "../mod.ts";
import { contextPointer } from "../ssl/context.ts";
import { library } from "../ssl/library.ts";
import { leavingNothing } from "./counts.ts";
import { TemporaryFolder } from "./server_support.ts";
import { Contexts, credentials, Link, versions } from "./support.ts";

/** Where the certificates lie that a context trusts. */
function storeOf(context: SslContext): bigint | number {
  const { ssl, memory } = library();
  return memory.keyOf(ssl.SSL_CTX_get_cert_store(contextPointer(context)) as Pointer);
}

describe("The authorities that contexts trust", () => {
  it(
    "are read once for contexts that trust the same, and again when none is left",
    leavingNothing(() => {
      const certificateAuthorities = credentials.certificate;
      using first = SslContext.server({ ...credentials, certificateAuthorities, verify: "require" });
      using second = SslContext.client({ certificateAuthorities });
      using other = SslContext.client({ certificateAuthorities: selfSigned().certificate });
      assertEquals(storeOf(second), storeOf(first));
      assertNotEquals(storeOf(other), storeOf(first));
      second.dispose();
      first.dispose();
      using third = SslContext.client({ certificateAuthorities });
      using server = SslContext.server(credentials);
      using link = new Link({ server, client: third }, undefined, "localhost");
      link.connect();
      assertEquals(link.client.verifyResult.name, "OK");
      link.close();
    }),
  );

  for (const version of versions) {
    it(
      `serve connections that outlive their contexts, with ${version}`,
      leavingNothing(() => {
        using contexts = new Contexts(version, {}, {
          certificateAuthorities: credentials.certificate,
          verify: "require",
        });
        using link = contexts.link();
        contexts.client.dispose();
        contexts.server.dispose();
        link.connect();
        assertEquals(link.client.verifyResult.name, "OK");
        link.close();
      }),
    );
  }

  it(
    "of the system are loaded once for all, and anew when they have changed",
    leavingNothing(() => {
      using folder = new TemporaryFolder();
      const file = folder.file("system.pem");
      writeFileSync(file, credentials.certificate);
      const before = process.env.SSL_CERT_FILE;
      process.env.SSL_CERT_FILE = file;
      try {
        using first = SslContext.client();
        using second = SslContext.client();
        assertEquals(storeOf(second), storeOf(first));
        const earlier = storeOf(first);
        second.dispose();
        first.dispose();
        using third = SslContext.client();
        assertEquals(storeOf(third), earlier);
        utimesSync(file, new Date(0), new Date(0));
        using fourth = SslContext.client();
        assertNotEquals(storeOf(fourth), earlier);
      } finally {
        if (before === undefined) delete process.env.SSL_CERT_FILE;
        else process.env.SSL_CERT_FILE = before;
      }
    }),
  );

  it(
    "that cannot be read leave nothing behind",
    leavingNothing(() => {
      const wrong = credentials.certificate + credentials.certificate.slice(0, 200);
      for (let attempt = 0; attempt < 3; attempt++) {
        assertThrows(() => SslContext.client({ certificateAuthorities: wrong }), Error, "number 2 of 2 is damaged");
      }
      SslContext.client({ certificateAuthorities: credentials.certificate }).dispose();
    }),
  );
});
