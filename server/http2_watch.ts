import { Buffer } from "node:buffer";
import { type Frame, frameFlag, FrameReader, frameType, mostPayload, u32 } from "./http2_frames.ts";
import type { HttpServerParts } from "./http_server.ts";
import type { Watched } from "./http_watch.ts";
import { isBlocked, type SocketObserver, touch, writeTls } from "./tls_socket.ts";

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/**
 * What a client may cause before something comes of it. Most frames cost 1; what costs the server more has a price of
 * its own; answers pay for those that clients need to get them.
 */
const mostCredit = 1000;
const creditPerSecond = 100;
const priceOfReset = 5;
const priceOfContinuation = 10;
/** Deno writes a line about each. */
const priceOfStrangeAck = 100;
const gainOfData = 4;
const gainOfAnswer = 6;

/** Of one request's head, in bytes, compressed. */
const longestHead = 64 * 1024;

/** What a client may take to be the limit before it has heard of it, and as many again. */
const early = 200;

/** What has to go to a client that holds answers up, to count as progress, in bytes. */
const leastProgress = 1024;

const maxConcurrentStreamsId = 3;
const initialWindowId = 4;
const initialWindow = 65_535;

interface Stream {
  clientEnded: boolean;
  serverEnded: boolean;
  isAnswered: boolean;
  /** How much more the client may send, in bytes. */
  window: number;
  /** How much more the server may send. */
  room: number;
}

/**
 * Counts what goes over an HTTP/2 connection: streams, resets, frames that carry nothing, and whether answers get on.
 */
export class Http2Watch implements SocketObserver {
  readonly #watched: Watched;
  readonly #parts: HttpServerParts;
  readonly #streams = new Map<number, Stream>();
  readonly #client: FrameReader;
  readonly #server: FrameReader;
  /** How much of the preface has come. */
  #preface = 0;
  /** What the server said before it. */
  #held: Uint8Array[] | undefined = [];
  #lastStream = 0;
  #isAcknowledged = false;
  /** SETTINGS and PINGs that the client has not acknowledged. */
  #unacknowledged = 0;
  /** How long the head is that is on its way; -1 if there is none. */
  #head = -1;
  /** Streams whose request has not ended. */
  #uploads = 0;
  #credit = mostCredit;
  #creditAt = performance.now();
  #isActive = false;
  /** What was sent since that last counted as progress. */
  #sent = 0;
  #window = initialWindow;
  #room = initialWindow;
  #initialWindow = initialWindow;
  #initialRoom = initialWindow;

  constructor(watched: Watched, parts: HttpServerParts) {
    this.#watched = watched;
    this.#parts = parts;
    this.#client = new FrameReader({
      begin: (frame) => this.#clientBegins(frame),
      data: (frame, length) => this.#clientSends(frame, length),
      end: (frame, payload) => this.#clientEnds(frame, payload),
    });
    this.#server = new FrameReader({
      begin: (frame) => this.#serverBegins(frame),
      data: () => {},
      end: (frame, payload) => this.#serverEnds(frame, payload),
    });
  }

  /** Whether the client must not send more of any request. */
  get isHeldBack(): boolean {
    if (this.#window <= 0) return true;
    for (const { clientEnded, window } of this.#streams.values()) if (!clientEnded && window > 0) return false;
    return true;
  }

  received(bytes: Uint8Array): boolean {
    if (this.#watched.isOver) return false;
    let rest = bytes;
    if (this.#preface < preface.length) {
      rest = this.#readPreface(bytes);
      if (this.#watched.isOver) return false;
    }
    this.#client.push(rest);
    if (this.#watched.isOver) return false;
    this.#watched.awaitHead(this.#head >= 0 || this.#lastStream === 0);
    this.#watched.awaitBody(this.#uploads > 0);
    if (this.#isActive && !isBlocked(this.#watched.socket) && !this.#isStalled()) touch(this.#watched.socket);
    this.#isActive = false;
    return true;
  }

  sent(bytes: Uint8Array): boolean {
    if (this.#watched.isOver) return true;
    if (this.#held) {
      // A client that speaks HTTP/1.1 is to be answered in it.
      this.#held.push(bytes.slice());
      return false;
    }
    this.#server.push(bytes);
    return true;
  }

  drained(): void {
    if (this.#sent === 0) return;
    this.#sent = 0;
    touch(this.#watched.socket);
  }

  closed(): void {
    this.#watched.closed();
  }

  /** More requests wait than a client can have open. */
  crowd(): void {
    this.#flood("one request after the other and reset those that its handlers are busy with");
  }

  #readPreface(bytes: Uint8Array): Uint8Array {
    const length = Math.min(preface.length - this.#preface, bytes.length);
    const expected = preface.subarray(this.#preface, this.#preface + length);
    if (!expected.equals(bytes.subarray(0, length))) {
      this.#held = undefined;
      this.#watched.refuse("does not speak HTTP/2 where that was negotiated");
      return bytes;
    }
    this.#preface += length;
    if (this.#preface === preface.length) {
      const held = this.#held!;
      this.#held = undefined;
      if (held.length > 0) writeTls(this.#watched.socket, Buffer.concat(held));
    }
    return bytes.subarray(length);
  }

  #clientBegins(frame: Frame): void {
    if (this.#watched.isOver) return;
    const { type, flags, length, stream: id } = frame;
    switch (type) {
      case frameType.headers:
        this.#spend(1);
        this.#head = length;
        this.#isActive = true;
        if (id > this.#lastStream) this.#open(id);
        return;
      case frameType.continuation:
        this.#head += length;
        if (this.#head > longestHead) this.#flood(`a request's head of more than ${longestHead} bytes`);
        else this.#spend(priceOfContinuation);
        return;
      case frameType.data: {
        const isEmpty = length === 0 || ((flags & frameFlag.padded) !== 0 && length <= 256);
        if (isEmpty && !(flags & frameFlag.endStream)) this.#spend(1);
        return;
      }
      case frameType.resetStream:
        this.#spend(this.#streams.get(id)?.serverEnded === false ? priceOfReset : 1);
        this.#close(id);
        return;
      case frameType.settings:
      case frameType.ping:
        // Nothing would be known of what is in it.
        if (length > mostPayload) return this.#flood(`more than ${mostPayload} bytes of settings at once`);
        if (!(flags & frameFlag.ack)) return this.#spend(1 + (type === frameType.ping ? 0 : Math.floor(length / 6)));
        if (type === frameType.settings) this.#isAcknowledged = true;
        if (this.#unacknowledged > 0) this.#unacknowledged--;
        else this.#spend(priceOfStrangeAck);
        return;
      default:
        this.#spend(1);
    }
  }

  #open(id: number): void {
    this.#lastStream = id;
    const { maxConcurrentStreams, counts } = this.#parts;
    const most = this.#isAcknowledged ? maxConcurrentStreams : Math.max(maxConcurrentStreams, early);
    if (this.#streams.size >= most) {
      counts.streamOverflows++;
      this.#watched.cut(new Error(`The client has more than ${most} streams of HTTP/2 open`));
      return;
    }
    this.#streams.set(id, {
      clientEnded: false,
      serverEnded: false,
      isAnswered: false,
      window: this.#initialWindow,
      room: this.#initialRoom,
    });
    this.#uploads++;
  }

  #clientSends({ stream: id }: Frame, length: number): void {
    this.#isActive = true;
    this.#window -= length;
    const stream = this.#streams.get(id);
    if (stream) stream.window -= length;
    this.#watched.bodyCame(length);
  }

  #clientEnds({ type, flags, stream: id }: Frame, payload: Uint8Array | undefined): void {
    if (this.#watched.isOver) return;
    const isHead = type === frameType.headers || type === frameType.continuation;
    if (isHead && flags & frameFlag.endHeaders) this.#head = -1;
    if ((type === frameType.headers || type === frameType.data) && flags & frameFlag.endStream) this.#clientEnded(id);
    if (!payload) return;
    if (type === frameType.windowUpdate) {
      const stream = this.#streams.get(id);
      if (id === 0) this.#room += windowIn(payload);
      else if (stream) stream.room += windowIn(payload);
    } else {
      const { value } = settingIn(payload, initialWindowId);
      if (value === undefined) return;
      for (const stream of this.#streams.values()) stream.room += value - this.#initialRoom;
      this.#initialRoom = value;
    }
  }

  #clientEnded(id: number): void {
    const stream = this.#streams.get(id);
    if (!stream || stream.clientEnded) return;
    stream.clientEnded = true;
    this.#uploads--;
    if (stream.serverEnded) this.#close(id);
  }

  #serverBegins({ type, flags, length, stream: id }: Frame): void {
    const stream = this.#streams.get(id);
    switch (type) {
      case frameType.settings:
      case frameType.ping:
        if (!(flags & frameFlag.ack)) this.#unacknowledged++;
        break;
      case frameType.headers:
        if (stream) stream.isAnswered = true;
        this.#progress(leastProgress);
        break;
      case frameType.data:
        this.#room -= length;
        if (stream) stream.room -= length;
        if (length === 0) break;
        this.#earn(gainOfData);
        this.#progress(flags & frameFlag.endStream ? leastProgress : length);
        break;
      case frameType.resetStream:
        if (stream?.serverEnded === false) this.#spend(priceOfReset);
        this.#close(id);
    }
  }

  #serverEnds({ type, flags, stream: id }: Frame, payload: Uint8Array | undefined): void {
    if ((type === frameType.headers || type === frameType.data) && flags & frameFlag.endStream) {
      const stream = this.#streams.get(id);
      this.#earn(gainOfAnswer);
      if (!stream) return;
      stream.serverEnded = true;
      if (stream.clientEnded) this.#close(id);
    }
    if (!payload) return;
    if (type === frameType.windowUpdate) {
      const stream = this.#streams.get(id);
      if (id === 0) this.#window += windowIn(payload);
      else if (stream) stream.window += windowIn(payload);
      return;
    }
    const { value } = settingIn(payload, initialWindowId);
    if (value !== undefined) {
      for (const stream of this.#streams.values()) stream.window += value - this.#initialWindow;
      this.#initialWindow = value;
    }
    this.#lowerStreams(payload);
  }

  /** Deno.serve says 200, and cannot be told otherwise: the client is to hear what holds. */
  #lowerStreams(settings: Uint8Array): void {
    const { value, at } = settingIn(settings, maxConcurrentStreamsId);
    const { maxConcurrentStreams } = this.#parts;
    if (value === undefined || value <= maxConcurrentStreams) return;
    new DataView(settings.buffer, settings.byteOffset).setUint32(at, maxConcurrentStreams);
  }

  #close(id: number): void {
    const stream = this.#streams.get(id);
    if (!stream) return;
    this.#streams.delete(id);
    if (!stream.clientEnded) this.#uploads--;
  }

  /** Whether the client holds up an answer that has begun, by what it allows to be sent. */
  #isStalled(): boolean {
    for (const { isAnswered, serverEnded, room } of this.#streams.values()) {
      if (isAnswered && !serverEnded && (room <= 0 || this.#room <= 0)) return true;
    }
    return false;
  }

  /** Something of an answer goes out. */
  #progress(length: number): void {
    this.#sent += length;
    if (isBlocked(this.#watched.socket) || (this.#sent < leastProgress && this.#isStalled())) return;
    this.#sent = 0;
    touch(this.#watched.socket);
  }

  #earn(credit: number): void {
    this.#credit = Math.min(mostCredit, this.#credit + credit);
  }

  #spend(credit: number): void {
    this.#credit -= credit;
    if (this.#credit >= 0) return;
    const now = performance.now();
    this.#earn((now - this.#creditAt) / 1000 * creditPerSecond);
    this.#creditAt = now;
    if (this.#credit < 0) this.#flood("many frames that ask for nothing: resets, settings, pings or the like");
  }

  #flood(what: string): void {
    if (this.#watched.isOver) return;
    this.#parts.counts.http2Floods++;
    this.#watched.cut(new Error(`The client sent ${what}`));
  }
}

/** By how much a WINDOW_UPDATE has a window grow. Its first bit means nothing (RFC 9113, section 6.9). */
function windowIn(payload: Uint8Array): number {
  return u32(payload, 0) & 0x7fffffff;
}

/** The last value of a setting in the payload of a SETTINGS frame, and where it stands. */
function settingIn(payload: Uint8Array, id: number): { value?: number; at: number } {
  for (let at = payload.length - payload.length % 6 - 6; at >= 0; at -= 6) {
    if ((payload[at]! << 8 | payload[at + 1]!) === id) return { value: u32(payload, at + 2), at: at + 2 };
  }
  return { at: -1 };
}
