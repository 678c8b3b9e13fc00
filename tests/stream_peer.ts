/**
 * The ends of node:tls, for server_stream_property_test.ts, always run by Node: each line that it reads is a plan to
 * carry out, and each that it writes what came of one.
 */

import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { connect, type ConnectionOptions, createServer } from "node:tls";
import { carryOutOnStream, needsHalfOpen, type Plan } from "./stream_plans.ts";

/** What it is asked for. */
export interface Order {
  readonly id: number;
  readonly plan: Plan;
  readonly certificate: string;
  readonly privateKey: string;
  /** Where to connect to; left out, it listens. */
  readonly port?: number;
}

function answer(id: number, what: object): void {
  process.stdout.write(`#${id} ${JSON.stringify(what)}\n`);
}

async function visit({ id, plan, certificate: ca, port }: Order): Promise<void> {
  const options = { host: "127.0.0.1", servername: "localhost", port, ca, allowHalfOpen: needsHalfOpen(plan) };
  const stream = connect(options as ConnectionOptions);
  await once(stream, "secureConnect");
  answer(id, { outcome: await carryOutOnStream(stream, plan) });
}

function serve({ id, plan, certificate: cert, privateKey: key }: Order): void {
  const server = createServer({ cert, key, allowHalfOpen: needsHalfOpen(plan) }, async (stream) => {
    server.close();
    answer(id, { outcome: await carryOutOnStream(stream, plan) });
  });
  server.listen(0, "127.0.0.1", () => answer(id, { port: (server.address() as { port: number }).port }));
}

if (import.meta.filename === process.argv[1]) {
  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line) as Order;
    if (order.port === undefined) serve(order);
    else visit(order);
  }
}
