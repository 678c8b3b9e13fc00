import { Buffer } from "node:buffer";
import { readdirSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { SslConnection, SslContext } from "../../mod.ts";
import { mutateHello } from "./client_hello_mutations.ts";
import { concatenate, mutate, pieces } from "./mutate.ts";
import type { Random } from "./random.ts";
import { outcome } from "./target.ts";

const folder = new URL("./corpus/", import.meta.url);
const read = (prefix: string) =>
  readdirSync(folder).filter((name) => name.startsWith(prefix)).sort()
    .map((name) => new Uint8Array(readFileSync(new URL(name, folder))));

const hellos = read("hello-");
/** What HTTP clients say: requests in text, and the frames of HTTP/2. */
const requests = read("http");

/** One client over TCP, with its TLS in memory, so that each byte can be damaged on its way. */
export class FuzzClient {
  readonly #random: Random;
  readonly #port: number;
  #context: SslContext | undefined;
  #connection: SslConnection | undefined;
  #socket: Socket | undefined;
  #isClosed = false;

  constructor(random: Random, port: number) {
    this.#random = random;
    this.#port = port;
  }

  /** Connects, says something, damaged or not, and ends in one way or another. */
  async misbehave(): Promise<void> {
    const random = this.#random;
    const socket = await this.#dial();
    const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
    if (random.oneIn(3)) {
      const hello = random.pick(hellos);
      this.#send(random.oneIn(2) ? mutateHello(random, hello) : mutate(random, hello, hellos));
    } else {
      // Damage of the ciphertext, of the plaintext, or none.
      const damageAt = random.oneIn(2) ? random.below(6) : -1;
      await this.#shakeHands(random.below(8), damageAt);
      const said = Array.from({ length: random.between(1, 4) }, () => random.pick(requests));
      const text = concatenate(said);
      this.#say(random.oneIn(3) ? text : mutate(random, text, requests));
    }
    await this.#turn();
    const ends = [() => socket.destroy(), () => socket.resetAndDestroy(), () => socket.end(), () => {}];
    random.pick(ends)();
    // The server's limits end whoever does nothing.
    await closed;
  }

  /** Goes without a word of goodbye, in the middle of the handshake or after it; with a reset or without. */
  async leave(how: "abort" | "reset"): Promise<void> {
    const socket = await this.#dial();
    const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
    await this.#shakeHands(how === "abort" ? this.#random.below(3) : 8, -1);
    if (how === "reset") {
      this.#say(Buffer.from("GET / HTTP/1.1\r\n"));
      socket.resetAndDestroy();
    } else {
      socket.destroy();
    }
    await closed;
  }

  /** Asks for something as it should be asked, and answers the first line that comes. */
  async behave(): Promise<string> {
    const socket = await this.#dial();
    await this.#shakeHands(8, -1);
    this.#say(Buffer.from("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    const plaintext = new Uint8Array(20_000);
    while (true) {
      const length = this.#connection!.read(plaintext);
      if (length) return Buffer.from(plaintext.subarray(0, length)).toString("latin1").split("\r\n")[0]!;
      if (length === null || this.#isClosed) return "";
      await new Promise((resolve) => socket.once("data", resolve).once("close", resolve));
    }
  }

  async #dial(): Promise<Socket> {
    const socket = connect(this.#port, "127.0.0.1");
    this.#socket = socket;
    socket.on("close", () => this.#isClosed = true);
    socket.on("error", () => {});
    await new Promise((resolve) => socket.once("connect", resolve).once("close", resolve));
    this.#context = SslContext.client({ verify: "none", ...(this.#random.oneIn(2) && { maxVersion: "TLSv1.2" }) });
    const connection = SslConnection.client(this.#context, { serverName: "localhost" });
    this.#connection = connection;
    socket.on("data", (bytes: Uint8Array) => {
      if (connection.isReleased) return;
      outcome(() => connection.pushCiphertext(new Uint8Array(bytes)));
      outcome(() => connection.handshake());
    });
    return socket;
  }

  async #shakeHands(turns: number, damageAt: number): Promise<void> {
    for (let turn = 0; turn < turns && !this.#isClosed; turn++) {
      outcome(() => this.#connection!.handshake());
      this.#flush(turn === damageAt);
      if (this.#connection!.isEstablished) return;
      await this.#turn();
    }
  }

  #say(plaintext: Uint8Array): void {
    outcome(() => this.#connection!.write(plaintext));
    this.#flush(false);
  }

  #flush(isDamaged: boolean): void {
    const buffer = new Uint8Array(200_000);
    let bytes: Uint8Array = buffer.subarray(0, this.#connection!.pullCiphertext(buffer));
    if (isDamaged) bytes = mutate(this.#random, bytes, hellos);
    this.#send(bytes);
  }

  #send(bytes: Uint8Array): void {
    for (const piece of pieces(this.#random, bytes)) {
      if (!this.#socket!.destroyed) this.#socket!.write(piece);
    }
  }

  /** Until something has come, or for one turn of the loop where nothing has to. */
  async #turn(): Promise<void> {
    const socket = this.#socket!;
    if (this.#isClosed) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        socket.off("data", done).off("close", done);
        resolve();
      };
      const timer = setTimeout(done, 10);
      socket.once("data", done).once("close", done);
    });
  }

  [Symbol.dispose](): void {
    this.#socket?.destroy();
    this.#connection?.dispose();
    this.#context?.dispose();
  }
}
