import { type ClientSessions, connect, type ConnectOptions } from "../../mod.ts";
import { FuzzClient } from "../fuzz/fuzz_client.ts";
import type { Random } from "../fuzz/random.ts";
import { within } from "../server_support.ts";
import { credentials } from "../support.ts";
import type { Farm } from "./farm.ts";

type Kind = "resumed or full" | "full" | "over HTTP" | "reset" | "abort" | "damage";

/** Makes one connection after the other, of all kinds. */
export class Visitor {
  /** How many there were of each kind, of all visitors. */
  readonly kinds: Record<string, number>;
  /** What went wrong for a client that did nothing wrong. */
  readonly failures: unknown[] = [];
  readonly #random: Random;
  readonly #farm: Farm;
  readonly #sessions: ClientSessions;

  constructor(random: Random, farm: Farm, sessions: ClientSessions, kinds: Record<string, number> = counted) {
    this.#random = random;
    this.#farm = farm;
    this.#sessions = sessions;
    this.kinds = kinds;
  }

  async visit(): Promise<void> {
    const kind = this.#random.pick(mix);
    this.kinds[kind] = (this.kinds[kind] ?? 0) + 1;
    try {
      await within(this.#visit(kind), `a connection: ${kind}`, 60_000);
    } catch (error) {
      this.failures.push(error);
    }
  }

  async #visit(kind: Kind): Promise<void> {
    const { echo, http } = this.#farm;
    switch (kind) {
      case "resumed or full":
        return await this.#ask(echo.port, { sessions: this.#sessions }, "Hello", /^Hello$/);
      case "full":
        return await this.#ask(echo.port, { sessions: false }, "Hello", /^Hello$/);
      case "over HTTP":
        return await this.#ask(
          http.port,
          { sessions: this.#sessions, alpnProtocols: ["http/1.1"] },
          "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 2\r\n\r\nHi",
          /^HTTP\/1.1 200[^]*You said Hi/,
        );
      default: {
        using client = new FuzzClient(this.#random, this.#random.pick([echo, http]).port);
        await (kind === "damage" ? client.misbehave() : client.leave(kind));
      }
    }
  }

  async #ask(port: number, options: Partial<ConnectOptions>, question: string, answer: RegExp): Promise<void> {
    const socket = await connect({
      ...options,
      hostname: "127.0.0.1",
      port,
      serverName: "localhost",
      certificateAuthorities: credentials.certificate,
      ...(this.#random.oneIn(2) && { maxVersion: "TLSv1.2" }),
    });
    socket.write(question);
    let heard = "";
    for await (const bytes of socket) heard += String(bytes);
    if (!answer.test(heard)) throw new Error(`It was answered ${JSON.stringify(heard)}`);
  }
}

const counted: Record<string, number> = {};
const often = <T>(times: number, kind: T): T[] => Array.from({ length: times }, () => kind);
const mix: readonly Kind[] = [
  ...often<Kind>(10, "resumed or full"),
  ...often<Kind>(3, "full"),
  ...often<Kind>(3, "over HTTP"),
  ...often<Kind>(2, "abort"),
  ...often<Kind>(1, "reset"),
  ...often<Kind>(1, "damage"),
];
