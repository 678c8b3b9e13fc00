import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { FetchHandler } from "../mod.ts";
import { Served } from "./serve_support.ts";
import { thisRuntime, until } from "./server_support.ts";
import { Client, leavingNothingLater, Recording } from "./socket_support.ts";
import { bytes } from "./support.ts";

const text = "hello world";

/** The same text as a stream, in two parts with a pause between. */
function stream(end = (controller: ReadableStreamDefaultController) => controller.close()): ReadableStream {
  let count = 0;
  return new ReadableStream({
    async pull(controller) {
      if (count++ === 0) return controller.enqueue(bytes(text.slice(0, 6)));
      await new Promise((resolve) => setTimeout(resolve, 20));
      if (count === 2) controller.enqueue(bytes(text.slice(6)));
      else end(controller);
    },
  });
}

/** An answer of HTTP/1.1, read as a strict client does: by its own framing. */
function parse(raw: string): { head: string; body: string; rest: string } | undefined {
  const end = raw.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const head = raw.slice(0, end).toLowerCase();
  let rest = raw.slice(end + 4);
  const lengths = head.match(/^content-length:.*$/gm) ?? [];
  const codings = head.match(/^transfer-encoding:.*$/gm) ?? [];
  assert(lengths.length + codings.length <= 1, `two framings: ${head}`);
  if (/^http\/1\.[01] (1|204|304)/.test(head)) return { head, body: "", rest };
  if (lengths.length > 0) {
    const [, digits] = /: *(\d+)$/.exec(lengths[0]!)!;
    const length = Number(digits);
    return rest.length < length ? undefined : { head, body: rest.slice(0, length), rest: rest.slice(length) };
  }
  assertEquals(codings, ["transfer-encoding: chunked"]);
  let body = "";
  while (true) {
    const [line, digits] = /^([0-9a-f]+)\r\n/i.exec(rest) ?? [];
    if (line === undefined) return undefined;
    const length = parseInt(digits!, 16);
    if (rest.length < line.length + length + 2) return undefined;
    body += rest.slice(line.length, line.length + length);
    rest = rest.slice(line.length + length + 2);
    if (length === 0) return { head, body, rest };
  }
}

/** Asks for something, and then for something else on the same connection, if it is still there. */
async function twoAnswers(handler: FetchHandler, method = "GET") {
  await using server = await Served.start((request, info) => {
    return request.url.endsWith("/next") ? new Response("next") : handler(request, info);
  });
  using client = new Client({ alpnProtocols: ["http/1.1"] });
  const recording = new Recording();
  const socket = await client.connect(server.port, recording.handlers);
  let isClosed = false;
  recording.ended.then(() => isClosed = true);
  recording.closed.then(() => isClosed = true);
  socket.write(bytes(`${method} / HTTP/1.1\r\nhost: localhost\r\n\r\n`));
  const isThere = () => method === "HEAD" ? recording.text.includes("\r\n\r\n") : parse(recording.text) !== undefined;
  await until(() => isClosed || isThere(), "an answer");
  let first = parse(recording.text);
  if (method === "HEAD") {
    const [head, ...rest] = recording.text.split("\r\n\r\n");
    first = { head: head!.toLowerCase(), body: "", rest: rest.join("\r\n\r\n") };
  }
  assertEquals(first?.rest ?? "", "");
  const { length } = recording;
  let second = "";
  if (!isClosed) {
    socket.write(bytes("GET /next HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    await until(() => isClosed || parse(recording.text.slice(length)) !== undefined, "the next answer");
    second = parse(recording.text.slice(length))?.body ?? "";
  }
  socket.destroy();
  return { first, second, raw: recording.text, errors: server.errors };
}

const wrong: Record<string, [string, string][]> = {
  "transfer-encoding: chunked": [["transfer-encoding", "chunked"]],
  "transfer-encoding: gzip, chunked": [["transfer-encoding", "gzip, chunked"]],
  "transfer-encoding and content-length": [["transfer-encoding", "chunked"], ["content-length", "11"]],
  "a content-length that is too short": [["content-length", "5"]],
  "a content-length that is too long": [["content-length", "50"]],
  "a content-length that is none": [["content-length", "abc"]],
  "a content-length with a sign": [["content-length", "+11"]],
  "two lengths": [["content-length", "11"], ["content-length", "5"]],
  "connection: content-length": [["connection", "content-length, keep-alive"], ["keep-alive", "timeout=5"]],
  "upgrade: h2c": [["upgrade", "h2c"], ["connection", "upgrade"]],
};

describe("serve() sends an answer over HTTP/1.1 with one framing", () => {
  for (const [what, headers] of Object.entries(wrong)) {
    it(
      `for text with ${what}`,
      leavingNothingLater(async () => {
        const { first, second, raw } = await twoAnswers(() => new Response(text, { headers }));
        assertEquals([first?.body, second], [text, "next"], raw);
        for (const line of first!.head.split("\r\n").slice(1)) {
          assert(!/^(keep-alive|upgrade|proxy-connection):|^connection: (?!keep-alive$|close$)/.test(line), line);
        }
      }),
    );

    it(
      `for a stream with ${what}`,
      leavingNothingLater(async () => {
        const { first, second, raw } = await twoAnswers(() => new Response(stream(), { headers }));
        // What does not fit its length is cut, so that a client sees it, or sent without that length.
        if (first) assert(first.body === text || (first.body === text.slice(0, 5) && what.includes("short")), raw);
        assert(first ? second === "next" : second === "", raw);
      }),
    );
  }

  for (const status of [204, 304]) {
    it(
      `for ${status} with a content-length`,
      leavingNothingLater(async () => {
        const headers = { "content-length": "5" };
        const { second } = await twoAnswers(() => new Response(null, { status, headers }));
        assertEquals(second, "next");
      }),
    );
  }

  it(
    "for HEAD, with the length that the handler says",
    leavingNothingLater(async () => {
      const headers = { "content-length": "12345" };
      const { first, second } = await twoAnswers(() => new Response(null, { headers }), "HEAD");
      assert(/^content-length: (12345|0)$/m.test(first!.head), first!.head);
      assertEquals(second, "next");
    }),
  );

  it(
    "for one that says that it is the last",
    leavingNothingLater(async () => {
      const { first } = await twoAnswers(() => new Response(text, { headers: { connection: "Close" } }));
      assertEquals(first!.body, text);
      assert(/^connection: close$/m.test(first!.head), first!.head);
    }),
  );
});

describe("serve() tells the operator of a body that fails", () => {
  const makes: Record<string, () => ReadableStream> = {
    "by its controller": () => stream((controller) => controller.error(new Error("midway"))),
    "by throwing": () => {
      return stream(() => {
        throw new Error("midway");
      });
    },
    "behind a TransformStream": () => stream((it) => it.error(new Error("midway"))).pipeThrough(new TransformStream()),
  };
  for (const [how, make] of Object.entries(makes)) {
    it(
      `${how}, and does not end it as if it were whole`,
      leavingNothingLater(async () => {
        const { first, errors, raw } = await twoAnswers(() => new Response(make()));
        assertEquals(first, undefined, raw);
        assert(raw.includes(text.slice(0, 6)), raw);
        assertEquals(errors.map(({ message }) => message), ["midway"]);
      }),
    );
  }

  it(
    "and not of one whose client has gone",
    leavingNothingLater(async () => {
      let isCancelled = false;
      let isPulled = false;
      const endless = () =>
        new ReadableStream({
          async pull(controller) {
            isPulled = true;
            await new Promise((resolve) => setTimeout(resolve, 5));
            isPulled = false;
            if (!isCancelled) controller.enqueue(new Uint8Array(1000));
          },
          cancel: () => void (isCancelled = true),
        });
      await using server = await Served.start(() => new Response(endless()));
      using client = new Client({ alpnProtocols: ["http/1.1"] });
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      socket.write(bytes("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"));
      await recording.bytes(5000);
      socket.destroy();
      await until(() => isCancelled && !isPulled && server.server.connections === 0, "the stream to be cancelled");
      assertEquals(server.errors, [], thisRuntime);
    }),
  );
});
