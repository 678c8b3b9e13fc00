import { isIP } from "node:net";
import { acceptError } from "./accept_error.ts";
import { DescriptorWatch } from "./descriptor_watch.ts";
import {
  type Address,
  ignoredSocket,
  onAllAddresses,
  type RawListener,
  type RawSocket,
  type RawSocketEvents,
  type SocketAdapter,
} from "./raw_socket.ts";

// The part of Bun's namespace used here, declared so that this file type-checks in every runtime's tools.
interface BunTcpSocket {
  data: BunSocket;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  write(bytes: Uint8Array): number;
  shutdown(): void;
  close(): void;
  pause(): void;
  resume(): void;
  setNoDelay(noDelay: boolean): void;
  setKeepAlive(enable: boolean, milliseconds: number): void;
  ref(): void;
  unref(): void;
}
interface BunSocketHandler {
  binaryType: "uint8array";
  open(socket: BunTcpSocket): void;
  data(socket: BunTcpSocket, bytes: Uint8Array): void;
  drain(socket: BunTcpSocket): void;
  end(socket: BunTcpSocket): void;
  close(socket: BunTcpSocket, error?: Error): void;
  error(socket: BunTcpSocket, error: Error): void;
  connectError?(socket: BunTcpSocket, error: Error): void;
}
interface BunOptions {
  allowHalfOpen: true;
  socket: BunSocketHandler;
}
interface BunListener {
  readonly hostname: string;
  readonly port: number;
  stop(): void;
  ref(): void;
  unref(): void;
}
interface BunNamespace {
  listen(options: BunOptions & Address): BunListener;
  connect(options: BunOptions & (Address | { readonly unix: string })): Promise<unknown>;
}

const bun = (globalThis as { Bun?: BunNamespace }).Bun!;

/** Bun.listen and Bun.connect. */
export const bunSockets: SocketAdapter = {
  listen({ hostname, ...rest }, accept, failed) {
    // Those that wait would keep Bun busy for nothing until there are descriptors again: they are closed.
    const opened = (socket: RawSocket) => watch.isShort ? ignoredSocket(socket) : accept(socket);
    const listen = (hostname: string) =>
      bun.listen({ ...rest, hostname, allowHalfOpen: true, socket: handler(opened) });
    const listener = hostname === undefined ? onAllAddresses(listen) : listen(hostname);
    const watch = new DescriptorWatch((cause) => failed(acceptError(cause)), true);
    return {
      // Bun says "localhost" for 127.0.0.1.
      hostname: hostname !== undefined && isIP(hostname) ? hostname : listener.hostname,
      port: listener.port,
      close: () => {
        watch.close();
        listener.stop();
      },
      ref: () => listener.ref(),
      unref: () => listener.unref(),
    } satisfies RawListener;
  },
  async connect(address, opened) {
    await bun.connect({ ...address, allowHalfOpen: true, socket: handler(opened) });
  },
};

/** Connects to a Unix socket. */
export async function connectLocally(path: string, opened: (socket: RawSocket) => RawSocketEvents): Promise<void> {
  await bun.connect({ unix: path, allowHalfOpen: true, socket: handler(opened) });
}

function handler(opened: (socket: RawSocket) => RawSocketEvents): BunSocketHandler {
  return {
    binaryType: "uint8array",
    open(socket) {
      socket.setNoDelay(true);
      socket.data = new BunSocket(socket);
      socket.data.start(opened);
    },
    data: (socket, bytes) => socket.data.events.data(bytes),
    drain: (socket) => socket.data.drain(),
    end: (socket) => socket.data.ended(),
    close: (socket, error) => socket.data?.closed(error),
    error: (socket, error) => socket.data?.failed(error),
  };
}

class BunSocket implements RawSocket {
  readonly #socket: BunTcpSocket;
  // Bun's socket does not know them any more when it is closed.
  readonly remoteAddress: string;
  readonly remotePort: number;
  events!: RawSocketEvents;
  /** What a write left over. */
  #rest: Uint8Array | undefined;
  #ending = false;
  #writeEnded = false;
  #readEnded = false;
  #closed = false;
  #error: Error | undefined;

  constructor(socket: BunTcpSocket) {
    this.#socket = socket;
    this.remoteAddress = socket.remoteAddress;
    this.remotePort = socket.remotePort;
  }

  start(opened: (socket: RawSocket) => RawSocketEvents): void {
    this.events = opened(this);
    this.events.open();
  }

  get localAddress(): string {
    return this.#closed ? "" : this.#socket.localAddress;
  }

  get localPort(): number {
    return this.#closed ? 0 : this.#socket.localPort;
  }

  get isSent(): boolean {
    return this.#rest === undefined && this.#ending === this.#writeEnded;
  }

  write(bytes: Uint8Array): boolean {
    if (this.#closed) return true;
    const written = this.#socket.write(bytes);
    if (written === bytes.length) return true;
    // Negative once the other side has gone: there will be no drain.
    if (written < 0) queueMicrotask(() => this.destroy());
    this.#rest = bytes.slice(Math.max(0, written));
    return false;
  }

  drain(): void {
    if (this.#closed) return;
    const rest = this.#rest;
    if (rest) {
      this.#rest = undefined;
      if (!this.write(rest)) return;
    }
    if (this.#ending) this.#endWriting();
    if (!this.#closed) this.events.drain();
  }

  end(): void {
    if (this.#ending || this.#closed) return;
    this.#ending = true;
    if (!this.#rest) this.#endWriting();
  }

  #endWriting(): void {
    if (this.#writeEnded) return;
    this.#writeEnded = true;
    if (!this.#readEnded) {
      this.#socket.shutdown();
      return;
    }
    // To close it sends the FIN as well.
    this.events.drain();
    this.destroy();
  }

  /** The other side ended. */
  ended(): void {
    if (this.#closed) return;
    this.#readEnded = true;
    this.events.end();
    if (this.#writeEnded) this.destroy();
  }

  destroy(): void {
    if (this.#closed) return;
    this.#closed = true;
    // Not terminate(): its reset takes away what the other side has not read yet.
    this.#socket.close();
    this.events.close();
  }

  failed(error: Error): void {
    this.#error = error;
  }

  closed(error = this.#error): void {
    if (this.#closed) return;
    // Once this side has ended, Bun says so of the other side's end.
    if (!error && !this.#readEnded) this.ended();
    if (this.#closed) return;
    this.#closed = true;
    this.events.close(error);
  }

  pause(): void {
    if (!this.#closed) this.#socket.pause();
  }

  resume(): void {
    if (!this.#closed) this.#socket.resume();
  }

  setKeepAlive(enable: boolean, milliseconds: number): void {
    if (!this.#closed) this.#socket.setKeepAlive(enable, milliseconds);
  }

  ref(): void {
    if (!this.#closed) this.#socket.ref();
  }

  unref(): void {
    if (!this.#closed) this.#socket.unref();
  }
}
