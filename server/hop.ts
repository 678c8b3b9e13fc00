import { Buffer } from "node:buffer";
import { type BunUpgrader, ServeInfo } from "./fetch_handler.ts";
import type { Entrance } from "./entrance.ts";
import type { RawSocket, RawSocketEvents } from "./raw_socket.ts";
import { authorityIn, authorityOf, givenUrl, isAuthority, isSameAuthority } from "./request_url.ts";
import { type TlsFacts, tlsFacts } from "./tls_facts.ts";
import type { TlsSocket, TlsSocketHandlers } from "./tls_socket.ts";

/** More than this is not kept for a hop that is not there yet: the client is held back. */
const mostWaiting = 64 * 1024;

/** Whom a {@linkcode Hop} tells what. */
export interface HopOwner {
  /** The client has gone; the server's end is still to come. */
  leaves(hop: Hop): void;
  /** It could not get to the HTTP server. */
  failed(hop: Hop, error: Error): void;
  /** No more requests come from it. */
  closed(hop: Hop): void;
}

/**
 * The way from one TLS connection to the runtime's own HTTP server, which listens inside the process: plaintext is
 * carried over a connection within the machine, with backpressure both ways.
 */
export class Hop {
  readonly socket: TlsSocket;
  readonly isHttp2: boolean;
  /** Whether it has had a request. */
  hadRequest = false;
  readonly #owner: HopOwner;
  readonly #entrance: Entrance;
  // Noted at once: the connection may be gone when its first request comes out of the HTTP server.
  readonly #facts: TlsFacts;
  #info: ServeInfo | undefined;
  #raw: RawSocket | undefined;
  #port = 0;
  #innerPort = 0;
  /** What the client sent before the hop was there. */
  #early: Uint8Array[] = [];
  #earlyLength = 0;
  #ended = false;
  #isClosed = false;

  constructor(socket: TlsSocket, owner: HopOwner, entrance: Entrance) {
    this.socket = socket;
    this.#facts = tlsFacts(socket);
    this.isHttp2 = this.#facts.alpnProtocol === "h2";
    this.#owner = owner;
    this.#entrance = entrance;
  }

  /** What its requests' handler is told. */
  info(server?: BunUpgrader): ServeInfo {
    return this.#info ??= new ServeInfo(this.socket, this.#facts, server);
  }

  /** What a request is for: the host, and the port if it is named. Undefined if that is nonsense. */
  authorityOf(request: Request): string | undefined {
    let named: string | null;
    if (this.isHttp2) {
      named = authorityIn(givenUrl(request));
      // Where the client names none, that is the HTTP server's own.
      if (named === `localhost:${this.#innerPort}` || named === `127.0.0.1:${this.#innerPort}`) named = null;
    } else named = request.headers.get("host");
    named ||= authorityOf(this.socket, this.#facts.serverName);
    if (!isAuthority(named)) return undefined;
    const host = this.isHttp2 && request.headers.get("host");
    return !host || isSameAuthority(named, host) ? named : undefined;
  }

  /** Connects to the HTTP server. Answers what the TLS socket is to call. */
  start(): TlsSocketHandlers {
    this.#entrance.connect((raw) => this.#open(raw))
      .catch((error) => {
        this.#entrance.leave(this, 0, false);
        this.#owner.failed(this, error);
        this.socket.destroy(error);
      });
    return {
      data: (_socket, bytes) => this.#fromClient(bytes),
      drain: () => this.#raw?.resume(),
      end: () => {
        this.#ended = true;
        this.#raw?.end();
      },
      close: () => {
        this.#isClosed = true;
        if (this.#raw) this.#leave(this.#raw);
        else this.#owner.closed(this);
      },
    };
  }

  #open(raw: RawSocket): RawSocketEvents {
    let isOver = false;
    return {
      open: () => {
        if (this.#isClosed) return raw.destroy();
        this.#raw = raw;
        this.#port = raw.localPort;
        this.#innerPort = raw.remotePort;
        this.#entrance.enter(this, this.#port);
        // In one piece: a socket that takes no more is to be left alone.
        const early = Buffer.concat(this.#early.splice(0));
        const takesMore = early.length === 0 || raw.write(early);
        if (!takesMore) this.socket.pause();
        else if (this.#earlyLength > mostWaiting) this.socket.resume();
        if (this.#ended) raw.end();
      },
      data: (bytes) => {
        if (this.#isClosed) return;
        if (!this.socket.write(bytes)) raw.pause();
      },
      drain: () => this.socket.resume(),
      end: () => {
        isOver = true;
        this.socket.end();
      },
      close: (error) => {
        this.#raw = undefined;
        this.#entrance.leave(this, this.#port, isOver && !error);
        // What still comes has nowhere to go.
        this.#isClosed = true;
        this.#owner.closed(this);
        // One that is paused would never hear of its client's end.
        this.socket.resume();
        if (error) this.socket.destroy();
        else this.socket.end();
      },
    };
  }

  /**
   * Waits for the HTTP server to close its end: as long as a request of this connection can come to a handler, its port
   * must not become another's.
   */
  #leave(raw: RawSocket): void {
    raw.resume();
    raw.end();
    this.#owner.leaves(this);
  }

  /** Waits no longer. */
  giveUp(): void {
    this.#raw?.destroy();
  }

  #fromClient(bytes: Uint8Array): void {
    if (this.#isClosed) return;
    if (this.#raw) {
      if (!this.#raw.write(bytes)) this.socket.pause();
      return;
    }
    this.#early.push(bytes);
    this.#earlyLength += bytes.length;
    if (this.#earlyLength > mostWaiting) this.socket.pause();
  }
}
