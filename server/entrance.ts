import type { Hop } from "./hop.ts";
import type { RawSocket, RawSocketEvents } from "./raw_socket.ts";
import { socketsOfThisRuntime } from "./sockets.ts";

/** A way into the HTTP server inside the process, that tells the requests of one {@linkcode Hop} from those of others. */
export interface Entrance {
  /** Connects. `opened` answers what the connection is to call. */
  connect(opened: (raw: RawSocket) => RawSocketEvents): Promise<void>;
  /** A hop's connection is there. It comes from this port. */
  enter(hop: Hop, port: number): void;
  /**
   * A hop's connection is gone, or never came. `isOver` if the HTTP server has closed its end, so that nothing comes
   * from it any more.
   */
  leave(hop: Hop, port: number, isOver: boolean): void;
}

/**
 * A port of 127.0.0.1, for all hops: one is known by the port that it comes from. No two connections of 127.0.0.1 to one
 * port have the same, so that nobody else can pass for one of ours.
 */
export class LoopbackEntrance implements Entrance {
  readonly #port: number;
  readonly #byPort = new Map<number, Hop>();

  constructor(port: number) {
    this.#port = port;
  }

  connect(opened: (raw: RawSocket) => RawSocketEvents): Promise<void> {
    return socketsOfThisRuntime().connect({ hostname: "127.0.0.1", port: this.#port }, opened);
  }

  enter(hop: Hop, port: number): void {
    this.#byPort.set(port, hop);
  }

  leave(hop: Hop, port: number): void {
    if (this.#byPort.get(port) === hop) this.#byPort.delete(port);
  }

  /** Whose request it is that comes from here; undefined for a stranger's. */
  hopAt(hostname: string, port: number): Hop | undefined {
    return hostname === "127.0.0.1" ? this.#byPort.get(port) : undefined;
  }
}
