import { assertEquals, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { createServer as createHttp1 } from "node:http";
import { connect as connectHttp2, createServer as createHttp2, type ServerHttp2Stream } from "node:http2";
import { Duplex } from "node:stream";
import { httpConnections, type TlsSocket } from "../mod.ts";
import { curl } from "./curl_support.ts";
import { within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording, Server } from "./socket_support.ts";
import { bytes, versions } from "./support.ts";

/** A server of HTTP/2 and HTTP/1.1, by ALPN. */
function serveBoth() {
  const http2 = createHttp2();
  http2.on("stream", (stream: ServerHttp2Stream, headers) => {
    if (headers[":method"] === "POST") {
      stream.respond({ ":status": 200 });
      stream.pipe(stream);
      return;
    }
    stream.respond({ ":status": 200, "content-type": "text/plain" });
    stream.end(`HTTP/2 ${headers[":path"]}`);
  });
  const http1 = createHttp1((request, response) => response.end(`HTTP/1.1 ${request.url}`));
  const [handle1, handle2] = [httpConnections(http1), httpConnections(http2)];
  return Server.startStreams((socket) => (socket.alpnProtocol === "h2" ? handle2 : handle1)(socket), {
    alpnProtocols: ["h2", "http/1.1"],
  });
}

/** A client's socket as a stream. */
class ClientStream extends Duplex {
  readonly recording: Recording = new Recording({
    data: (_socket, bytes) => void this.push(bytes),
    end: (socket) => {
      this.push(null);
      socket.end();
    },
    close: () => void this.destroy(),
  });
  socket!: TlsSocket;

  override _read(): void {}
  override _write(chunk: Uint8Array, _encoding: string, done: () => void): void {
    this.socket.write(chunk);
    done();
  }
  override _final(done: () => void): void {
    this.socket.end();
    done();
  }
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.socket.destroy();
    done(error);
  }
}

for (const version of versions) {
  describe(`${version}: node:http2 over httpConnections()`, () => {
    it(
      "answers several requests at once on one connection",
      leavingNothingLater(async () => {
        await using server = await serveBoth();
        using client = new Client({ version, alpnProtocols: ["h2"] });
        const stream = new ClientStream();
        stream.socket = await client.connect(server.port, stream.recording.handlers);
        assertEquals(stream.socket.alpnProtocol, "h2");
        const session = connectHttp2("https://localhost", { createConnection: () => stream });
        const get = (path: string, body?: Uint8Array) =>
          new Promise<string>((resolve, reject) => {
            const request = session.request({ ":path": path, ":method": body ? "POST" : "GET" });
            let text = "";
            request.setEncoding("utf8");
            request.on("data", (part) => text += part);
            request.on("end", () => resolve(text));
            request.on("error", reject);
            request.end(body);
          });
        const large = "0123456789abcdef".repeat(16 * 1024);
        const answers = await within(
          Promise.all([get("/one"), get("/two"), get("/three"), get("/echo", bytes(large))]),
          "the answers",
        );
        assertEquals(answers.slice(0, 3), ["HTTP/2 /one", "HTTP/2 /two", "HTTP/2 /three"]);
        assertEquals(answers[3] === large, true);
        const closed = new Promise<void>((resolve) => session.close(() => resolve()));
        await within(closed, "the session to close");
        stream.socket.end();
        await within(stream.recording.closed, "the connection to close");
        await server.empty();
        assertEquals(server.errors, []);
      }),
    );

    it(
      "answers curl by HTTP/2 and by HTTP/1.1, whichever it offers",
      leavingNothingLater(async () => {
        await using server = await serveBoth();
        const url = `https://127.0.0.1:${server.port}/path`;
        const limit = version === "TLSv1.2" ? ["--tls-max", "1.2"] : ["--tlsv1.3"];
        assertEquals(await curl("-k", ...limit, "--http2", url), "HTTP/2 /path");
        assertEquals(await curl("-k", ...limit, "--http1.1", url), "HTTP/1.1 /path");
        const verbose = await curl("-k", ...limit, "--http2", "--include", url, url);
        assertStringIncludes(verbose, "HTTP/2 200");
        await server.empty();
      }),
    );
  });
}
