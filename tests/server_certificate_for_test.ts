/** Certificates that are asked for when a client asks for their name. */

import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { writeFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import {
  type CertificateOptions,
  type ErrorReport,
  listen,
  MemoryStore,
  selfSigned,
  type Server,
  SessionCache,
  type SessionStore,
  SslConnection,
  SslContext,
  type SslContextOptions,
  type TlsServerOptions,
} from "../mod.ts";
import { CertificatesOnDemand } from "../server/certificates_on_demand.ts";
import { selfSignedBy } from "./certificate_support.ts";
import { later } from "./client_support.ts";
import { leavingNothing } from "./counts.ts";
import { held } from "../ssl/library.ts";
import { TemporaryFolder, until, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording } from "./socket_support.ts";
import { bytes, credentials, versions } from "./support.ts";

const fallback = selfSigned(["fallback.example"]);

/** What a test sees of a server. */
interface Observed {
  readonly server: Server;
  readonly errors: { message: string; kind: string }[];
}

async function start(
  options: TlsServerOptions,
  test: (observed: Observed) => Promise<void>,
): Promise<void> {
  const errors: Observed["errors"] = [];
  const onError = ({ message }: Error, { kind }: ErrorReport) => void errors.push({ message, kind });
  const answering = { data: (socket: { end(bytes: Uint8Array): void }) => socket.end(bytes("answer")) };
  await using server = await listen({ hostname: "127.0.0.1", onError, ...options }, answering);
  await test({ server, errors });
}

/** The name in the certificate that a client gets that asks for a name, and whether it resumed. */
async function visit(client: Client, server: Server, serverName: string, session?: Client["sessions"][number]) {
  const recording = new Recording();
  const options = { serverName, ...(session && { session }) };
  const socket = await client.connect(server.port, recording.handlers, options);
  const answer = { subject: socket.peerCertificate!.subject.replace(/^CN=/, ""), isResumed: socket.isResumed };
  socket.write(bytes("hello"));
  await within(recording.closed, "the connection to close");
  return answer;
}

const subjectFor = async (server: Server, name: string) => {
  using client = new Client({ verify: "none" });
  return (await visit(client, server, name)).subject;
};

/** A store that answers later. */
class SlowStore extends MemoryStore {
  readonly calls: string[] = [];

  override get(key: string): Uint8Array | undefined {
    return this.#late("get", super.get(key));
  }
  override take(key: string): Uint8Array | undefined {
    return this.#late("take", super.take(key));
  }
  #late(operation: string, value: Uint8Array | undefined): Uint8Array | undefined {
    this.calls.push(operation);
    return setTimeout(5, value) as unknown as Uint8Array | undefined;
  }
}

describe("certificateFor()", () => {
  it(
    "is asked for names that no certificate is for, in their one form, and its answer is kept",
    leavingNothingLater(async () => {
      const asked: string[] = [];
      using folder = new TemporaryFolder();
      const inFiles = selfSigned(["files.example"]);
      writeFileSync(folder.file("cert.pem"), inFiles.certificate);
      writeFileSync(folder.file("key.pem"), inFiles.privateKey);
      using context = SslContext.server(selfSigned(["context.example"]));
      const answers: Record<string, () => Promise<CertificateOptions | SslContext> | CertificateOptions | SslContext> =
        {
          "now.example": () => selfSigned(["now.example"]),
          "later.example": async () => await setTimeout(5, selfSigned(["later.example"])),
          "files.example": () => ({ certificateFile: folder.file("cert.pem"), privateKeyFile: folder.file("key.pem") }),
          "context.example": () => context,
          "latercontext.example": () => Promise.resolve(context),
        };
      const certificateFor = (name: string) => {
        asked.push(name);
        return answers[name]?.();
      };
      const certificates = [fallback, selfSigned(["given.example", "*.wild.example"])];
      await start({ certificates, certificateFor }, async ({ server, errors }) => {
        const before = held.contexts;
        for (let round = 0; round < 2; round++) {
          for (
            const [name, subject] of [
              ["given.example", "given.example"],
              ["a.wild.example", "given.example"],
              ["NOW.example", "now.example"],
              ["later.example.", "later.example"],
              ["files.example", "files.example"],
              ["context.example", "context.example"],
              ["latercontext.example", "context.example"],
              ["none.example", "fallback.example"],
              ["127.0.0.1", "fallback.example"],
            ]
          ) {
            assertEquals([name, await subjectFor(server, name!)], [name, subject]);
          }
        }
        assertEquals(asked, [...Object.keys(answers), "none.example"]);
        assertEquals(errors, []);
        // Those of options, and not those of the user's.
        assertEquals(held.contexts, before + 3);
      });
    }),
  );

  it(
    "is asked once for clients that come at the same time",
    leavingNothingLater(async () => {
      const asked: string[] = [];
      let release = () => {};
      const released = new Promise<void>((resolve) => release = resolve);
      const certificateFor = async (name: string) => {
        asked.push(name);
        await released;
        return selfSigned([name]);
      };
      await start({ ...fallback, certificateFor }, async ({ server }) => {
        const names = ["a.example", "b.example", "a.example", "a.example", "b.example"];
        const visits = names.map((name) => subjectFor(server, name));
        await until(() => server.stats().handshaking === names.length && asked.length === 2, "all to wait");
        release();
        assertEquals(await within(Promise.all(visits), "the visits"), names);
        assertEquals(asked.sort(), ["a.example", "b.example"]);
      });
    }),
  );

  for (const version of versions) {
    // With other groups there is a HelloRetryRequest, which TLS 1.2 has not.
    for (const groups of version === "TLSv1.3" ? [undefined, "P-384"] : [undefined]) {
      it(
        `and a slow session store hold up one handshake both, with ${version}${groups ? " and other groups" : ""}`,
        leavingNothingLater(async () => {
          const asked: string[] = [];
          const store = new SlowStore();
          await using cache = new SessionCache({ store: store as SessionStore });
          const certificateFor = async (name: string) => {
            asked.push(name);
            return await setTimeout(5, selfSigned([name]));
          };
          const options = { ...fallback, certificateFor, sessions: cache, ...(groups && { groups }) };
          await start(options, async ({ server, errors }) => {
            const own: SslContextOptions = groups ? { groups: `X25519:${groups}` } : {};
            using client = new Client({ verify: "none", version, ...own });
            assertEquals(await visit(client, server, "a.example"), { subject: "a.example", isResumed: false });
            const again = await visit(client, server, "a.example", client.sessions.at(-1)!);
            assertEquals(again, { subject: "a.example", isResumed: true });
            const last = client.sessions.at(-1)!;
            assertEquals(store.calls.at(-1), version === "TLSv1.3" ? "take" : "get");
            const lookups = store.calls.length;
            // Forgotten, it is asked for again in the handshake that waits for the store as well.
            await server.reload();
            assertEquals((await visit(client, server, "a.example", last)).isResumed, true);
            assertEquals([store.calls.length, asked], [lookups + 1, ["a.example", "a.example"]]);
            // A session is another name's here too.
            const other = await visit(client, server, "b.example", client.sessions.at(-1)!);
            assertEquals(other, { subject: "b.example", isResumed: false });
            assertEquals(errors, []);
          });
        }),
      );
    }
  }

  for (const kind of ["options", "a context"] as const) {
    it(
      `asks anew for what was being asked when reload() came, where ${kind} came late`,
      leavingNothingLater(async () => {
        const [old, fresh] = ["old", "fresh"].map((name) => {
          const credentials = selfSigned([name]);
          return kind === "options" ? credentials : SslContext.server(credentials);
        });
        const asked: PromiseWithResolvers<CertificateOptions | SslContext>[] = [];
        const certificateFor = () => {
          asked.push(Promise.withResolvers());
          return asked.at(-1)!.promise;
        };
        await start({ ...fallback, certificateFor }, async ({ server, errors }) => {
          const waiting = subjectFor(server, "a.example");
          await until(() => asked.length === 1, "the first question");
          await server.reload();
          await until(() => asked.length === 2, "the client to ask anew");
          asked[0]!.resolve(old!);
          await setTimeout(0);
          asked[1]!.resolve(fresh!);
          assertEquals(await waiting, "fresh");
          assertEquals([await subjectFor(server, "a.example"), asked.length], ["fresh", 2]);
          // One that is late when nobody waits for it any more, and one that fails then.
          await server.reload();
          const another = subjectFor(server, "a.example");
          await until(() => asked.length === 3, "the third question");
          await server.reload();
          await until(() => asked.length === 4, "the fourth one");
          asked[2]!.reject(new Error("too late to count"));
          asked[3]!.resolve(fresh!);
          assertEquals([await another, errors], ["fresh", []]);
        });
        for (const context of [old, fresh]) if (context instanceof SslContext) context.dispose();
      }),
    );
  }

  it(
    "gives TLS 1.2 to a certificate that TLS 1.3 cannot use",
    leavingNothingLater(async () => {
      const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1"];
      const certificateFor = (name: string) => Promise.resolve(selfSignedBy(kind, name));
      await start({ ...fallback, certificateFor }, async ({ server }) => {
        using client = new Client({ verify: "none", groups: "P-256:brainpoolP256r1" });
        for (const [serverName, protocol] of [["old.example", "TLSv1.2"], ["fallback.example", "TLSv1.3"]] as const) {
          const recording = new Recording();
          const socket = await client.connect(server.port, recording.handlers, { serverName });
          assertEquals([socket.peerCertificate!.subject, socket.protocol], [`CN=${serverName}`, protocol]);
          socket.end();
          await within(recording.closed, "the connection to close");
        }
      });
    }),
  );

  it(
    "that throws, rejects or answers nonsense is reported, and its clients get the first certificate",
    leavingNothingLater(async () => {
      using ofClient = SslContext.client({ verify: "none" });
      const disposed = SslContext.server(credentials);
      disposed.dispose();
      const { certificate } = selfSigned(["x"]);
      const answers: Record<string, () => unknown> = {
        "throws.example": () => {
          throw new Error("the database is down");
        },
        "rejects.example": () => Promise.reject(new Error("the database is down")),
        "client.example": () => ofClient,
        "disposed.example": () => disposed,
        "unknown.example": () => ({ certificate, key: "none" }),
        "empty.example": () => ({}),
        "other.example": () => ({ certificate, privateKey: fallback.privateKey }),
        "null.example": () => null,
      };
      const certificateFor = (name: string) => answers[name]!() as CertificateOptions;
      await start({ ...fallback, certificateFor }, async ({ server, errors }) => {
        for (const name of Object.keys(answers)) {
          assertEquals([name, await subjectFor(server, name)], [name, "fallback.example"]);
          const { message, kind } = errors.at(-1)!;
          assertStringIncludes(message, `Cannot get a certificate for ${name} from certificateFor(): `);
          assertEquals(kind, "handshake");
        }
        assertEquals(errors.length, Object.keys(answers).length);
        assertStringIncludes(errors[0]!.message, "the database is down");
      });
    }),
  );

  it(
    "that does not answer in time costs its clients no more, and its late answer is kept",
    leavingNothingLater(async () => {
      let answer = (_credentials: CertificateOptions) => {};
      const answered = new Promise<CertificateOptions>((resolve) => answer = resolve);
      let asked = 0;
      const certificateFor = () => {
        asked++;
        return answered;
      };
      await start({ ...fallback, certificateFor, certificateTimeout: 20 }, async ({ server, errors }) => {
        assertEquals(await subjectFor(server, "late.example"), "fallback.example");
        assertEquals(errors.length, 1);
        assertMatch(errors[0]!.message, /^Cannot get a certificate for late\.example .*: no answer in 20 ms$/);
        const before = held.contexts;
        answer(selfSigned(["late.example"]));
        await until(() => held.contexts > before, "the late certificate");
        assertEquals(await subjectFor(server, "late.example"), "late.example");
        assertEquals(asked, 1);
      });
    }),
  );

  it(
    "alone serves the names that it knows, and refuses others by their alert",
    leavingNothingLater(async () => {
      const certificateFor = (name: string) => name === "known.example" ? selfSigned([name]) : undefined;
      await start({ certificateFor }, async ({ server, errors }) => {
        assertEquals(await subjectFor(server, "known.example"), "known.example");
        using client = new Client({ verify: "none" });
        for (const serverName of ["other.example", "127.0.0.1"]) {
          await assertRejects(() => client.connect(server.port, {}, { serverName }), Error, "unrecognized name");
        }
        await until(() => errors.length === 2, "the server to tell");
        assertStringIncludes(errors[0]!.message, "for want of a certificate");
        // It stays so when the rest is loaded anew.
        await server.reload({ maxVersion: "TLSv1.2" });
        assertEquals(await subjectFor(server, "known.example"), "known.example");
      });
      await assertRejects(() => listen({ hostname: "127.0.0.1" }, () => {}), TypeError, "without a certificate");
      using context = SslContext.server(fallback);
      await assertRejects(
        () => listen({ context, certificateFor }, () => {}),
        TypeError,
        "Cannot use both a context and",
      );
    }),
  );

  it(
    "holds up 64 names at most: clients of others get the first certificate at once",
    leavingNothingLater(async () => {
      let release = () => {};
      const released = new Promise<void>((resolve) => release = resolve);
      let asked = 0;
      const certificateFor = async () => {
        asked++;
        await released;
        return undefined;
      };
      await start({ ...fallback, certificateFor }, async ({ server }) => {
        const waiting = Array.from({ length: 64 }, (_, index) => subjectFor(server, `waiting${index}.example`));
        await until(() => asked === 64, "64 questions");
        for (let index = 0; index < 5; index++) {
          assertEquals(await subjectFor(server, `random${index}.example`), "fallback.example");
        }
        assertEquals(asked, 64);
        release();
        assertEquals(new Set(await Promise.all(waiting)), new Set(["fallback.example"]));
        assertEquals(await subjectFor(server, "random0.example"), "fallback.example");
        assertEquals(asked, 65);
      });
    }),
  );

  it(
    "is given up when its clients go or the server closes, and leaves nothing",
    leavingNothingLater(async () => {
      let answer = (_credentials: CertificateOptions) => {};
      const certificateFor = () => new Promise<CertificateOptions>((resolve) => answer = resolve);
      await start({ ...fallback, certificateFor }, async ({ server }) => {
        using client = new Client({ verify: "none" });
        const controller = new AbortController();
        const connecting = client.connect(server.port, {}, { serverName: "a.example", signal: controller.signal });
        await until(() => server.stats().handshaking === 1, "the client to wait");
        controller.abort();
        await assertRejects(() => connecting);
        await until(() => server.connections === 0, "the client to be gone");
        answer(selfSigned(["a.example"]));
        assertEquals(await subjectFor(server, "a.example"), "a.example");
        const last = client.connect(server.port, {}, { serverName: "b.example" }).catch((error: Error) => error);
        await until(() => server.stats().handshaking === 1, "the client to wait");
        await server.close();
        assert(await last instanceof Error);
      });
      answer(selfSigned(["b.example"]));
      await setTimeout(0);
    }),
  );
});

describe("What certificateFor() answered", () => {
  const report = (error: Error) => {
    throw error;
  };
  const make = () => Promise.reject(new Error("Nothing is to be made"));

  it(
    "is kept for 1,000 certificates and 10,000 names without, those used least recently going first",
    leavingNothing(() => {
      using context = SslContext.server(credentials);
      using connection = SslConnection.server(context);
      for (const [most, answer] of [[1000, context], [10_000, undefined]] as const) {
        let asked = 0;
        const certificateFor = () => {
          asked++;
          return answer;
        };
        const onDemand = new CertificatesOnDemand({ certificateFor, make, report, timeout: 1000 });
        for (let index = 0; index < most; index++) onDemand.find(connection, `${index}.example`);
        onDemand.find(connection, "0.example");
        assertEquals(asked, most);
        onDemand.find(connection, "one.more.example");
        assertEquals(asked, most + 1);
        onDemand.find(connection, "0.example");
        assertEquals(asked, most + 1);
        onDemand.find(connection, "1.example");
        assertEquals(asked, most + 2);
        onDemand.close();
      }
      connection.shutdownQuietly();
    }),
  );

  it(
    "counts for 5 minutes, for 10 seconds where there is none, and no longer than its context",
    leavingNothingLater(async () => {
      const context = SslContext.server(credentials);
      const connection = SslConnection.server(context);
      let asked = 0;
      let answer: SslContext | undefined = context;
      const certificateFor = () => {
        asked++;
        return answer;
      };
      const onDemand = new CertificatesOnDemand({ certificateFor, make, report, timeout: 1000 });
      // Another name in between, as what a handshake was answered stays.
      const find = (name: string) => {
        onDemand.find(connection, name);
        onDemand.find(connection, "between.example");
      };
      find("a.example");
      assertEquals(asked, 2);
      await later(299_000, () => Promise.resolve(find("a.example")));
      assertEquals(asked, 2);
      await later(301_000, () => Promise.resolve(find("a.example")));
      assertEquals(asked, 4);
      answer = undefined;
      find("none.example");
      assertEquals(asked, 5);
      await later(9_000, () => Promise.resolve(find("none.example")));
      assertEquals(asked, 5);
      await later(11_000, () => Promise.resolve(find("none.example")));
      assertEquals(asked, 6);
      context.dispose();
      find("a.example");
      assertEquals(asked, 8);
      onDemand.close();
      connection.shutdownQuietly();
      connection.dispose();
    }),
  );
});
