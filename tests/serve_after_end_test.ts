import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { preface, settings } from "./http2_frames.ts";
import { Served } from "./serve_support.ts";
import { joined, until, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording } from "./socket_support.ts";
import { bytes } from "./support.ts";

/** Records, and does not end when the server does. */
const staying = () => new Recording({ end() {} });

/** Whether a server still answers. */
async function answers(port: number): Promise<void> {
  using client = new Client({ alpnProtocols: ["http/1.1"] });
  const recording = new Recording();
  const socket = await client.connect(port, recording.handlers);
  socket.write(bytes("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"));
  await until(() => recording.text.includes("ok"), "an answer");
  socket.destroy();
}

describe("serve(), what a client says after the server's end", () => {
  for (
    const [what, said] of [
      ["the beginning of HTTP/2", joined([preface, settings()])],
      ["another request", bytes("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")],
      ["nonsense", bytes("\0\r\n\r\n")],
    ] as const
  ) {
    it(
      `costs nobody else anything, on HTTP/1.1: ${what}`,
      leavingNothingLater(async () => {
        await using server = await Served.start(() => new Response("ok"));
        using client = new Client({ alpnProtocols: ["http/1.1"] });
        const recording = staying();
        const socket = await client.connect(server.port, recording.handlers);
        socket.write(bytes("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"));
        await within(recording.ended, "the server's end");
        assertMatch(recording.text, /ok/);
        socket.write(said);
        await answers(server.port);
        assertEquals(server.server.stats().requests, 2);
        socket.destroy();
      }),
    );
  }

  for (
    const [what, said] of [
      ["the beginning of HTTP/2", joined([preface, settings()])],
      ["HTTP/1.1", bytes("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")],
    ] as const
  ) {
    it(
      `does not end the program, where a closing server hears ${what} where HTTP/2 was negotiated`,
      leavingNothingLater(async () => {
        await using server = await Served.start(() => new Response("ok"));
        using client = new Client({ alpnProtocols: ["h2"] });
        const recording = staying();
        const socket = await client.connect(server.port, recording.handlers);
        const closed = server.server.close({ grace: 2500 });
        await within(recording.ended, "the server's end");
        socket.write(said);
        await within(closed, "the server to close");
        assertEquals(server.server.stats().requests, 0);
        socket.destroy();
      }),
    );
  }
});
