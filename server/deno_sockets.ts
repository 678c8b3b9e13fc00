import { networkInterfaces } from "node:os";
import { acceptError, acceptPause } from "./accept_error.ts";
import {
  type Address,
  onAllAddresses,
  type RawListener,
  type RawSocket,
  type RawSocketEvents,
  type SocketAdapter,
} from "./raw_socket.ts";

// The part of Deno's namespace used here, declared so that this file type-checks in every runtime's tools.
interface DenoConnection {
  readonly remoteAddr: { hostname: string; port: number };
  readonly localAddr: { hostname: string; port: number };
  read(buffer: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  closeWrite(): Promise<void>;
  close(): void;
  setNoDelay(noDelay: boolean): void;
  setKeepAlive(enable: boolean): void;
  ref(): void;
  unref(): void;
}
interface DenoListener {
  readonly addr: { hostname: string; port: number };
  accept(): Promise<DenoConnection>;
  close(): void;
  ref(): void;
  unref(): void;
}
interface DenoNamespace {
  readonly permissions: {
    querySync(descriptor: { name: "sys"; kind: "networkInterfaces" }): { readonly state: string };
  };
  listen(options: Address): DenoListener;
  connect(options: Address & { signal?: AbortSignal }): Promise<DenoConnection>;
}

const deno = (globalThis as { Deno?: DenoNamespace }).Deno!;

/** How much is read at a time, in bytes. Larger reads cost less for each byte. */
const leastRead = 4096;
const mostRead = 256 * 1024;

/** Deno.listen and Deno.connect. */
export const denoSockets: SocketAdapter = {
  listen({ hostname, ...rest }, accept, failed) {
    const listen = (hostname: string) => deno.listen({ ...rest, hostname });
    const listener = hostname === undefined ? onAllAddresses(listen) : listen(hostname);
    const pause = new Pause();
    const ended = acceptAll(listener, pause, accept, failed);
    return {
      hostname: listener.addr.hostname,
      port: listener.addr.port,
      close: () => {
        listener.close();
        pause.end();
        // The port is held until the accept that was under way is over.
        return ended;
      },
      ref: () => listener.ref(),
      unref: () => listener.unref(),
    } satisfies RawListener;
  },
  async connect(address, opened, signal) {
    const connection = await deno.connect({
      hostname: withNumberedZone(address.hostname),
      port: address.port,
      ...(signal && { signal }),
    });
    new DenoSocket(connection).start(opened);
  },
};

async function acceptAll(
  listener: DenoListener,
  pause: Pause,
  accept: (socket: RawSocket) => RawSocketEvents,
  failed: (error: Error) => void,
): Promise<void> {
  let failures = 0;
  while (true) {
    let connection: DenoConnection;
    try {
      connection = await listener.accept();
      failures = 0;
    } catch (error) {
      const { name } = error as Error;
      if (name === "BadResource" || name === "Interrupted") return;
      // A client that went before it was accepted.
      if (name === "ConnectionAborted" || name === "ConnectionReset") continue;
      // Too many open files, say. Those that wait are accepted when there are fewer.
      failed(acceptError(error));
      await pause.wait(acceptPause(failures++));
      continue;
    }
    new DenoSocket(connection).start(accept);
  }
}

/** A wait that can be ended. */
class Pause {
  #end: (() => void) | undefined;
  #isOver = false;

  wait(milliseconds: number): Promise<void> {
    if (this.#isOver) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#end = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  end(): void {
    this.#isOver = true;
    this.#end?.();
  }
}

/** Deno takes an address's zone as a number, and others its interface's name. A loopback address needs none. */
function withNumberedZone(hostname: string): string {
  const [, address, zone] = /^([0-9a-f:.]+)%(.*)$/i.exec(hostname) ?? [];
  if (zone === undefined || /^\d+$/.test(zone)) return hostname;
  // Without the permission to ask, Deno says what it thinks of the address.
  if (deno.permissions.querySync({ name: "sys", kind: "networkInterfaces" }).state !== "granted") return hostname;
  try {
    const interfaces = networkInterfaces()[zone] ?? [];
    const numbers = interfaces.map((each) => "scopeid" in each ? each.scopeid ?? 0 : 0);
    if (interfaces.length > 0) {
      return numbers.some((number) => number > 0) ? `${address}%${Math.max(...numbers)}` : address!;
    }
  } catch {
    // The same where the system does not tell.
  }
  return hostname;
}

class DenoSocket implements RawSocket {
  readonly #connection: DenoConnection;
  #events!: RawSocketEvents;
  #wake: (() => void) | undefined;
  #paused = false;
  #writing = false;
  #ending = false;
  #readEnded = false;
  #writeEnded = false;
  #closed = false;

  constructor(connection: DenoConnection) {
    this.#connection = connection;
  }

  start(opened: (socket: RawSocket) => RawSocketEvents): void {
    try {
      // Otherwise a small record waits for the acknowledgement of the one before it.
      this.#connection.setNoDelay(true);
    } catch {
      // It has gone already; reading will say so.
    }
    this.#events = opened(this);
    this.#events.open();
    this.#readAll();
  }

  get remoteAddress(): string {
    return this.#connection.remoteAddr.hostname;
  }

  get remotePort(): number {
    return this.#connection.remoteAddr.port;
  }

  get localAddress(): string {
    return this.#connection.localAddr.hostname;
  }

  get localPort(): number {
    return this.#connection.localAddr.port;
  }

  async #readAll(): Promise<void> {
    // Small for the many connections that are idle; it grows with what comes, and shrinks when little does.
    let buffer = new Uint8Array(leastRead);
    try {
      while (!this.#closed) {
        if (this.#paused) await new Promise<void>((resolve) => this.#wake = resolve);
        if (this.#closed) return;
        const length = await this.#connection.read(buffer);
        if (this.#closed) return;
        if (length === null) {
          this.#readEnded = true;
          this.#events.end();
          if (this.#writeEnded) this.#close();
          return;
        }
        this.#events.data(buffer.subarray(0, length));
        if (length === buffer.length && length < mostRead) buffer = new Uint8Array(length * 4);
        else if (length <= leastRead && length < buffer.length / 4) buffer = new Uint8Array(leastRead);
      }
    } catch (error) {
      this.#close(error as Error);
    }
  }

  get isSent(): boolean {
    return !this.#writing && this.#ending === this.#writeEnded;
  }

  write(bytes: Uint8Array): boolean {
    if (this.#closed) return true;
    this.#writing = true;
    this.#writeAll(bytes.slice());
    return false;
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    try {
      for (let written = 0; written < bytes.length;) {
        written += await this.#connection.write(written === 0 ? bytes : bytes.subarray(written));
      }
    } catch (error) {
      this.#close(error as Error);
      return;
    }
    this.#writing = false;
    if (this.#closed) return;
    if (this.#ending) this.#endWriting();
    else this.#events.drain();
  }

  end(): void {
    if (this.#ending || this.#closed) return;
    this.#ending = true;
    if (!this.#writing) this.#endWriting();
  }

  #endWriting(): void {
    // To close it sends the FIN as well.
    if (this.#readEnded) this.#endedWriting();
    // Rejects if the other side has gone, and reading says that as well.
    else this.#connection.closeWrite().catch(() => {}).then(() => this.#endedWriting());
  }

  #endedWriting(): void {
    if (this.#closed) return;
    this.#writeEnded = true;
    this.#events.drain();
    if (this.#readEnded) this.#close();
  }

  destroy(): void {
    this.#close();
  }

  #close(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#connection.close();
    this.#wake?.();
    this.#events.close(error);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#wake?.();
    this.#wake = undefined;
  }

  /** Deno leaves the time to the system: two hours, mostly. */
  setKeepAlive(enable: boolean, _milliseconds: number): void {
    if (!this.#closed) this.#connection.setKeepAlive(enable);
  }

  ref(): void {
    if (!this.#closed) this.#connection.ref();
  }

  unref(): void {
    if (!this.#closed) this.#connection.unref();
  }
}
