import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { pipeline, Readable } from "node:stream";
import { httpConnections, TlsDuplex, type TlsSocket } from "../mod.ts";
import { within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording, Server } from "./socket_support.ts";
import { bytes, versions } from "./support.ts";

const mebibyte = 1024 * 1024;

/** An HTTPS server. */
function serveHttp(answer: RequestListener, prepare: (server: ReturnType<typeof createServer>) => void = () => {}) {
  const http = createServer(answer);
  prepare(http);
  return Server.startStreams(httpConnections(http));
}

interface Answer {
  status: number;
  head: string;
  body: Uint8Array;
  text: string;
}

/** HTTP by hand on one connection. */
class HttpClient {
  readonly recording: Recording = new Recording();
  socket!: TlsSocket;
  #read = 0;

  static async connect(client: Client, port: number): Promise<HttpClient> {
    const http = new HttpClient();
    http.socket = await client.connect(port, http.recording.handlers);
    return http;
  }

  send(head: string, body: Uint8Array = new Uint8Array(0)): void {
    this.socket.write(bytes(`${head.replaceAll("\n", "\r\n")}\r\nhost: localhost\r\n\r\n`));
    if (body.length > 0) this.socket.write(body);
  }

  /** The next answer, whose length is in its head. */
  async answer(hasBody = true): Promise<Answer> {
    let length = this.#read + 1;
    let end = -1;
    let all = new Uint8Array(0);
    while (end < 0) {
      all = new Uint8Array(await this.recording.bytes(length));
      length = all.length + 1;
      end = new TextDecoder("latin1").decode(all.subarray(this.#read, this.#read + 10_000)).indexOf("\r\n\r\n");
    }
    const head = new TextDecoder().decode(all.subarray(this.#read, this.#read + end));
    const start = this.#read + end + 4;
    const size = hasBody ? Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0) : 0;
    const body = (await this.recording.bytes(start + size)).subarray(start, start + size);
    this.#read = start + size;
    return { status: Number(head.split(" ")[1]), head, body, text: new TextDecoder().decode(body) };
  }

  async close(): Promise<void> {
    this.socket.end();
    await within(this.recording.closed, "the connection to close");
  }
}

function say(response: ServerResponse, text: string): void {
  response.writeHead(200, { "content-length": bytes(text).length });
  response.end(text);
}

function collect(request: IncomingMessage, done: (body: Uint8Array) => void): void {
  const hash = createHash("sha256");
  let length = 0;
  request.on("data", (part: Uint8Array) => {
    hash.update(part);
    length += part.length;
  });
  request.on("end", () => done(bytes(`${length} ${hash.digest("hex")}`)));
}

function digest(data: Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

for (const version of versions) {
  describe(`${version}: node:http over httpConnections()`, () => {
    it(
      "answers several requests on one connection",
      leavingNothingLater(async () => {
        const sockets = new Set<unknown>();
        await using server = await serveHttp((request, response) => {
          sockets.add(request.socket);
          say(response, `${request.method} ${request.url}`);
        });
        using client = new Client({ version });
        const http = await HttpClient.connect(client, server.port);
        for (const path of ["/one", "/two", "/three"]) {
          http.send(`GET ${path} HTTP/1.1`);
          const { status, text } = await http.answer();
          assertEquals([status, text], [200, `GET ${path}`]);
        }
        assertEquals(sockets.size, 1);
        await http.close();
        await server.empty();
        assertEquals(server.errors, []);
      }),
    );

    it(
      "knows what was negotiated, by request.socket",
      leavingNothingLater(async () => {
        const seen: Record<string, unknown>[] = [];
        await using server = await serveHttp((request, response) => {
          const duplex = request.socket as unknown as TlsDuplex;
          assert(duplex instanceof TlsDuplex);
          const { protocol, isResumed, serverName } = duplex.tls;
          const { encrypted, remoteAddress } = duplex;
          seen.push({ protocol, isResumed, serverName, encrypted, remoteAddress });
          say(response, "seen");
        });
        using client = new Client({ version });
        for (const resumed of [false, true]) {
          using session = client.sessions.at(-1)?.clone();
          const recording = new Recording();
          const socket = await client.connect(server.port, recording.handlers, session ? { session } : {});
          socket.write(bytes("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"));
          await within(recording.closed, "the connection to close");
          assertMatch(recording.text, /^HTTP\/1\.1 200 OK\r\n[^]*seen$/);
          const { protocol, isResumed, ...rest } = seen.pop()!;
          assertEquals([protocol, isResumed], [version, resumed]);
          assertEquals(rest, { serverName: "localhost", encrypted: true, remoteAddress: "127.0.0.1" });
        }
        await server.empty();
      }),
    );

    it(
      "takes in 8 MiB, byte for byte",
      leavingNothingLater(async () => {
        const body = new Uint8Array(8 * mebibyte).map((_, index) => (index * 2654435761) >>> 13);
        await using server = await serveHttp((request, response) => {
          collect(request, (text) => say(response, new TextDecoder().decode(text)));
        });
        using client = new Client({ version });
        const http = await HttpClient.connect(client, server.port);
        http.send(`POST / HTTP/1.1\ncontent-length: ${body.length}`, body);
        assertEquals((await http.answer()).text, `${body.length} ${digest(body)}`);
        await http.close();
      }),
    );

    it(
      "gives out 8 MiB, byte for byte, to a client that reads slowly",
      leavingNothingLater(async () => {
        const body = new Uint8Array(8 * mebibyte).map((_, index) => (index * 2654435761) >>> 11);
        await using server = await serveHttp((_request, response) => {
          response.writeHead(200, { "content-length": body.length });
          const parts = Array.from(
            { length: 128 },
            (_, part) => body.subarray((part * body.length) / 128, ((part + 1) * body.length) / 128),
          );
          pipeline(Readable.from(parts), response, () => {});
        });
        using client = new Client({ version });
        const http = await HttpClient.connect(client, server.port);
        const { data } = http.recording.handlers;
        http.recording.handlers.data = (socket, bytes) => {
          socket.pause();
          setImmediate(() => socket.resume());
          data!(socket, bytes);
        };
        http.send("GET / HTTP/1.1");
        assertEquals(digest((await http.answer()).body), digest(body));
        await http.close();
      }),
    );

    it(
      "answers HEAD without a body, and the connection goes on",
      leavingNothingLater(async () => {
        await using server = await serveHttp((_request, response) => say(response, "some text"));
        using client = new Client({ version });
        const http = await HttpClient.connect(client, server.port);
        http.send("HEAD / HTTP/1.1");
        const { status, head } = await http.answer(false);
        assertEquals(status, 200);
        assertMatch(head, /content-length: 9/i);
        http.send("GET / HTTP/1.1");
        assertEquals((await http.answer()).text, "some text");
        await http.close();
      }),
    );

    it(
      "ends the connection where the client wants that, and the whole answer arrives",
      leavingNothingLater(async () => {
        const body = "x".repeat(mebibyte);
        await using server = await serveHttp((_request, response) => say(response, body));
        using client = new Client({ version });
        const http = await HttpClient.connect(client, server.port);
        http.send("GET / HTTP/1.1\nconnection: close");
        assertEquals((await http.answer()).text.length, body.length);
        assertEquals(await within(http.recording.closed, "the connection to close"), undefined);
        await server.empty();
        assertEquals(server.errors, []);
      }),
    );

    it(
      "keeps nothing of a client that goes in the middle of an answer",
      leavingNothingLater(async () => {
        const gone = Promise.withResolvers<void>();
        await using server = await serveHttp((_request, response) => {
          response.writeHead(200, { "content-length": 1024 * mebibyte });
          response.on("close", () => gone.resolve());
          const part = new Uint8Array(65536);
          const pump = () => {
            while (!response.destroyed && response.write(part));
          };
          response.on("drain", pump);
          pump();
        });
        using client = new Client({ version });
        const http = await HttpClient.connect(client, server.port);
        http.send("GET / HTTP/1.1");
        await http.recording.bytes(mebibyte);
        http.socket.destroy();
        await within(gone.promise, "the response to close");
        await server.empty();
        assertEquals(server.errors, []);
      }),
    );

    it(
      "ends a connection that is idle for keepAliveTimeout",
      leavingNothingLater(async () => {
        await using server = await serveHttp((_request, response) => say(response, "once"), (http) => {
          http.keepAliveTimeout = 50;
        });
        using client = new Client({ version });
        const http = await HttpClient.connect(client, server.port);
        http.send("GET / HTTP/1.1");
        assertEquals((await http.answer()).text, "once");
        const began = performance.now();
        await within(http.recording.ended, "the idle connection's end");
        assertLess(performance.now() - began, 8000);
        await within(http.recording.closed, "the connection to close");
        await server.empty();
      }),
    );

    it(
      "hands over a connection that is upgraded",
      leavingNothingLater(async () => {
        await using server = await serveHttp((_request, response) => say(response, "no"), (http) => {
          http.on("upgrade", (_request, stream) => {
            stream.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n");
            stream.pipe(stream);
          });
        });
        using client = new Client({ version });
        const http = await HttpClient.connect(client, server.port);
        http.send("GET / HTTP/1.1\nconnection: upgrade\nupgrade: echo");
        assertEquals((await http.answer(false)).status, 101);
        const before = http.recording.length;
        http.socket.write(bytes("hello"));
        await http.recording.bytes(before + 5);
        assert(http.recording.text.endsWith("\r\n\r\nhello"));
        await http.close();
        await server.empty();
      }),
    );

    it(
      "refuses what is no HTTP",
      leavingNothingLater(async () => {
        await using server = await serveHttp((_request, response) => say(response, "no"));
        using client = new Client({ version });
        const http = await HttpClient.connect(client, server.port);
        http.socket.write(bytes("this is no request\r\n\r\n"));
        await within(http.recording.closed, "the connection to close");
        assertMatch(http.recording.text, /^HTTP\/1\.1 400 Bad Request/);
        await server.empty();
      }),
    );
  });
}
