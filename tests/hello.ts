/** ClientHellos that no client makes, from one that a client has made. RFC 8446, section 4.1.2. */

import { Buffer } from "node:buffer";

const recordHeader = 5;

/** A ClientHello taken apart, to be changed and put together again. */
export class RawHello {
  /** The handshake message up to the cipher suites, without its header. */
  readonly #start: Buffer;
  ciphers: number[] = [];
  readonly #compression: Buffer;
  /** In the order in which they are sent. */
  extensions: { type: number; content: Buffer }[] = [];

  /** @param records what the client has sent: its hello and nothing else */
  constructor(records: Uint8Array) {
    const message = Buffer.from(records).subarray(recordHeader + 4);
    let at = 2 + 32;
    at += 1 + message[at]!;
    this.#start = message.subarray(0, at);
    const endOfCiphers = at + 2 + message.readUInt16BE(at);
    for (at += 2; at < endOfCiphers; at += 2) this.ciphers.push(message.readUInt16BE(at));
    this.#compression = message.subarray(at, at + 1 + message[at]!);
    at += this.#compression.length + 2;
    while (at < message.length) {
      const length = message.readUInt16BE(at + 2);
      this.extensions.push({ type: message.readUInt16BE(at), content: message.subarray(at + 4, at + 4 + length) });
      at += 4 + length;
    }
  }

  /** Replaces an extension, or adds it at the front. */
  set(type: number, content: Uint8Array): this {
    const extension = this.extensions.find((extension) => extension.type === type);
    if (extension) extension.content = Buffer.from(content);
    else this.extensions.unshift({ type, content: Buffer.from(content) });
    return this;
  }

  /** Offers these sessions, with the binder that the client made for its own. It proves nothing. */
  offer(ids: readonly Uint8Array[]): this {
    const extension = this.extensions.find(({ type }) => type === 41)!;
    const { content } = extension;
    const binders = content.subarray(2 + content.readUInt16BE(0));
    const identities = ids.map((id) => Buffer.concat([number16(id.length), id, Buffer.alloc(4)]));
    extension.content = Buffer.concat([withLength(Buffer.concat(identities)), binders]);
    return this;
  }

  /** The id that the client offers first. */
  get offered(): Buffer {
    const { content } = this.extensions.find(({ type }) => type === 41)!;
    return content.subarray(4, 4 + content.readUInt16BE(2));
  }

  /** The hello in as many records as it needs. */
  write(): Uint8Array {
    const ciphers = Buffer.concat(this.ciphers.map(number16));
    const extensions = this.extensions.map(({ type, content }) => Buffer.concat([number16(type), withLength(content)]));
    const body = Buffer.concat([
      this.#start,
      withLength(ciphers),
      this.#compression,
      withLength(Buffer.concat(extensions)),
    ]);
    const header = Buffer.from([1, body.length >> 16, body.length >> 8 & 0xff, body.length & 0xff]);
    const message = Buffer.concat([header, body]);
    const records = [];
    for (let at = 0; at < message.length; at += 16_000) {
      records.push(Buffer.from([22, 3, 1]), withLength(message.subarray(at, at + 16_000)));
    }
    return new Uint8Array(Buffer.concat(records));
  }
}

function number16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

function withLength(bytes: Uint8Array): Buffer {
  return Buffer.concat([number16(bytes.length), bytes]);
}
