import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { MemoryStore, selfSigned, Session, SessionCache, SslConnection, SslContext } from "../../mod.ts";
import { alpnWireFormat } from "../../ssl/alpn.ts";
import { derElements } from "../../ssl/der.ts";
import { serverNamesIn } from "../../ssl/server_names.ts";
import { assertNothingLeft, standing } from "../counts.ts";
import { Contexts, credentials, Link, type Version, versions } from "../support.ts";
import { concatenate, mutate } from "./mutate.ts";
import type { Random } from "./random.ts";
import { outcome, type Target } from "./target.ts";

/** Two sessions, with a client's certificate in them and without. */
const sessions: readonly Uint8Array[] = versions.flatMap((version) =>
  [{}, { ...credentials }].map((client) => {
    using contexts = new Contexts(
      version,
      { verify: "request", certificateAuthorities: credentials.certificate },
      client,
    );
    return contexts.resumable().toDer();
  })
);

/** What the library reads that others wrote: damaged sessions, certificates, keys, stored values, lists. */
export const parsers: Target = {
  name: "parsers",
  run(random) {
    const before = standing();
    random.pick(attempts)(random);
    assertNothingLeft(before);
  },
};

const attempts: readonly ((random: Random) => void)[] = [
  damagedSession,
  damagedPem,
  damagedContext,
  damagedStore,
  lists,
];

function damagedSession(random: Random): void {
  const der = mutate(random, random.pick(sessions), sessions);
  outcome(() => {
    using session = Session.fromDer(der);
    lookAt(session);
    offer(random, session);
  });
}

function lookAt(session: Session): void {
  const properties = ["id", "idContext", "protocol", "cipher", "created", "timeout", "expires", "serverName"] as const;
  for (const name of [...properties, "alpnProtocol", "maxEarlyData", "isResumable", "peerCertificate"] as const) {
    outcome(() => session[name]);
  }
  outcome(() => String(session[Symbol.for("nodejs.util.inspect.custom") as unknown as "toDer"]()));
  // What was read can be written, and read again.
  outcome(() => {
    using again = Session.fromDer(session.toDer());
    assertEquals(again.toDer(), session.toDer());
  });
  outcome(() => Session.fromPem(session.toPem()).dispose());
}

/** Has a client offer it, and a server find it. */
function offer(random: Random, session: Session): void {
  const version: Version = random.pick(["TLSv1.2", "TLSv1.3"]);
  using contexts = new Contexts(version);
  contexts.server.setGetSessionCallback(() => session);
  outcome(() => contexts.server.addSession(session));
  outcome(() => {
    using link = new Link(contexts, random.oneIn(2) ? session : undefined, "localhost");
    link.connect();
  });
}

function damagedPem(random: Random): void {
  using session = Session.fromDer(random.pick(sessions));
  const pem = mutate(random, Buffer.from(session.toPem()));
  outcome(() => {
    using read = Session.fromPem(Buffer.from(pem).toString("latin1"));
    lookAt(read);
  });
}

function damagedContext(random: Random): void {
  const damaged = (text: string) => {
    if (random.oneIn(2)) return text;
    // The base64 alone, or all of it.
    if (random.oneIn(2)) return Buffer.from(mutate(random, Buffer.from(text))).toString("latin1");
    const der = Buffer.from(text.replace(/-----[^-]+-----|\s/g, ""), "base64");
    const [begin, end] = text.match(/-----[^-]+-----/g)!;
    return `${begin}\n${Buffer.from(mutate(random, der)).toString("base64").replace(/.{64}/g, "$&\n")}\n${end}\n`;
  };
  const options = {
    certificate: damaged(credentials.certificate),
    privateKey: damaged(credentials.privateKey),
    ...(random.oneIn(2) && { certificateAuthorities: damaged(credentials.certificate), verify: "request" as const }),
    ...(random.oneIn(3) && { ocspResponse: mutate(random, Uint8Array.of(0x30, 3, 0x0a, 1, 0, 0xa0, 0)) }),
    ...(random.oneIn(3) && { alpnProtocols: ["h2", Buffer.from(random.bytes(random.below(260))).toString("latin1")] }),
    ...(random.oneIn(3) &&
      { cipherList: Buffer.from(mutate(random, Buffer.from("ECDHE+AESGCM:!aNULL"))).toString("latin1") }),
  };
  outcome(() => {
    using context = SslContext.server(options);
    void context.serverNames;
    using server = SslConnection.server(context);
    using clients = SslContext.client({ verify: "none" });
    using client = SslConnection.client(clients, { serverName: "localhost" });
    client.handshake();
    const buffer = new Uint8Array(20_000);
    server.pushCiphertext(buffer.subarray(0, client.pullCiphertext(buffer)));
    server.handshake();
  });
}

/** A store that answers with something else than it was given. What is sealed and was changed does not resume. */
function damagedStore(random: Random): void {
  const version: Version = random.pick(["TLSv1.2", "TLSv1.3"]);
  const isSealed = random.oneIn(2);
  const inner = new MemoryStore();
  let damage = false;
  let isChanged = false;
  const answer = (value: Uint8Array | undefined) => {
    if (!damage || !value) return value;
    if (random.oneIn(10)) return random.pick([null, "text", {}, 1, [1], new Uint16Array(9)]) as unknown as Uint8Array;
    const changed = mutate(random, value);
    isChanged ||= Buffer.compare(changed, value) !== 0;
    return changed;
  };
  const store = {
    get: (key: string) => answer(inner.get(key)),
    take: (key: string) => answer(inner.take(key)),
    put: (key: string, value: Uint8Array, expires: Date) => inner.put(key, value, expires),
    delete: (key: string) => inner.delete(key),
  };
  using contexts = new Contexts(version);
  const cache = new SessionCache({ store, ...(isSealed && { secrets: ["a secret of sixteen bytes or more"] }) });
  cache.attach(contexts.server);
  const session = contexts.resumable();
  damage = true;
  let isResumed = false;
  const failed = outcome(() => isResumed = contexts.visit(session).resumed);
  // A store costs a full handshake, never a connection; but what is not sealed can be anything.
  if (isSealed) assertEquals(failed, undefined);
  if (isSealed && isChanged) assert(!isResumed, "A sealed value that was changed resumed");
}

function lists(random: Random): void {
  const der = concatenate([Uint8Array.of(0x30, random.below(256)), random.bytes(random.below(100))]);
  outcome(() => derElements(der));
  outcome(() => serverNamesIn(mutate(random, der)));
  outcome(() => alpnWireFormat([Buffer.from(random.bytes(random.below(300))).toString("latin1")]));
  outcome(() => selfSigned([Buffer.from(random.bytes(random.below(20))).toString("latin1")]));
}
