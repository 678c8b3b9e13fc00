import { assert, assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { openLibrary, Session, SslContext, type SslContextOptions } from "../mod.ts";
import { asking, ClientPointer } from "./control_messages.ts";
import { leavingNothing } from "./counts.ts";
import { content, odd, refused } from "./odd_arrays.ts";
import { bytes, Contexts, credentials, type Link, thrownBy } from "./support.ts";

const text = "0123456789 abcdefghij 01234567"; // as long as the longest session id
const plain = bytes(text);

function connected(use: (link: Link, contexts: Contexts) => Uint8Array): Uint8Array {
  using contexts = new Contexts("TLSv1.3");
  using link = contexts.link().connect();
  return use(link, contexts);
}

function received(link: Link): Uint8Array {
  const buffer = new Uint8Array(100_000);
  return buffer.slice(0, link.client.read(buffer) ?? 0);
}

const ciphertext = (link: Link) => {
  const buffer = new Uint8Array(100_000);
  return buffer.slice(0, link.server.pullCiphertext(buffer));
};

const ocspOf = (context: SslContext) => {
  context.dispose();
  return plain;
};

/** Where bytes are passed to libssl: what the other end, or libssl, has of them then. */
const taken: Record<string, (odd: (bytes: Uint8Array) => Uint8Array) => Uint8Array> = {
  "SslConnection.write": (odd) =>
    connected((link) => {
      assertEquals(link.server.write(odd(plain)), plain.length);
      link.toClient();
      return received(link);
    }),
  "SslConnection.pushCiphertext": (odd) =>
    connected((link) => {
      link.server.write(plain);
      link.client.pushCiphertext(odd(ciphertext(link)));
      return received(link);
    }),
  "Session.fromDer": (odd) => {
    using contexts = new Contexts("TLSv1.3");
    using session = Session.fromDer(odd(contexts.resumable().toDer()));
    assertEquals(session.toDer(), contexts.sessions.at(-1)!.toDer());
    return plain;
  },
  "SslContext.setSessionIdContext": (odd) => {
    using contexts = new Contexts("TLSv1.3");
    for (const context of [contexts.server, contexts.client]) context.setSessionIdContext(odd(plain));
    return contexts.resumable().idContext;
  },
  "sessionIdContext": (odd) => {
    using contexts = new Contexts("TLSv1.3", { sessionIdContext: odd(plain) }, { sessionIdContext: odd(plain) });
    using link = contexts.link().connect();
    return link.server.sessionIdContext;
  },
  "a session id that a callback makes": (odd) => {
    using contexts = new Contexts("TLSv1.2");
    contexts.server.setGenerateSessionIdCallback(() => odd(plain));
    return contexts.resumable().id;
  },
  "SslConnection.exportKeyingMaterial": (odd) =>
    connected((link) => {
      const mine = link.server.exportKeyingMaterial(30, "EXPERIMENTAL", odd(plain));
      assertEquals(mine, link.client.exportKeyingMaterial(30, "EXPERIMENTAL", plain));
      return plain;
    }),
  "ocspResponse": (odd) => {
    const response = Uint8Array.of(0x30, 0x07, 0x0a, 0x01, 0x00, 0xa0, 0x02, 0x30, 0x00);
    return ocspOf(SslContext.server({ ...credentials, ocspResponse: odd(response) }));
  },
};

/** Where libssl writes into a user's array: what it wrote. */
const given: Record<string, (odd: (bytes: Uint8Array) => Uint8Array) => void> = {
  "SslConnection.read": (odd) => {
    connected((link) => {
      link.server.write(plain);
      link.toClient();
      const [first, second] = [odd(new Uint8Array(12).fill(1)), odd(new Uint8Array(40).fill(1))];
      assertEquals([link.client.read(first), link.client.read(second)], [12, plain.length - 12]);
      assertEquals(content(first), plain.slice(0, 12));
      assertEquals(content(second), bytes(text.slice(12).padEnd(40, "\x01")));
      return plain;
    });
  },
  "SslConnection.pullCiphertext": (odd) => {
    connected((link) => {
      link.server.write(plain);
      for (let length = 10; length === 10;) {
        const part = odd(new Uint8Array(10));
        length = link.server.pullCiphertext(part);
        link.client.pushCiphertext(content(part).slice(0, length));
      }
      assertEquals(received(link), plain);
      return plain;
    });
  },
};

describe("arrays that a user passes", () => {
  for (const [place, take] of Object.entries(taken)) {
    for (const [what, make] of Object.entries(odd)) {
      it(`${place}: ${what}`, leavingNothing(() => assertEquals(take(make), plain)));
    }
    for (const [what, make] of Object.entries(refused)) {
      it(
        `${place}: not ${what}`,
        leavingNothing(() => {
          const error = thrownBy(() => take(make));
          assert(error instanceof TypeError && /^Cannot use /.test(error.message), String(error));
        }),
      );
    }
  }
  for (const [place, give] of Object.entries(given)) {
    for (const [what, make] of Object.entries(odd)) it(`${place} into: ${what}`, leavingNothing(() => give(make)));
    for (const [what, make] of Object.entries(refused)) {
      it(
        `${place} into: not ${what}`,
        leavingNothing(() => void assertThrows(() => give(make), TypeError, "Cannot use ")),
      );
    }
  }
});

/** Whether a write that changes keys tells of them. */
const writesCallBack = openLibrary().versionNumber >= 0x30000000;

/** Has a server write while a callback of its context does something; answers what the client gets, all of it 66. */
function writtenInParts(source: Uint8Array, act: () => void): { received: number; error: string } {
  const pointer = new ClientPointer();
  let armed = false;
  const keylog = () => {
    if (armed) act();
  };
  using contexts = new Contexts("TLSv1.3", { keylog }, { keylog: pointer.note });
  using link = contexts.link().connect();
  // The server answers with new keys of its own before it writes.
  pointer.updateKey(asking);
  link.client.handshake();
  link.toServer();
  link.server.read(new Uint8Array(1));
  armed = true;
  const error = thrownBy(() => link.server.write(source)) as Error;
  armed = false;
  let received = 0;
  const buffer = new Uint8Array(100_000);
  link.toClient();
  for (let length = link.client.read(buffer)!; length > 0; length = link.client.read(buffer)!) {
    assert(buffer.subarray(0, length).every((byte) => byte === 66));
    received += length;
  }
  return { received, error: error.message };
}

describe("memory that libssl is lent", () => {
  it(
    "holds no plaintext afterwards",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.3");
      using link = contexts.link().connect();
      const lent: Uint8Array[] = [];
      // Whatever is filled with it is what C was shown.
      const fill = Uint8Array.prototype.fill;
      Uint8Array.prototype.fill = function (this: Uint8Array, ...parameters: Parameters<typeof fill>) {
        if (this.slice(0, plain.length).join() === plain.join()) lent.push(this);
        return fill.apply(this, parameters);
      } as typeof fill;
      try {
        link.server.write(plain);
        link.toClient();
        assertEquals(received(link), plain);
      } finally {
        Uint8Array.prototype.fill = fill;
      }
      assertEquals(lent.length, 2);
      for (const array of lent) assertEquals(array.some((byte) => byte !== 0), false);
    }),
  );

  for (const take of ["resize", "transfer"] as const) {
    it(
      `is taken away in the middle of a long write: nothing else is sent in its place (${take})`,
      { ignore: !writesCallBack },
      leavingNothing(() => {
        const memory = new ArrayBuffer(200_000, take === "resize" ? { maxByteLength: 200_000 } : {});
        const got = writtenInParts(new Uint8Array(memory).fill(66), () => {
          if (take === "resize") memory.resize(70_000);
          else structuredClone(memory, { transfer: [memory] });
        });
        assertEquals(got, {
          received: 65_536,
          error: "Cannot use this plaintext: its memory was transferred, or made smaller than it",
        });
      }),
    );
  }

  it(
    "goes out whole where a callback throws in the middle",
    { ignore: !writesCallBack },
    leavingNothing(() => {
      const got = writtenInParts(new Uint8Array(200_000).fill(66), () => {
        throw new Error("from the callback");
      });
      assertEquals(got, { received: 200_000, error: "from the callback" });
    }),
  );

  it(
    "is not the session id context that a connection tells of",
    leavingNothing(() => {
      using contexts = new Contexts("TLSv1.3");
      using link = contexts.link().connect();
      link.server.sessionIdContext.fill(0);
      assertEquals(link.server.sessionIdContext, bytes("openssl-sessions"));
      const options: SslContextOptions = { ...credentials, sessionIdContext: plain.slice() };
      using context = SslContext.server(options);
      (options.sessionIdContext as Uint8Array).fill(0);
      using other = new Contexts("TLSv1.3");
      other.server.setClientHelloCallback((_connection, hello) => {
        hello.useContext(context);
        return "continue";
      });
      using second = other.link().connect();
      assertEquals(second.server.sessionIdContext, plain);
    }),
  );
});
