import { assertEquals, assertInstanceOf, assertStringIncludes, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import {
  type ClientHello,
  MemoryStore,
  OpenSslError,
  ReleasedError,
  selfSigned,
  SessionCache,
  SessionCacheMode,
  SslConnection,
  SslContext,
  type SslContextOptions,
  SslOption,
} from "../mod.ts";
import type { Pointer } from "../ffi/types.ts";
import { contextPointer, contextState } from "../ssl/context.ts";
import { library } from "../ssl/library.ts";
import { counts, leavingNothing } from "./counts.ts";
import { bytes, Contexts, Link, thrownBy, type Version, versions } from "./support.ts";

const certificates = { aa: selfSigned(["aa"]), bb: selfSigned(["bb"]), cc: selfSigned(["cc"]) };
const asItComes = { sessionIdContext: undefined } as unknown as SslContextOptions;

/** A server whose client hello callback goes on with the context of the name that the client asks for. */
class Names extends Contexts {
  readonly others: Record<string, SslContext>;
  /** How many times the callback ran. */
  hellos = 0;

  constructor(
    version: Version,
    server: SslContextOptions = {},
    client: SslContextOptions = {},
    other: SslContextOptions = {},
  ) {
    super(version, { ...asItComes, ...server }, client);
    const versions = { minVersion: version, maxVersion: version };
    this.others = Object.fromEntries(
      Object.entries(certificates).map(([name, credentials]) => [
        name,
        SslContext.server({ ...credentials, ...versions, ...other }),
      ]),
    );
    this.server.setClientHelloCallback((_connection, hello) => {
      this.hellos++;
      this.choose(hello);
      return "continue";
    });
  }

  choose(hello: ClientHello): void {
    const other = this.others[hello.serverName ?? ""];
    if (other) hello.useContext(other);
  }

  /** A visit that asks for a name, with the newest session or none. */
  ask(name: string, session = this.sessions.at(-1)): { subject: string; isResumed: boolean } {
    using link = this.link(session, name);
    link.connect();
    const { subject } = link.client.peerCertificate!;
    const { isResumed } = link.server;
    link.close();
    return { subject, isResumed };
  }

  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    for (const other of Object.values(this.others)) other.dispose();
  }
}

for (const version of versions) {
  describe(`${version}: ClientHello.useContext()`, () => {
    it(
      "goes on with the certificate of another context, for this connection alone",
      leavingNothing(() => {
        using names = new Names(version);
        for (const name of ["aa", "bb", "localhost", "cc", "aa"]) {
          assertEquals(names.ask(name, undefined), { subject: `CN=${name}`, isResumed: false });
        }
      }),
    );

    it(
      "leaves the callbacks as the connection's own context has them",
      leavingNothing(() => {
        const lines: string[] = [];
        const otherLines: string[] = [];
        using names = new Names(
          version,
          { alpnProtocols: ["h2"], keylog: (_connection, line) => lines.push(line), numTickets: 1 },
          { alpnProtocols: ["http/1.1", "h2"] },
          { alpnProtocols: ["http/1.1"], keylog: (_connection, line) => otherLines.push(line) },
        );
        const calls: string[] = [];
        names.server.setNewSessionCallback(() => void calls.push("new"));
        names.server.setGetSessionCallback(() => void calls.push("get"));
        names.server.setGenerateSessionIdCallback(() => void calls.push("generate"));
        names.others["aa"]!.setClientHelloCallback(() => {
          throw new Error("It is called for its own connections alone");
        });
        names.others["aa"]!.setNewSessionCallback(() => {
          throw new Error("It is called for its own connections alone");
        });
        {
          using link = names.link(undefined, "aa");
          link.connect();
          assertEquals(link.server.alpnProtocol, "h2");
          assertEquals(link.server.serverName, "aa");
          link.close();
        }
        assertEquals(calls, ["generate", "new"]);
        assertEquals(lines.length, version === "TLSv1.3" ? 5 : 1);
        assertEquals(otherLines, []);
        // Through a context that has none of these callbacks itself.
        using bare = new Names(version, { alpnProtocols: ["h2"], keylog: (_connection, line) => lines.push(line) }, {
          alpnProtocols: ["h2"],
        });
        lines.length = 0;
        using link = bare.link(undefined, "bb");
        link.connect();
        assertEquals(link.server.alpnProtocol, "h2");
        assertEquals(lines.length, version === "TLSv1.3" ? 5 : 1);
        link.close();
      }),
    );

    it(
      "leaves the other context's own connections as they were",
      leavingNothing(() => {
        using names = new Names(version, { alpnProtocols: ["h2"] }, { alpnProtocols: ["h2"] });
        names.ask("aa", undefined);
        names.hellos = 0;
        using link = new Link({ server: names.others["aa"]!, client: names.client }, undefined, "bb");
        link.connect();
        assertEquals(link.client.peerCertificate!.subject, "CN=aa");
        assertEquals(link.server.alpnProtocol, undefined);
        assertEquals(names.hellos, 0);
        link.close();
      }),
    );

    it(
      "is asked again after a suspension, and may answer otherwise",
      leavingNothing(() => {
        using names = new Names(version);
        const order = ["aa", "bb", "bb", "localhost", "cc"];
        let runs = 0;
        names.server.setClientHelloCallback((_connection, hello) => {
          const name = order[runs++]!;
          hello.useContext(names.others[name] ?? names.server);
          // Clearing a context's callback must not keep others' from being called.
          names.others[name]?.setClientHelloCallback(null);
          names.others[name]?.setKeylogCallback(null);
          return runs < order.length ? "suspend" : "continue";
        });
        using link = names.link(undefined, "aa");
        for (let n = 1; n < order.length; n++) assertEquals(link.half(), "wants-lookup");
        link.connect();
        assertEquals(runs, order.length);
        assertEquals(link.client.peerCertificate!.subject, "CN=cc");
        link.close();
      }),
    );

    for (const cached of ["tickets", "the internal cache", "a SessionCache"] as const) {
      it(
        `keeps sessions of one name from resuming under another, with ${cached}`,
        leavingNothing(() => {
          const options = cached === "tickets" ? 0 : SslOption.NoTicket;
          using names = new Names(version, { options, sessionCacheMode: SessionCacheMode.Server, numTickets: 1 });
          if (cached === "a SessionCache") {
            const cache = new SessionCache({ store: new MemoryStore() });
            cache.attach(names.server);
            const lookUp = contextState(names.server).clientHello!;
            names.server.setClientHelloCallback((connection, hello) => {
              names.choose(hello);
              return lookUp(connection, hello);
            });
          }
          for (const name of ["aa", "bb", "localhost"]) {
            assertEquals(names.ask(name, undefined).isResumed, false);
            const session = names.sessions.at(-1)!;
            for (const other of ["bb", "localhost", "aa", "cc"].filter((other) => other !== name)) {
              assertEquals(names.ask(other, session), { subject: `CN=${other}`, isResumed: false });
            }
            // What TLS 1.3 has taken from the store is gone.
            const fresh = () => (names.ask(name, undefined), names.sessions.at(-1));
            assertEquals(names.ask(name, cached === "a SessionCache" ? fresh() : session).isResumed, true);
          }
        }),
      );
    }

    it(
      "binds sessions to the other context also where a session id context was set after the connection was made",
      leavingNothing(() => {
        using names = new Names(version, { options: SslOption.NoTicket });
        using link = names.link(undefined, "aa");
        names.server.setSessionIdContext("set later");
        link.connect();
        using session = link.server.session();
        using plain = SslContext.server(certificates.aa);
        using own = SslConnection.server(plain);
        assertEquals(session!.idContext, own.sessionIdContext);
        assertEquals(link.server.sessionIdContext, session!.idContext);
        link.close();
      }),
    );

    it(
      "tells connection.sessionIdContext, and takes it back",
      leavingNothing(() => {
        using names = new Names(version, { sessionIdContext: "own" }, {}, { sessionIdContext: "other" });
        const seen: Uint8Array[] = [];
        names.server.setClientHelloCallback((connection, hello) => {
          seen.push(connection.sessionIdContext);
          hello.useContext(names.others["aa"]!);
          seen.push(connection.sessionIdContext);
          hello.useContext(names.server);
          seen.push(connection.sessionIdContext);
          return "continue";
        });
        assertEquals(names.ask("aa").subject, "CN=localhost");
        assertEquals(seen, [bytes("own"), bytes("other"), bytes("own")]);
      }),
    );

    it(
      "asks for client certificates as the other context does, and trusts whom it trusts",
      leavingNothing(() => {
        const alice = selfSigned(["alice"]);
        const trusting = { verify: "require", certificateAuthorities: alice.certificate } as const;
        {
          using names = new Names(version, {}, alice, trusting);
          using link = names.link(undefined, "aa");
          link.connect();
          assertEquals(link.server.peerCertificate!.subject, "CN=alice");
          assertEquals(link.server.verifyResult.code, 0);
          link.close();
          using plain = names.link(undefined, "localhost");
          plain.connect();
          assertEquals(plain.server.peerCertificate, undefined);
          plain.close();
        }
        for (const [client, reason] of [[{}, "peer did not return"], [selfSigned(["eve"]), "verify failed"]] as const) {
          using names = new Names(version, {}, client, trusting);
          using link = names.link(undefined, "aa");
          const error = thrownBy(() => link.connect());
          assertInstanceOf(error, OpenSslError);
          assertStringIncludes((error as Error).message, reason);
        }
        // And the other way round: the name that is asked for has the say.
        using names = new Names(version, trusting, {}, {});
        assertEquals(names.ask("bb").subject, "CN=bb");
      }),
    );

    it(
      "holds the other context for as long as the connection lives, and no longer",
      leavingNothing(() => {
        using names = new Names(version);
        const before = counts().contexts;
        const link = names.link(undefined, "aa");
        names.server.setClientHelloCallback((_connection, hello) => {
          hello.useContext(names.others["aa"]!);
          names.others["aa"]!.dispose();
          hello.useContext(names.others["bb"]!);
          hello.useContext(names.others["bb"]!);
          names.others["bb"]!.dispose();
          assertThrows(() => hello.useContext(names.others["bb"]!), ReleasedError);
          return "continue";
        });
        link.connect();
        assertEquals(link.client.peerCertificate!.subject, "CN=bb");
        assertEquals(counts().contexts, before - 1, "The first one has ended, the second is in use");
        names.server.dispose();
        link.dispose();
        assertEquals(counts().contexts, before - 3);
      }),
    );

    it(
      "may be followed by the end of the connection",
      leavingNothing(() => {
        using names = new Names(version);
        for (const name of ["aa", "localhost"]) {
          using link = names.link(undefined, name);
          let hello: ClientHello | undefined;
          names.server.setClientHelloCallback((connection, given) => {
            hello = given;
            names.choose(given);
            connection.dispose();
            assertThrows(() => given.useContext(names.others["bb"]!), ReleasedError);
            return "continue";
          });
          assertInstanceOf(thrownBy(() => link.half()), ReleasedError);
          assertThrows(() => hello!.useContext(names.others["aa"]!), TypeError, "after its callback has returned");
        }
      }),
    );

    it(
      "refuses contexts that cannot serve, and goes on with the one there is",
      leavingNothing(() => {
        using names = new Names(version);
        const pointer = library().ssl.SSL_CTX_new(library().ssl.TLS_server_method()) as Pointer;
        using foreign = SslContext.fromPointer(pointer);
        library().ssl.SSL_CTX_free(pointer);
        const gone = SslContext.server(certificates.aa);
        gone.dispose();
        names.server.setClientHelloCallback((_connection, hello) => {
          assertThrows(() => hello.useContext(names.client), TypeError, "it is a client's");
          assertThrows(() => hello.useContext(foreign), TypeError, "it is one that other code made");
          assertThrows(() => hello.useContext(gone), ReleasedError);
          assertThrows(() => hello.useContext({} as SslContext), TypeError);
          return "continue";
        });
        assertEquals(names.ask("aa").subject, "CN=localhost");
      }),
    );

    it(
      "refuses connections that other code made",
      leavingNothing(() => {
        using names = new Names(version);
        const { ssl, crypto } = library();
        const connection = ssl.SSL_new(contextPointer(names.server)) as Pointer;
        const input = crypto.BIO_new(crypto.BIO_s_mem()) as Pointer;
        ssl.SSL_set_bio(connection, input, crypto.BIO_new(crypto.BIO_s_mem()));
        ssl.SSL_set_accept_state(connection);
        let error: unknown;
        names.server.setClientHelloCallback((_connection, hello) => {
          error = thrownBy(() => hello.useContext(names.others["aa"]!));
          return "refuse";
        });
        using client = SslConnection.client(names.client);
        client.handshake();
        const chunk = new Uint8Array(20_000);
        crypto.BIO_write(input, chunk, client.pullCiphertext(chunk));
        ssl.SSL_do_handshake(connection);
        ssl.SSL_free(connection);
        crypto.ERR_clear_error();
        assertInstanceOf(error, TypeError);
        assertStringIncludes((error as Error).message, "belongs to the code that made it");
      }),
    );
  });
}

describe("ClientHello.useContext() and a HelloRetryRequest", () => {
  it(
    "asks again for the second ClientHello",
    leavingNothing(() => {
      using names = new Names("TLSv1.3", { groups: "P-384" }, { groups: "P-256:P-384" });
      assertEquals(names.ask("aa"), { subject: "CN=aa", isResumed: false });
      assertEquals(names.hellos, 2);
      names.hellos = 0;
      names.server.setClientHelloCallback((_connection, hello) => {
        hello.useContext(names.others[names.hellos++ === 0 ? "aa" : "bb"]!);
        return "continue";
      });
      assertEquals(names.ask("aa", undefined).subject, "CN=bb");
      assertEquals(names.hellos, 2);
    }),
  );
});

describe("ClientHello.serverName", () => {
  it(
    "is what the client sent in the one form of names, or undefined",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.3");
      const seen: (string | undefined)[] = [];
      contexts.server.setClientHelloCallback((_connection, hello) => {
        seen.push(hello.serverName);
        return "continue";
      });
      for (const name of ["Example.COM", "localhost", "127.0.0.1"]) {
        using link = contexts.link(undefined, name);
        link.half();
      }
      using link = new Link(contexts);
      link.half();
      assertEquals(seen, ["example.com", "localhost", undefined, undefined]);
    }),
  );
});
