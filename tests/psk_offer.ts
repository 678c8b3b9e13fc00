/** ClientHellos that offer more sessions than libssl's client would: RFC 8446, sections 4.2.11 and 7.1. */

import { Buffer } from "node:buffer";
import { createHash, createHmac } from "node:crypto";
import type { Session } from "../mod.ts";

const preSharedKey = 41;
const recordHeader = 5;

/** A ClientHello taken apart at its last extension, which is the pre-shared key's. */
class Hello {
  /** The handshake message up to the extension's content. */
  readonly before: Buffer;
  /** Each with its length before it and its age behind it. */
  readonly identities: Buffer[] = [];
  /** Each with its length before it. */
  readonly binders: Buffer[] = [];

  constructor(record: Uint8Array) {
    const message = Buffer.from(record).subarray(recordHeader);
    // The header (4), the version (2), random (32), and three lists with their lengths before them.
    let at = 4 + 2 + 32;
    at += 1 + message[at]!;
    at += 2 + message.readUInt16BE(at);
    at += 1 + message[at]!;
    at += 2;
    while (message.readUInt16BE(at) !== preSharedKey) at += 4 + message.readUInt16BE(at + 2);
    at += 4;
    this.before = message.subarray(0, at);
    const endOfIdentities = at + 2 + message.readUInt16BE(at);
    for (at += 2; at < endOfIdentities;) {
      const length = 2 + message.readUInt16BE(at) + 4;
      this.identities.push(message.subarray(at, at + length));
      at += length;
    }
    for (at += 2; at < message.length;) {
      const length = 1 + message[at]!;
      this.binders.push(message.subarray(at, at + length));
      at += length;
    }
  }

  /** The record. The binder of the offer at this index is made anew, for it covers all that is before it. */
  write(index: number, session: Session): Uint8Array {
    const identities = Buffer.concat(this.identities);
    const binders = Buffer.concat(this.binders);
    const rest = Buffer.alloc(2);
    rest.writeUInt16BE(identities.length);
    const truncated = Buffer.concat([this.before, rest, identities]);
    const length = 2 + identities.length + 2 + binders.length;
    const grown = length - this.before.readUInt16BE(this.before.length - 2);
    truncated.writeUInt16BE(length, this.before.length - 2);
    const list = this.#startOfExtensions();
    truncated.writeUInt16BE(truncated.readUInt16BE(list) + grown, list);
    truncated.writeUIntBE(truncated.readUIntBE(1, 3) + grown, 1, 3);
    this.binders[index]!.set(binder(session, truncated), 1);
    const tail = Buffer.alloc(2);
    tail.writeUInt16BE(binders.length);
    const message = Buffer.concat([truncated, tail, ...this.binders]);
    const header = Buffer.from([22, 3, 1, 0, 0]);
    header.writeUInt16BE(message.length, 3);
    return Buffer.concat([header, message]);
  }

  #startOfExtensions(): number {
    let at = 4 + 2 + 32;
    at += 1 + this.before[at]!;
    at += 2 + this.before.readUInt16BE(at);
    return at + 1 + this.before[at]!;
  }
}

/** The proof that a client has the session that it offers. */
function binder(session: Session, truncated: Buffer): Buffer {
  const algorithm = session.cipher!.endsWith("SHA384") ? "sha384" : "sha256";
  const hash = (bytes: Uint8Array) => createHash(algorithm).update(bytes).digest();
  const hmac = (key: Uint8Array, bytes: Uint8Array) => createHmac(algorithm, key).update(bytes).digest();
  const nothing = hash(new Uint8Array());
  const expand = (secret: Uint8Array, label: string, context: Uint8Array) => {
    const name = Buffer.from(`tls13 ${label}`);
    const info = [0, nothing.length, name.length, ...name, context.length, ...context, 1];
    return hmac(secret, Buffer.from(info));
  };
  const early = hmac(new Uint8Array(nothing.length), masterKey(session));
  return hmac(expand(expand(early, "res binder", nothing), "finished", new Uint8Array()), hash(truncated));
}

/** The fifth element of the session's DER form: after two versions, the cipher and the id. */
export function masterKey(session: Session): Buffer {
  const der = Buffer.from(session.toDer());
  const lengthAt = (at: number): [length: number, start: number] => {
    const first = der[at]!;
    if (first < 0x80) return [first, at + 1];
    return [der.readUIntBE(at + 1, first & 0x7f), at + 1 + (first & 0x7f)];
  };
  let [, at] = lengthAt(1);
  for (let element = 0; element < 4; element++) {
    const [length, start] = lengthAt(at + 1);
    at = start + length;
  }
  const [length, start] = lengthAt(at + 1);
  return der.subarray(start, start + length);
}

/** A client's first record, with other identities before the session that it offers. */
export function offeringBefore(record: Uint8Array, others: readonly Uint8Array[], session: Session): Uint8Array {
  const hello = new Hello(record);
  const age = Buffer.alloc(4);
  for (const other of others.toReversed()) {
    const length = Buffer.alloc(2);
    length.writeUInt16BE(other.length);
    hello.identities.unshift(Buffer.concat([length, other, age]));
    hello.binders.unshift(Buffer.from(hello.binders[0]!));
  }
  return hello.write(others.length, session);
}
