import { Buffer } from "node:buffer";
import type { Watched } from "./http_watch.ts";
import { isBlocked, type SocketObserver, touch } from "./tls_socket.ts";

/** A longer head is not looked into. The HTTP server refuses it. */
const longestHead = 64 * 1024;

const lineFeed = 10;
const carriageReturn = 13;

/** What a request's head says of what comes behind it. */
const telling = /^(content-length|transfer-encoding|upgrade|expect)[ \t]*:(.*)$/gim;

/**
 * Follows the requests of an HTTP/1.1 connection, to know what a client is late with: a head, or a body. It decides
 * nothing: the HTTP server reads the same bytes by rules of its own.
 */
export class Http1Watch implements SocketObserver {
  readonly #watched: Watched;
  #state: "head" | "body" | "chunk size" | "chunk" | "trailer" | "opaque" = "head";
  /** The beginning of a head, or of a line, whose end has not come yet. */
  #begun = "";
  /** How much of the empty line that ends a head its bytes so far end with: of a line end, and of a carriage return. */
  #seen = 0;
  /** What is left of the body, or of its chunk, in bytes. */
  #left = 0;
  #asksForUpgrade = false;

  constructor(watched: Watched) {
    this.#watched = watched;
  }

  received(bytes: Uint8Array): boolean {
    const watched = this.#watched;
    if (watched.isOver) return false;
    // Who takes nothing of what waits for it is silent, whatever it says.
    if (!isBlocked(watched.socket)) touch(watched.socket);
    if (this.#state === "opaque") return true;
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = 0; at < buffer.length && !watched.isOver;) at = this.#read(buffer, at);
    return !watched.isOver;
  }

  sent(bytes: Uint8Array): boolean {
    const { socket } = this.#watched;
    if (!isBlocked(socket)) touch(socket);
    if (
      this.#asksForUpgrade && Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(12, bytes.length)).equals(switching)
    ) {
      this.#state = "opaque";
      this.#watched.awaitHead(false);
    }
    return true;
  }

  drained(): void {
    touch(this.#watched.socket);
  }

  closed(): void {
    this.#watched.closed();
  }

  /** Reads on from there. Answers how far it got. */
  #read(buffer: Buffer, at: number): number {
    switch (this.#state) {
      case "head": {
        // The time begins with the first byte.
        this.#watched.awaitHead(true);
        const end = this.#endOfHead(buffer, at);
        if (end < 0) return this.#keep(buffer, at);
        const head = this.#begun + buffer.toString("latin1", at, end);
        this.#begun = "";
        this.#begin(head);
        return end;
      }
      case "body":
      case "chunk": {
        const length = Math.min(this.#left, buffer.length - at);
        this.#left -= length;
        this.#watched.awaitBody(true);
        this.#watched.bodyCame(length);
        if (this.#left === 0) this.#state === "body" ? this.#end() : this.#state = "chunk size";
        return at + length;
      }
      case "chunk size":
      case "trailer": {
        this.#watched.awaitBody(true);
        const end = buffer.indexOf(lineFeed, at);
        if (end < 0) return this.#keep(buffer, at);
        const line = (this.#begun + buffer.toString("latin1", at, end)).trim();
        this.#begun = "";
        if (this.#state === "trailer") {
          if (line === "") this.#end();
        } else if (line !== "") {
          // With the line end of the chunk before it.
          const size = parseInt(line, 16);
          this.#left = size > 0 ? size : 0;
          this.#state = size > 0 ? "chunk" : "trailer";
        }
        return end + 1;
      }
      case "opaque":
        return buffer.length;
    }
  }

  /** Where the empty line ends that ends a head; -1 if it has not come. Each byte is looked at once. */
  #endOfHead(buffer: Buffer, from: number): number {
    for (let at = from; at < buffer.length; at++) {
      const byte = buffer[at];
      if (byte === lineFeed) {
        if (this.#seen > 0) {
          this.#seen = 0;
          return at + 1;
        }
        this.#seen = 1;
      } else if (byte === carriageReturn && this.#seen === 1) this.#seen = 2;
      else {
        this.#seen = 0;
        // On to the next line.
        const next = buffer.indexOf(lineFeed, at);
        if (next < 0) return -1;
        at = next - 1;
      }
    }
    return -1;
  }

  #keep(buffer: Buffer, at: number): number {
    if (this.#begun.length + buffer.length - at <= longestHead) this.#begun += buffer.toString("latin1", at);
    return buffer.length;
  }

  #begin(head: string): void {
    // Empty lines before a request are let pass.
    if (head.trim() === "") return;
    if (/^\s*PRI /.test(head)) return this.#watched.refuse("speaks HTTP/2 where HTTP/1.1 was negotiated");
    this.#watched.awaitHead(false);
    this.#asksForUpgrade = false;
    let waits = false;
    let isChunked = false;
    let length = 0;
    for (const [, name, value] of head.matchAll(telling)) {
      switch (name!.toLowerCase()) {
        case "content-length":
          length = Number(value!.trim());
          break;
        case "transfer-encoding":
          isChunked = true;
          break;
        case "upgrade":
          this.#asksForUpgrade = true;
          break;
        case "expect":
          waits = true;
      }
    }
    if (isChunked) this.#state = "chunk size";
    else if (length > 0) {
      this.#state = "body";
      this.#left = length;
    } else return;
    // The client may wait to be told to go on.
    if (!waits) this.#watched.awaitBody(true);
  }

  #end(): void {
    this.#state = "head";
    this.#watched.awaitBody(false);
  }
}

const switching = Buffer.from("HTTP/1.1 101");
