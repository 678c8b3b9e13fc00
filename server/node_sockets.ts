import { Buffer } from "node:buffer";
import { connect, createServer, type Server, type Socket } from "node:net";
import { setImmediate } from "node:timers";
import { acceptError } from "./accept_error.ts";
import { DescriptorWatch } from "./descriptor_watch.ts";
import type { RawListener, RawSocket, RawSocketEvents, SocketAdapter } from "./raw_socket.ts";

/** Writes from this size on, in bytes, are not held for others to come. */
const large = 16 * 1024;

/** node:net. */
export const nodeSockets: SocketAdapter = {
  listen({ hostname, port, reusePort = false }, accept, failed) {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      new NodeSocket(socket).start(accept);
    });
    server.listen({ ...(hostname !== undefined && { host: hostname }), port, reusePort });
    // Without a name Node listens at once. What goes wrong it tells later.
    if (server.listening) return listenerOf(server, failed);
    return new Promise<RawListener>((resolve, reject) => {
      server.once("error", reject);
      server.once("listening", () => {
        server.off("error", reject);
        resolve(listenerOf(server, failed));
      });
    });
  },
  connect(address, opened, signal) {
    return new Promise<void>((resolve, reject) => {
      const socket = connect({ host: address.hostname, port: address.port, allowHalfOpen: true, noDelay: true });
      const cancel = () => socket.destroy(new Error("the attempt was given up"));
      signal?.addEventListener("abort", cancel);
      socket.once("error", reject);
      socket.once("connect", () => {
        signal?.removeEventListener("abort", cancel);
        socket.off("error", reject);
        new NodeSocket(socket).start(opened);
        resolve();
      });
    });
  },
};

function listenerOf(server: Server, failed: (error: Error) => void): RawListener {
  server.on("error", (cause) => failed(acceptError(cause)));
  const watch = new DescriptorWatch((cause) => failed(acceptError(cause)), false);
  const { address: hostname, port } = server.address() as { address: string; port: number };
  return {
    hostname,
    port,
    close: () => {
      watch.close();
      server.close();
    },
    ref: () => void server.ref(),
    unref: () => void server.unref(),
  };
}

class NodeSocket implements RawSocket {
  readonly #socket: Socket;
  readonly remoteAddress: string;
  readonly remotePort: number;
  #events!: RawSocketEvents;
  #closed = false;
  #isGathering = false;
  /** Something that was written, or the FIN, is not with the system yet. */
  #waits = false;
  readonly #sent: (error?: Error | null) => void;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.remoteAddress = socket.remoteAddress ?? "";
    this.remotePort = socket.remotePort ?? 0;
    // One for all writes: Node calls it for several of them together.
    this.#sent = (error) => {
      if (error || !this.#waits || this.#closed || socket.writableLength > 0) return;
      if (socket.writableEnded && !socket.writableFinished) return;
      this.#waits = false;
      this.#events.drain();
    };
  }

  start(opened: (socket: RawSocket) => RawSocketEvents): void {
    const events = this.#events = opened(this);
    let failure: Error | undefined;
    this.#socket
      .on("data", (bytes: Uint8Array) => events.data(bytes))
      .on("end", () => events.end())
      .on("error", (error) => failure = error)
      .on("close", () => this.#close(failure));
    events.open();
  }

  get localAddress(): string {
    return this.#socket.localAddress ?? "";
  }

  get localPort(): number {
    return this.#socket.localPort ?? 0;
  }

  write(bytes: Uint8Array): boolean {
    if (bytes.length < large) this.#gather();
    else this.#letGo();
    // The socket keeps what it is given until the kernel has taken it. A Buffer's memory is not cleared before.
    const takesMore = this.#socket.write(Buffer.from(bytes), this.#sent);
    // The system had it all in this call, and what was gathered before.
    this.#waits = this.#socket.writableLength > 0;
    if (!this.#waits) return true;
    return takesMore;
  }

  get isSent(): boolean {
    return !this.#waits;
  }

  /** Holds small writes until the events at hand are dealt with: each system call wakes the other side. */
  #gather(): void {
    if (this.#isGathering) return;
    this.#isGathering = true;
    this.#socket.cork();
    setImmediate(() => this.#letGo());
  }

  #letGo(): void {
    if (!this.#isGathering) return;
    this.#isGathering = false;
    this.#socket.uncork();
  }

  end(): void {
    if (this.#closed || this.#socket.writableEnded) return;
    this.#waits = true;
    this.#socket.end(this.#sent);
  }

  destroy(): void {
    // What was written may still get through, as without gathering.
    this.#letGo();
    this.#socket.destroy();
    // Node tells of it later. Nothing is to happen on this socket until then.
    this.#close();
  }

  #close(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#events.close(error);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  setKeepAlive(enable: boolean, milliseconds: number): void {
    this.#socket.setKeepAlive(enable, milliseconds);
  }

  ref(): void {
    this.#socket.ref();
  }

  unref(): void {
    this.#socket.unref();
  }
}
