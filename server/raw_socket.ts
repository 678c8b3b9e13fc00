/** A TCP socket as the TLS core sees it. Each runtime's adapter makes them. */
export interface RawSocket {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  /**
   * Sends bytes, which the caller may use again when this returns. False if the socket can take no more before
   * `drain`; what was passed is sent all the same.
   */
  write(bytes: Uint8Array): boolean;
  /** Whether the system has taken all that was passed to `write`, and the FIN if `end` was called. */
  readonly isSent: boolean;
  /** Ends this side (FIN) after what was written. */
  end(): void;
  /** Closes at once. `close` follows. */
  destroy(): void;
  /** Stops, and starts again, the flow of `data`. */
  pause(): void;
  resume(): void;
  /** Whether the system asks now and then if the other side is there, first after this many milliseconds of silence. */
  setKeepAlive(enable: boolean, milliseconds: number): void;
  /** Whether the socket keeps the program alive. It does at first. */
  ref(): void;
  unref(): void;
}

/** What a TCP socket calls. */
export interface RawSocketEvents {
  /** The socket is ready to be used. Called once, first. */
  open(): void;
  /** Bytes came. They are the socket's: good for the time of the call. */
  data(bytes: Uint8Array): void;
  /** The system has taken all that was written, and the FIN, where it had not at once. More can be written. */
  drain(): void;
  /** The other side ended. */
  end(): void;
  /** The socket is closed, for this error if there is one. Nothing is called afterwards. */
  close(error?: Error): void;
}

/** For a socket that came when nobody wants it any more. */
export function ignoredSocket(socket: RawSocket): RawSocketEvents {
  return { open: () => socket.destroy(), data() {}, drain() {}, end() {}, close() {} };
}

/** A port that is listened on. */
export interface RawListener {
  readonly hostname: string;
  readonly port: number;
  /** Stops listening. Connections go on. Done when the port is free. */
  close(): void | Promise<void>;
  /** Whether it keeps the program alive. It does at first. */
  ref(): void;
  unref(): void;
}

/** Where to listen. */
export interface ListenAddress extends Omit<Address, "hostname"> {
  /** Left out, all of this machine's addresses: of IPv6 and IPv4, or of IPv4 alone where there is no IPv6. */
  readonly hostname?: string | undefined;
}

/** Listens on all of this machine's addresses, where the runtime does not do it by itself. */
export function onAllAddresses<T>(listen: (hostname: string) => T): T {
  try {
    return listen("::");
  } catch (error) {
    try {
      return listen("0.0.0.0");
    } catch {
      throw error;
    }
  }
}

/** Where to listen or to connect to. */
export interface Address {
  readonly hostname: string;
  readonly port: number;
  /** Whether other processes may listen on the same port, and the system shares its connections out. Linux only. */
  readonly reusePort?: boolean;
}

/** One runtime's sockets. */
export interface SocketAdapter {
  /**
   * Listens: at once where no name has to be looked up, and where the runtime can. `accept` is called with each new
   * socket and answers what it is to call; `failed` when connections cannot be accepted, about once a second while that
   * lasts. They can again when what was wanting is there.
   */
  listen(
    address: ListenAddress,
    accept: (socket: RawSocket) => RawSocketEvents,
    failed: (error: Error) => void,
  ): RawListener | Promise<RawListener>;
  /**
   * Connects. `opened` is called when the socket is there and answers what it is to call. Where the runtime can, the
   * signal ends the attempt; where not, `opened` may be called after it.
   */
  connect(address: Address, opened: (socket: RawSocket) => RawSocketEvents, signal?: AbortSignal): Promise<void>;
}
