import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { ClientSessions, connect, listen, type TlsSocket } from "../mod.ts";
import { odd, refused } from "./odd_arrays.ts";
import { joined, within } from "./server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { bytes, credentials, thrownBy } from "./support.ts";

const plain = bytes("0123456789 abcdefghij");
const filler = new Uint8Array(20_000).fill(46);

/** What a client gets that asks a server for something; another client's secret went through the server before. */
async function answerOf(answer: (socket: TlsSocket) => void, maxBufferedBytes = 50_000): Promise<Uint8Array> {
  const server = await listen({ ...credentials, hostname: "127.0.0.1", maxBufferedBytes }, {
    data: (socket, request) => String.fromCharCode(request[0]!) === "?" ? answer(socket) : socket.end(bytes("ok")),
  });
  try {
    await received(server.port, bytes(`my secret${"hunter2".repeat(20)}`));
    return await received(server.port, bytes("?"));
  } finally {
    await server.close();
  }
}

async function received(port: number, request: Uint8Array): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const ended = Promise.withResolvers<void>();
  using sessions = new ClientSessions();
  const trust = { certificateAuthorities: credentials.certificate, sessions };
  const socket = await connect({ hostname: "127.0.0.1", port, ...trust }, {
    data: (_socket, part) => void parts.push(part),
    close: (_socket, error) => error ? ended.reject(error) : ended.resolve(),
  });
  socket.write(request);
  await within(ended.promise, "the server's answer");
  return joined(parts);
}

describe("arrays that a user passes to a TlsSocket", () => {
  for (const [what, make] of Object.entries(odd)) {
    it(
      `are sent as they are, and counted so: ${what}`,
      leavingNothingLater(async () => {
        const got = await answerOf((socket) => {
          assertEquals(socket.write(make(plain)), true);
          socket.write(filler);
          socket.end(make(plain));
        });
        assertEquals([got.length, got.subarray(0, plain.length), got.subarray(-plain.length)], [
          2 * plain.length + filler.length,
          plain,
          plain,
        ]);
      }),
    );
  }

  for (const [what, make] of Object.entries(refused)) {
    it(
      `are refused, and the connection goes on: ${what}`,
      leavingNothingLater(async () => {
        const got = await answerOf((socket) => {
          for (const send of [() => socket.write(make()), () => socket.end(make())]) {
            const error = thrownBy(send);
            assert(error instanceof TypeError && /^Cannot use this plaintext: /.test(error.message), String(error));
          }
          socket.end(plain);
        });
        assertEquals(got, plain);
      }),
    );
  }
});
