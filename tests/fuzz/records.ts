import { assert } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { MemoryStore, type Session, SessionCache, SslConnection, SslOption } from "../../mod.ts";
import { assertNothingLeft, standing } from "../counts.ts";
import { Contexts, type Version } from "../support.ts";
import { mutate, pieces } from "./mutate.ts";
import type { Random } from "./random.ts";
import { outcome, type Target } from "./target.ts";
import { mutateHello } from "./client_hello_mutations.ts";

const folder = new URL("./corpus/", import.meta.url);

/** What clients of many kinds begin with. */
const hellos = readdirSync(folder).filter((name) => name.startsWith("hello-")).sort()
  .map((name) => new Uint8Array(readFileSync(new URL(name, folder))));

/**
 * Records that are damaged on their way, both ways, in a handshake, in data and at the end; and damaged ClientHellos of
 * other clients. Whatever comes, both ends answer with an error or go on, in a bounded number of steps, and nothing is
 * left of them.
 */
export const records: Target = {
  name: "records",
  run(random) {
    const before = standing();
    const version: Version = random.pick(["TLSv1.2", "TLSv1.3"]);
    const ticket = random.oneIn(4) ? { options: 0 } : { options: SslOption.NoTicket };
    using contexts = new Contexts(version, {
      ...ticket,
      ...(random.oneIn(2) && { minVersion: "TLSv1.2", maxVersion: "TLSv1.3" }),
      ...(random.oneIn(4) && { groups: "P-384" }), // a HelloRetryRequest
      ...(random.oneIn(2) && { alpnProtocols: ["h2", "http/1.1"] }),
    });
    const cache = new SessionCache({
      store: new MemoryStore(),
      ...(random.oneIn(2) && { secrets: ["a secret of sixteen bytes or more"] }),
    });
    if (random.oneIn(2)) cache.attach(contexts.server);
    const session = random.oneIn(2) ? contexts.resumable() : undefined;
    if (random.oneIn(3)) answerHello(random, contexts);
    else converse(random, contexts, session);
    for (const left of contexts.sessions.splice(0)) left.dispose();
    contexts.server.dispose();
    contexts.client.dispose();
    assertNothingLeft(before);
  },
};

/** Gives a server a ClientHello of another client, damaged or not. */
function answerHello(random: Random, contexts: Contexts): void {
  using server = SslConnection.server(contexts.server);
  const hello = random.pick(hellos);
  const bytes = random.oneIn(8) ? hello : random.oneIn(2) ? mutateHello(random, hello) : mutate(random, hello, hellos);
  push(random, server, bytes);
  push(random, server, mutate(random, bytes, hellos));
}

/** Two ends talk, and what they say is damaged now and then. */
function converse(random: Random, contexts: Contexts, session: Session | undefined): void {
  using link = contexts.link(session);
  const said: Uint8Array[] = [];
  const damageAt = random.below(8);
  for (let turn = 0; turn < 12; turn++) {
    const [from, to] = turn % 2 === 0 ? [link.client, link.server] : [link.server, link.client];
    outcome(() => from.handshake());
    if (from.isEstablished && random.oneIn(2)) outcome(() => from.write(random.bytes(random.below(20_000))));
    if (from.isEstablished && random.oneIn(6)) outcome(() => from.shutdown());
    const bytes = pull(from);
    if (bytes.length > 0) said.push(bytes);
    if (turn !== damageAt || said.length === 0) push(random, to, bytes);
    else if (turn === 0 && random.oneIn(2)) push(random, to, mutateHello(random, bytes));
    else push(random, to, mutate(random, bytes, said));
  }
}

function pull(from: SslConnection): Uint8Array {
  const buffer = new Uint8Array(100_000);
  return buffer.slice(0, from.pullCiphertext(buffer));
}

/** Hands over bytes in pieces, and moves the connection on after each, in a bounded number of steps. */
function push(random: Random, to: SslConnection, bytes: Uint8Array): void {
  const plaintext = new Uint8Array(20_000);
  for (const piece of pieces(random, bytes)) {
    to.pushCiphertext(piece);
    outcome(() => to.handshake());
    let steps = 0;
    while (steps++ < 1000) {
      let length: number | null = 0;
      const failed = outcome(() => length = to.read(plaintext));
      if (failed || !length) break;
    }
    assert(steps < 1000, "Reading does not end");
  }
}
