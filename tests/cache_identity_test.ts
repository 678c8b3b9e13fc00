import { assertEquals, assertInstanceOf } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import {
  MemoryStore,
  OpenSslError,
  selfSigned,
  type Session,
  type SessionCacheOptions,
  type SslContextOptions,
} from "../mod.ts";
import { Cached, secret } from "./cache_server_support.ts";
import { leavingNothing } from "./counts.ts";
import { Link, thrownBy, versions } from "./support.ts";

const [alice, bob] = [selfSigned(["alice"]), selfSigned(["bob"])];
const trustsAlice = { verify: "require", certificateAuthorities: alice.certificate } as const;
const trustsBob = { verify: "require", certificateAuthorities: bob.certificate } as const;
const trustsBoth = {
  verify: "require",
  certificateAuthorities: `${alice.certificate}\n${bob.certificate}`,
} as const;

/** The session id context that a server derives where it is given none; the tests give all servers the same. */
const asItComes = { sessionIdContext: undefined } as unknown as SslContextOptions;

/** How a visit with a session ends: it resumes, it does not, or the server does not let the client in. */
type End = "resumed" | "full" | "refused";

for (const version of versions) {
  for (const sealed of [false, true]) {
    /** The options of all servers of one test: they share the store. */
    const shared = (): SessionCacheOptions => ({
      store: new MemoryStore(),
      ...(sealed ? { secrets: [secret()] } : {}),
    });

    /** A visit of one server's client to another server, with a session. */
    const visit = (client: Cached, server: Cached, session: Session | undefined, serverName = "localhost"): End => {
      using link: Link = client.linkTo(server, session, serverName);
      const error = thrownBy(() => link.connect()) as Error;
      if (link.server.isEstablished && link.client.isEstablished) {
        const { isResumed } = link.server;
        link.close();
        return isResumed ? "resumed" : "full";
      }
      assertInstanceOf(error, OpenSslError);
      return "refused";
    };

    /**
     * Makes a session on a server of these options, and offers it to one of those. Both have the same names, unless they
     * say otherwise, and the client shows the same certificate.
     */
    const offer = (from: SslContextOptions, to: SslContextOptions, client: SslContextOptions = {}): End => {
      const options = shared();
      using one = new Cached(version, options, { ...asItComes, ...from }, client);
      using other = new Cached(version, options, { ...asItComes, ...to }, client);
      const session = one.resumable();
      const end = visit(one, other, session);
      // It is good where it was made, unless it was spent on the other.
      if (version === "TLSv1.2" || sealed) {
        assertEquals(visit(one, one, session), end === "resumed" && version === "TLSv1.3" ? "full" : "resumed");
      }
      assertEquals([...one.errors, ...other.errors], []);
      return end;
    };

    describe(`${version}: sessions, ${sealed ? "sealed" : "unsealed"}, and server names`, () => {
      const names = ["a.example.com", "b.example.com", "example.com", "a.example.co"];

      it(
        "resume under the name that they were made for, and under no other",
        leavingNothing(() => {
          for (const made of names) {
            for (const asked of names) {
              using contexts = new Cached(version, shared());
              assertEquals(visit(contexts, contexts, undefined, made), "full");
              const session = contexts.sessions[0];
              assertEquals(visit(contexts, contexts, session, asked), made === asked ? "resumed" : "full");
              const { otherName } = contexts.cache.stats();
              assertEquals(otherName, made === asked ? 0 : 1);
            }
          }
        }),
      );

      it(
        "tell of a refusal, which is no failure of the store",
        leavingNothing(() => {
          using contexts = new Cached(version, shared());
          visit(contexts, contexts, undefined, "a.example.com");
          visit(contexts, contexts, contexts.sessions[0], "b.example.com");
          const [stored, hit, refused] = contexts.events as { id: string }[];
          assertEquals([stored!.id, hit!.id], [hit!.id, refused!.id]);
          assertEquals({ ...refused }, { type: "refused", id: stored!.id, reason: "another server name" } as object);
          assertEquals(contexts.errors, []);
        }),
      );

      it(
        "resume without a name where they were made without one, and nowhere else",
        leavingNothing(() => {
          using contexts = new Cached(version, shared());
          const nameless = (session?: Session) => {
            using link = new Link(contexts, session);
            link.connect();
            const { isResumed } = link.server;
            link.close();
            return isResumed;
          };
          assertEquals(nameless(), false);
          assertEquals(visit(contexts, contexts, contexts.sessions.at(-1)), "full");
          assertEquals(nameless(contexts.sessions.at(-1)), false);
          assertEquals(nameless(contexts.sessions.at(-1)), true);
          assertEquals(contexts.cache.stats().otherName, 2);
        }),
      );

      it(
        "keep to their name over many resumptions, and on other servers",
        leavingNothing(() => {
          const options = shared();
          using one = new Cached(version, options);
          using other = new Cached(version, options);
          visit(one, one, undefined, "a.example.com");
          for (let n = 0; n < 3; n++) {
            assertEquals(visit(one, n % 2 ? one : other, one.sessions.at(-1), "a.example.com"), "resumed");
          }
          assertEquals(visit(one, other, one.sessions.at(-1), "b.example.com"), "full");
          assertEquals(other.cache.stats().otherName, 1);
        }),
      );
    });

    describe(`${version}: sessions, ${sealed ? "sealed" : "unsealed"}, and session id contexts`, () => {
      it(
        "resume in their own",
        leavingNothing(() => {
          assertEquals(offer({ sessionIdContext: "one" }, { sessionIdContext: "one" }), "resumed");
          assertEquals(offer({ sessionIdContext: "one" }, { sessionIdContext: "two" }), "full");
          assertEquals(offer({ sessionIdContext: "one" }, { sessionIdContext: "on" }), "full");
          assertEquals(offer({ sessionIdContext: "one" }, {}), "full");
          assertEquals(offer({}, {}), "resumed");
        }),
      );

      it(
        "resume on servers of the same names, also after their certificate was renewed, and on no others",
        leavingNothing(() => {
          const names = ["localhost", "a.example.com"];
          const [first, renewed] = [selfSigned(names), selfSigned(names)];
          assertEquals(offer(first, renewed), "resumed");
          assertEquals(offer(first, selfSigned(["localhost"])), "full");
          assertEquals(offer(first, selfSigned([...names, "b.example.com"])), "full");
        }),
      );
    });

    describe(`${version}: sessions, ${sealed ? "sealed" : "unsealed"}, and client certificates`, () => {
      it(
        "resume where the same authorities are trusted",
        leavingNothing(() => {
          assertEquals(offer(trustsAlice, trustsAlice, alice), "resumed");
          assertEquals(offer(trustsBoth, trustsBoth, bob), "resumed");
        }),
      );

      it(
        "do not let a client in that is not trusted there",
        leavingNothing(() => {
          assertEquals(offer(trustsAlice, trustsBob, alice), "refused");
          assertEquals(offer(trustsBoth, trustsBob, alice), "refused");
          assertEquals(offer({}, trustsBob, alice), "refused");
          assertEquals(offer({ ...trustsAlice, verify: "request" }, trustsBob, alice), "refused");
        }),
      );

      it(
        "do not let a client in without a certificate that another server did not ask for",
        leavingNothing(() => {
          assertEquals(offer({}, trustsAlice), "refused");
          assertEquals(offer({ ...trustsAlice, verify: "request" }, trustsAlice), "refused");
          assertEquals(offer(trustsAlice, trustsAlice, alice), "resumed");
        }),
      );

      it(
        "are made anew where others are trusted besides, or where no certificate is asked for",
        leavingNothing(() => {
          assertEquals(offer(trustsAlice, trustsBoth, alice), "full");
          assertEquals(offer(trustsBoth, trustsAlice, alice), "full");
          assertEquals(offer(trustsAlice, {}, alice), "full");
        }),
      );

      it(
        "resume across them where the application gives both one session id context: it has said so",
        leavingNothing(() => {
          const sessionIdContext = "the same";
          assertEquals(
            offer({ ...trustsAlice, sessionIdContext }, { ...trustsBoth, sessionIdContext }, alice),
            "resumed",
          );
        }),
      );
    });
  }
}
