import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Contexts, versions } from "./support.ts";

for (const version of versions) {
  describe(`${version}: what was negotiated`, () => {
    it("is the cipher suite by all of its names, on both ends alike", () => {
      using contexts = new Contexts(version);
      using link = contexts.link();
      assertEquals(link.server.cipherNames, undefined);
      link.connect();
      const names = link.server.cipherNames!;
      assertEquals(names, link.client.cipherNames);
      assertEquals(names.name, link.server.cipher);
      assert(names.standardName.startsWith(version === "TLSv1.3" ? "TLS_AES_" : "TLS_ECDHE_"), names.standardName);
      assertEquals(names.version, version);
      link.close();
      assertThrows(() => link.server.cipherNames, Error, "dispose()");
    });

    it("is whether a certificate was asked for", () => {
      for (const [verify, asked] of [["none", false], ["request", true], ["require", true]] as const) {
        using contexts = new Contexts(version, { verify });
        using link = contexts.link();
        assertEquals(link.server.asksForCertificate, asked);
      }
    });

    it("gives both ends the same keying material, by label and context", () => {
      using contexts = new Contexts(version);
      using link = contexts.link();
      assertThrows(() => link.server.exportKeyingMaterial(32, "EXPORTER-test"), Error, "the handshake is not over");
      link.connect();
      const context = new Uint8Array([1, 2, 3]);
      const material = link.server.exportKeyingMaterial(32, "EXPORTER-test", context);
      assertEquals(material.length, 32);
      assertEquals(material, link.client.exportKeyingMaterial(32, "EXPORTER-test", context));
      assertNotEquals(material, link.client.exportKeyingMaterial(32, "EXPORTER-other", context));
      assertNotEquals(material, link.client.exportKeyingMaterial(32, "EXPORTER-test"));
      const none = link.server.exportKeyingMaterial(32, "EXPORTER-test");
      const empty = link.client.exportKeyingMaterial(32, "EXPORTER-test", new Uint8Array(0));
      if (version === "TLSv1.3") assertEquals(none, empty);
      else assertNotEquals(none, empty);
      link.close();
      assertThrows(() => link.server.exportKeyingMaterial(32, "EXPORTER-test"), Error, "dispose()");
    });

    it("gives no keying material of a wrong length, by a wrong label or for a context that is no bytes", () => {
      using contexts = new Contexts(version);
      using link = contexts.link();
      link.connect();
      for (const length of [0, -1, 1.5, NaN, 65_537]) {
        assertThrows(
          () => link.server.exportKeyingMaterial(length, "EXPORTER-test"),
          RangeError,
          `export ${length} bytes`,
        );
      }
      assertThrows(() => link.server.exportKeyingMaterial(1, "a\0b"), TypeError, "NUL");
      assertThrows(() => link.server.exportKeyingMaterial(1, "a", "text" as never), TypeError, "must be a Uint8Array");
      link.close();
    });
  });
}
