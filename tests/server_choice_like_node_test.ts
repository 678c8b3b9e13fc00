/**
 * ALPNCallback, SNICallback and createSecureContext() of createServer() and of node:tls's: on Node both are asked, on Deno
 * and Bun ours alone, for what Node answers.
 */

import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { createSecureContext, createServer, selfSigned, type SniCallback, SslConnection, SslContext } from "../mod.ts";
import { SniQuestions } from "../server/sni_questions.ts";
import { standing } from "./counts.ts";
import { both, type EitherSocket, type LikeNode, listening, outcome, same, visit } from "./like_node_support.ts";
import { thisRuntime, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording } from "./socket_support.ts";
import { credentials, versions } from "./support.ts";

const pem = { key: credentials.privateKey, cert: credentials.certificate };
const other = selfSigned(["other.example", "localhost"]);
const otherPem = { key: other.privateKey, cert: other.certificate };
const trust = { certificateAuthorities: credentials.certificate + other.certificate };

/** Which of the two certificates a client was shown. */
const shown = (_socket: EitherSocket, client: { getPeerCertificate(): { subjectaltname?: string } }) =>
  client.getPeerCertificate().subjectaltname!.includes("other.example") ? "other" : "own";

type Answer = (error: Error | null, context?: unknown) => void;

for (const version of versions) {
  const only = { minVersion: version, maxVersion: version, ...trust };
  describe(`${version}: createServer() and node:tls's choose the same by`, () => {
    same(
      "ALPNCallback",
      ["h2", "http/1.1", [["localhost", ["http/1.1", "h2"]], ["localhost", ["http/1.1", "h2"]]]],
      async (tls) => {
        const offers: unknown[] = [];
        const look = (socket: EitherSocket) => socket.alpnProtocol;
        const ask = (choose: (protocols: string[]) => string) =>
          visit(
            tls,
            {
              ALPNCallback: ({ servername, protocols }: { servername: string; protocols: string[] }) => {
                offers.push([servername, [...protocols]]);
                return choose(protocols);
              },
            },
            { ...only, alpnProtocols: ["http/1.1", "h2"] },
            look,
          );
        return [await ask(() => "h2"), await ask(([first]) => first!), offers];
      },
    );

    same(
      "ALPNCallback, which may refuse, answer nonsense, throw, or not be asked",
      ["out", "ERR_TLS_ALPN_CALLBACK_INVALID_RESULT", "no", false, 0, 1],
      async (tls) => {
        let calls = 0;
        let errors = 0;
        const offering = { ...only, alpnProtocols: ["h2"] };
        const refused = String(await visit(tls, { ALPNCallback: () => undefined }, offering)).split(":")[0];
        const nonsense = String(
          await visit(tls, { ALPNCallback: () => "spdy" }, offering, undefined, (server) => {
            server.on("tlsClientError", () => errors++);
          }),
        ).split(": ")[1];
        const thrown = thisRuntime === "node" && tls !== both[0] ? "no" : await visit(tls, {
          // What it throws would end a program that uses node:tls.
          ALPNCallback: () => {
            throw Object.assign(new Error("no"), { code: "no" });
          },
        }, offering).then((seen) => String(seen).split(": ")[1]);
        const unasked = await visit(tls, { ALPNCallback: () => void calls++ }, only, (socket) => socket.alpnProtocol);
        return [refused, nonsense, thrown, unasked, calls, errors];
      },
    );

    same("SNICallback, at once and later", ["other", "other", "own", "own", ["localhost"]], async (tls) => {
      const names: string[] = [];
      const context = tls.createSecureContext(otherPem);
      const ask = (SNICallback: (name: string, answer: Answer) => void) => visit(tls, { SNICallback }, only, shown);
      return [
        await ask((name, answer) => {
          names.push(name);
          answer(null, context);
        }),
        await ask((_name, answer) => void setTimeout(() => answer(null, context), 5)),
        await ask((_name, answer) => answer(null)),
        await ask((_name, answer) => answer(null, null)),
        names,
      ];
    });

    same("SNICallback, which may refuse", ["out: no", "out: later"], async (tls) => {
      const error = (code: string) => Object.assign(new Error(code), { code });
      return [
        await visit(tls, { SNICallback: (_name: string, answer: Answer) => answer(error("no")) }, only),
        await visit(tls, {
          SNICallback: (_name: string, answer: Answer) => void setTimeout(() => answer(error("later")), 5),
        }, only),
      ];
    });

    same("SNICallback, which is not asked by clients that name nobody", ["own", 0], async (tls) => {
      let calls = 0;
      const SNICallback = (_name: string, answer: Answer) => {
        calls++;
        answer(null);
      };
      return [await visit(tls, { SNICallback }, { ...only, serverName: "127.0.0.1" }, shown), calls];
    });

    same("SNICallback, in whose contexts clients' certificates stay required", ["out", "other"], async (tls) => {
      const context = tls.createSecureContext({ ...otherPem, ca: otherPem.cert });
      const options = {
        requestCert: true,
        ca: pem.cert,
        SNICallback: (_name: string, answer: Answer) => answer(null, context),
      };
      return [
        String(await visit(tls, options, only)).split(":")[0],
        await visit(tls, options, { ...only, ...other }, shown),
      ];
    });

    same(
      "addContext(), with what createSecureContext() answers",
      ["other", "own"],
      (tls) =>
        Promise.all(
          ["localhost", "elsewhere.example"].map((name) =>
            visit(tls, {}, only, shown, (server) => server.addContext(name, tls.createSecureContext(otherPem)))
          ),
        ),
    );
  });
}

describe("createServer() and node:tls's", () => {
  same(
    "refuse ALPNCallback beside ALPNProtocols",
    "TypeError ERR_TLS_ALPN_CALLBACK_WITH_PROTOCOLS",
    (tls) => outcome(() => tls.createServer({ ...pem, ALPNCallback: () => "h2", ALPNProtocols: ["h2"] })),
  );

  same(
    "end the handshake of a client whose SNICallback never answers",
    "out: ERR_TLS_HANDSHAKE_TIMEOUT",
    async (tls) => {
      // That of node:tls leaves it to the listener to close the connection.
      const close = (error: Error & { code?: string }, socket: { destroy(error?: Error): void }) =>
        socket.destroy(error);
      return await visit(tls, { SNICallback: () => {}, handshakeTimeout: 50 }, trust, undefined, (server) => {
        server.on("tlsClientError", close);
      });
    },
  );

  same(
    "refuse a certificate that is none in createSecureContext()",
    "Error ERR_OSSL_PEM_NO_START_LINE",
    (tls: LikeNode) => outcome(() => tls.createSecureContext({ ...pem, cert: "nope" })),
  );
});

describe("SNICallback of createServer()", () => {
  /** The code or the message of what ends the handshake. */
  async function refusal(SNICallback: unknown): Promise<string> {
    let told = "";
    await visit(both[0]!, { SNICallback }, trust, undefined, (server) => {
      server.on("tlsClientError", (error: Error) => told ||= error.message);
    });
    return told;
  }

  it(
    "may throw, reject, and answer what it must not: that ends the handshake, and tlsClientError says why",
    leavingNothingLater(async () => {
      const thrown = await refusal(() => {
        throw new Error("thrown");
      });
      const rejected = await refusal(() => Promise.reject(new Error("rejected")));
      const wrong = await refusal((_name: string, answer: Answer) => answer(null, pem));
      assertEquals([thrown, rejected, wrong.includes("createSecureContext()")], ["thrown", "rejected", true]);
    }),
  );

  it(
    "lets nobody in for throwing what looks like no error",
    leavingNothingLater(async () => {
      for (const thrown of ["", 0, false, null, undefined, NaN]) {
        const told = await refusal(() => {
          throw thrown;
        });
        assertStringIncludes(told, `SNICallback threw ${thrown === "" ? "an empty text" : thrown}`);
        assertEquals(await refusal(() => Promise.reject(thrown)), told);
      }
    }),
  );

  it(
    "may change the server, and answer twice",
    leavingNothingLater(async () => {
      const context = createSecureContext(otherPem);
      let server: { setSecureContext(options: object): void } | undefined;
      const SNICallback: SniCallback = (_name, answer) => {
        server!.setSecureContext(pem);
        answer(null, context);
        answer(new Error("too late"));
      };
      const seen = await visit(
        both[0]!,
        { SNICallback },
        trust,
        shown,
        (own) => server = own as unknown as typeof server,
      );
      assertEquals(seen, "other");
    }),
  );

  it(
    "may make a context for each client: not all of them are kept",
    leavingNothingLater(async () => {
      const SNICallback: SniCallback = (_name, answer) => answer(null, createSecureContext(otherPem));
      await using own = await listening(both[0]!, { ...pem, SNICallback });
      const before = standing().held.contexts;
      using client = new Client(trust);
      for (let turn = 0; turn < 300; turn++) {
        const recording = new Recording();
        const socket = await client.connect(own.port, recording.handlers);
        socket.end();
        await within(recording.closed, "the connection to close");
      }
      // Those that stay, and the client's own.
      assertEquals(standing().held.contexts - before, 256 + 1);
    }),
  );

  it("is asked anew where a client asks for another name after a HelloRetryRequest", () => {
    const names: string[] = [];
    const questions = new SniQuestions((name, answer) => {
      names.push(name);
      answer(name === "two.example" ? new Error("no") : null);
    }, () => {});
    using context = SslContext.server(credentials);
    using connection = SslConnection.server(context);
    const asked = ["one.example", "one.example", "two.example", "two.example"].map((name) => {
      const answer = questions.ask(connection, name)!;
      return [answer.isAnswered, answer.refusal !== undefined];
    });
    assertEquals(asked, [[true, false], [true, false], [true, true], [true, true]]);
    assertEquals(names, ["one.example", "two.example"]);
  });

  it("and createSecureContext() refuse what is not known", () => {
    assertThrows(() => createServer({ ...pem, SNICalback: () => {} } as object), TypeError, "SNICallback");
    assertThrows(() => createSecureContext({ ...pem, sessions: 5 } as object), TypeError, "sessions");
    assertThrows(() => createServer(pem).addContext("a.example", { context: {} } as object), TypeError, "context");
  });
});
