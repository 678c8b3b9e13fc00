import { closeSync, mkdtempSync, openSync, rmdirSync, statSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers";
import { connectLocally } from "./bun_sockets.ts";
import type { Entrance } from "./entrance.ts";
import type { Hop } from "./hop.ts";
import type { RawSocket, RawSocketEvents } from "./raw_socket.ts";

/** As many are kept for the connections to come; each has two descriptors and some 20 KB. */
const mostSpare = 64;

/** Only to name a file, by Linux' O_PATH, which node:fs has no name for. */
const nameOnly = 0x200000;

/** A server of one entrance. */
export interface EntranceServer {
  stop(closeActiveConnections?: boolean): Promise<void>;
  closeIdleConnections(): void;
}

/** Has Bun.serve listen on a Unix socket, for the requests of whoever is in the entrance. */
export type OpenEntrance = (path: string, hop: () => Hop | undefined) => EntranceServer;

/**
 * Unix sockets, each with an HTTP server of its own and for one hop at a time, as connections to one cannot be told
 * apart. They cost half of what a port of 127.0.0.1 does. A socket's name is gone before anybody else can connect to it:
 * this process knows it by a descriptor.
 */
export class BunEntrances {
  readonly #open: OpenEntrance;
  readonly #all = new Set<BunEntrance>();
  readonly #spare: BunEntrance[] = [];
  #isFinishing = false;

  /** @throws {Error} if the system has no such thing: the temporary folder cannot be written to, or it is not Linux */
  constructor(open: OpenEntrance) {
    this.#open = open;
    this.#spare.push(this.#make());
  }

  /** One that nobody is in. */
  take(): Entrance {
    return this.#spare.pop() ?? this.#make();
  }

  #make(): BunEntrance {
    const entrance = new BunEntrance(this.#open, (isOver) => {
      if (isOver && !this.#isFinishing && this.#spare.length < mostSpare) this.#spare.push(entrance);
      else this.#retire(entrance);
    });
    this.#all.add(entrance);
    return entrance;
  }

  #retire(entrance: BunEntrance): void {
    this.#all.delete(entrance);
    entrance.close().catch(() => {});
  }

  /** Ends each connection when its request is answered. */
  finish(): void {
    this.#isFinishing = true;
    for (const entrance of this.#spare.splice(0)) this.#retire(entrance);
    for (const { server } of this.#all) {
      server.stop();
      server.closeIdleConnections();
    }
  }

  /** Gives all back. */
  async end(): Promise<void> {
    this.#isFinishing = true;
    this.#spare.length = 0;
    const all = [...this.#all];
    this.#all.clear();
    await Promise.all(all.map((entrance) => entrance.close()));
  }
}

class BunEntrance implements Entrance {
  readonly server: EntranceServer;
  readonly #left: (isOver: boolean) => void;
  readonly #descriptor: number;
  readonly #path: string;
  #hop: Hop | undefined;
  #closing: Promise<void> | undefined;

  constructor(open: OpenEntrance, left: (isOver: boolean) => void) {
    this.#left = left;
    // A folder that nobody else may enter.
    const folder = mkdtempSync(join(tmpdir(), "openssl-sessions-"));
    const path = join(folder, "http");
    let server: EntranceServer | undefined;
    let descriptor: number | undefined;
    try {
      server = open(path, () => this.#hop);
      descriptor = openSync(path, nameOnly);
      unlinkSync(path);
      rmdirSync(folder);
      this.#path = `/proc/self/fd/${descriptor}`;
      statSync(this.#path);
    } catch (error) {
      if (descriptor !== undefined) closeSync(descriptor);
      server?.stop(true).catch(() => {});
      remove(path, folder);
      throw error;
    }
    this.server = server;
    this.#descriptor = descriptor;
  }

  connect(opened: (raw: RawSocket) => RawSocketEvents): Promise<void> {
    return connectLocally(this.#path, opened);
  }

  enter(hop: Hop): void {
    this.#hop = hop;
  }

  leave(_hop: Hop, _port: number, isOver: boolean): void {
    this.#hop = undefined;
    // What is called in this turn is still of the one that left.
    setImmediate(() => this.#left(isOver));
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    closeSync(this.#descriptor);
    await this.server.stop(true);
  }
}

/** Not by rmSync: it wants a descriptor, and there may be none left. */
function remove(path: string, folder: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It was not made yet, or is gone already.
  }
  try {
    rmdirSync(folder);
  } catch {
    // The same.
  }
}
