import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { selfSigned, SslConnection, SslContext } from "../mod.ts";
import { nameInBytes } from "../ssl/names.ts";
import { serverNamesIn } from "../ssl/server_names.ts";
import { leavingNothing } from "./counts.ts";
import { bytes, Contexts, versions } from "./support.ts";

/** The name that a server sees where a client sends other bytes of the same length in its place. */
function seen(sent: Uint8Array): string | undefined {
  using contexts = new Contexts("TLSv1.2");
  const name = "z".repeat(sent.length);
  let serverName: string | undefined = "none was asked for";
  contexts.server.setClientHelloCallback((_connection, hello) => {
    serverName = hello.serverName;
    return "suspend";
  });
  using link = contexts.link(undefined, name);
  link.client.handshake();
  const buffer = new Uint8Array(20_000);
  const hello = buffer.subarray(0, link.client.pullCiphertext(buffer));
  const at = new TextDecoder("latin1").decode(hello).indexOf(name);
  assert(at > 0);
  hello.set(sent, at);
  link.server.pushCiphertext(hello);
  link.server.handshake();
  link.server.shutdownQuietly();
  link.client.shutdownQuietly();
  return serverName;
}

describe("A server name", () => {
  it(
    "is the same in each form that a client sends it in, and none where it is no name",
    leavingNothing(() => {
      const sent: [string, string | undefined][] = [
        ["example.com", "example.com"],
        ["EXAMPLE.com", "example.com"],
        ["example.com.", "example.com"],
        ["example.com..", undefined],
        ["xn--BCHER-kva.example", "xn--bcher-kva.example"],
        ["b\xfccher.example", undefined],
        ["exam\0ple.com", undefined],
        ["a b.example", undefined],
        [".example.com", undefined],
        ["*.example.com", undefined],
        ["127.0.0.1", "127.0.0.1"],
        ["0:0::1", "::1"],
        ["[::1]", "::1"],
        ["under_score.example", "under_score.example"],
      ];
      for (const [text, name] of sent) {
        const raw = Uint8Array.from(text, (character) => character.charCodeAt(0));
        assertEquals([text, seen(raw)], [text, name]);
      }
      const label = "a".repeat(64);
      assertEquals(nameInBytes(bytes(`${label.slice(1)}.example`)), `${label.slice(1)}.example`);
      assertEquals(nameInBytes(bytes(`${label}.example`)), undefined);
      assertEquals(nameInBytes(bytes("a.".repeat(126) + "a")), "a.".repeat(126) + "a");
      assertEquals(nameInBytes(bytes("a.".repeat(127) + "a")), undefined);
      assertEquals(nameInBytes(new Uint8Array(65_000).fill(0x61)), undefined);
    }),
  );

  for (const version of versions) {
    it(
      `is expected and sent in ASCII, with ${version}`,
      leavingNothing(() => {
        const credentials = selfSigned(["bücher.example", "*.Faß.example", "::1"]);
        const names = ["xn--bcher-kva.example", "*.xn--fa-hia.example", "::1"];
        for (
          const [expected, sent] of [
            ["BÜCHER.example.", "xn--bcher-kva.example"],
            ["a.faß.example", "a.xn--fa-hia.example"],
            ["::1%lo", undefined],
            ["[0::1]", undefined],
          ] as const
        ) {
          const trust = { certificateAuthorities: credentials.certificate, verify: "require" } as const;
          using contexts = new Contexts(version, credentials, trust);
          assertEquals(contexts.server.serverNames, names);
          using link = contexts.link(undefined, expected).connect();
          assertEquals(link.client.verifyResult.name, "OK");
          assertEquals([link.server.serverName, link.client.serverName], [sent, sent]);
          assertEquals(contexts.sessions.at(-1)!.serverName, sent);
          link.close();
        }
      }),
    );
  }

  it(
    "that is none is refused, and the message says why",
    leavingNothing(() => {
      using context = SslContext.client();
      for (
        const [name, why] of [
          ["a..example", "an empty label"],
          [`${"a".repeat(64)}.example`, "63 at most"],
          ["a\0.example", "a NUL character"],
          ["a b", "letters, digits and hyphens"],
          ["１２７.0.0.1", "address"],
          ["a.".repeat(130), "253 at most"],
          ["*.example.com", "letters, digits and hyphens"],
        ] as const
      ) {
        const error = assertThrows(() => SslConnection.client(context, { serverName: name }), TypeError);
        assertStringIncludes(error.message, "Cannot expect the server name ");
        assertStringIncludes(error.message, why);
      }
      for (const name of ["", "a b", "*", "a..b", "*.1.2.3.4", 1]) {
        assertThrows(() => selfSigned([name as string]), TypeError, "Cannot make a certificate for ");
      }
    }),
  );

  it("in a certificate's subject counts where it is a host's, and only there", () => {
    const subject = (tag: number, value: string) => {
      const text = Uint8Array.from(value, (character) => character.charCodeAt(0));
      const wrap = (tag: number, ...parts: Uint8Array[]) => {
        const content = parts.flatMap((part) => [...part]);
        return Uint8Array.from([tag, content.length, ...content]);
      };
      const attribute = (last: number, tag: number, text: Uint8Array) =>
        wrap(0x31, wrap(0x30, Uint8Array.from([6, 3, 0x55, 4, last]), wrap(tag, text)));
      return wrap(0x30, attribute(10, 0x0c, bytes("other.example")), attribute(3, tag, text));
    };
    for (
      const [tag, value, names] of [
        [0x0c, "Example.COM", ["example.com"]],
        [0x13, "*.example.com", ["*.example.com"]],
        [0x16, "example.com.", ["example.com"]],
        [0x0c, "An organisation", []],
        [0x0c, "127.0.0.1", []],
        [0x0c, "exam\0ple.com", []],
        [0x0c, "b\xfccher.example", []],
        [0x1e, "\0a\0.\0b", []],
      ] as const
    ) {
      assertEquals(serverNamesIn(subject(tag, value)), [...names]);
    }
    assertEquals(serverNamesIn(Uint8Array.from([0x30, 0x20, 1])), []);
  });
});
