/** The ClientHellos of 64 KiB that cost a server most: for the test that counts, and the benchmark that measures. */

import type { RawHello } from "./hello.ts";

const extensions = { serverName: 0, alpn: 16 };

/** As many as fit a ClientHello of 64 KiB beside the key shares of today. */
export const many = 1600;

/** Ids that no server has made. */
export function randomIds(count: number): Uint8Array[] {
  return Array.from({ length: count }, () => crypto.getRandomValues(new Uint8Array(32)));
}

/** Ends up with a cipher of another hash than the session's: libssl passes over it, and asks for the next. */
function otherHash(hello: RawHello): void {
  hello.ciphers = hello.ciphers.filter((cipher) => cipher !== 0x1302); // TLS_AES_256_GCM_SHA384
}

/** Changes a client's hello into one of the worst. `ids` are of sessions that the server has made. */
export interface WorstHello {
  readonly change: (hello: RawHello, ids: readonly Uint8Array[]) => void;
  /** How many of them are sent, where the server is to ask for another. */
  readonly hellos?: number;
}

/** The worst that anybody has thought of. */
export const worstHellos: Readonly<Record<string, WorstHello>> = {
  "one session, 1,600 times": {
    change(hello) {
      otherHash(hello);
      hello.offer(Array.from({ length: many }, () => hello.offered));
    },
  },
  "1,600 sessions that nobody made, and one in front that resumes": {
    change: (hello) => void hello.offer([hello.offered, ...randomIds(many - 1)]),
  },
  "1,600 sessions that nobody made": { change: (hello) => void hello.offer(randomIds(many)) },
  "1,600 of this server's ids": {
    change(hello, ids) {
      otherHash(hello);
      hello.offer(Array.from({ length: many }, (_, n) => ids[n % ids.length]!));
    },
  },
  "a server name of 60 KB": {
    change(hello) {
      const name = new Uint8Array(60_000).fill(97);
      const length = (more: number) => [name.length + more >> 8, name.length + more & 0xff];
      hello.set(extensions.serverName, new Uint8Array([...length(3), 0, ...length(0), ...name]));
    },
  },
  "6,000 server names": {
    change(hello) {
      const one = [0, 0, 7, ...new TextEncoder().encode("foreign")];
      const names = Array.from({ length: 6000 }, () => one).flat();
      hello.set(extensions.serverName, new Uint8Array([names.length >> 8, names.length & 0xff, ...names]));
    },
  },
  "30,000 application protocols": {
    change(hello) {
      const protocols = Array.from({ length: 30_000 }, () => [1, 97]).flat();
      hello.set(extensions.alpn, new Uint8Array([protocols.length >> 8, protocols.length & 0xff, ...protocols]));
    },
  },
  "15,000 extensions that nobody knows": {
    change(hello) {
      for (let n = 0; n < 15_000; n++) hello.set(0x4000 + n, new Uint8Array());
    },
  },
  "one session, 1,600 times, before and after a HelloRetryRequest": {
    change(hello) {
      otherHash(hello);
      hello.offer(Array.from({ length: many }, () => hello.offered));
    },
    hellos: 2,
  },
  "1,600 sessions that nobody made, before and after a HelloRetryRequest": {
    change: (hello) => void hello.offer(randomIds(many)),
    hellos: 2,
  },
};
