/** What each framework is asked for, over TLS, by curl. */

import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { createHash } from "node:crypto";
import { createReadStream, writeFileSync } from "node:fs";
import type { Server as HttpServer } from "node:http";
import type { Http2Server } from "node:http2";
import { Readable } from "node:stream";
import { httpConnections } from "../mod.ts";
import { curl } from "./curl_support.ts";
import { TemporaryFolder } from "./server_support.ts";
import { leavingNothingLater, Server } from "./socket_support.ts";

/** The body of `/download`, and of what is uploaded to `/upload`. */
export const large: Uint8Array = new Uint8Array(8 * 1024 * 1024).map((_, index) => (index * 2654435761) >>> 13);

/** The same as a stream, in parts as files are read. */
export function largeStream(): Readable {
  const length = 65_536;
  return Readable.from(
    Array.from({ length: large.length / length }, (_, i) => large.slice(i * length, (i + 1) * length)),
  );
}

/** The length and the hash of all that a stream gives. */
export async function digestOf(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash("sha256");
  let length = 0;
  for await (const part of stream) {
    hash.update(part);
    length += part.length;
  }
  return `${length} ${hash.digest("hex")}`;
}

/** What the framework says of a request: its own words for where it came from, and the JSON that came in it. */
export interface Seen {
  protocol: string;
  secure: boolean;
  ip: string;
  body: unknown;
}

/**
 * Asks a framework for all that the applications have in common: `POST /json` answers {@linkcode Seen}, `/download`
 * streams {@linkcode large}, `POST /upload` answers the digest of what came, and `/throw` throws an Error with the
 * message `boom`, which the application's error handler answers with status 500 and `handled: boom`.
 */
export function describeFramework(
  name: string,
  makeServer: () => HttpServer | Http2Server | Promise<HttpServer>,
  alpnProtocol: "http/1.1" | "h2" = "http/1.1",
): void {
  async function withServer(test: (url: string, server: Server) => Promise<void>): Promise<void> {
    await using server = await Server.startStreams(httpConnections(await makeServer()), {
      alpnProtocols: [alpnProtocol],
    });
    await test(`https://localhost:${server.port}`, server);
    await server.empty();
    assertEquals(server.errors, []);
  }

  describe(`${name} over TlsDuplex`, () => {
    it(
      "takes JSON in, gives JSON out, and knows the protocol and the client's address",
      leavingNothingLater(() =>
        withServer(async (url) => {
          const type = "content-type: application/json";
          const answer = await curl("-k", "--header", type, "--data", '{"a":[1,"ä"]}', `${url}/json`);
          const seen: Seen = JSON.parse(answer);
          assertEquals(seen, { protocol: "https", secure: true, ip: "127.0.0.1", body: { a: [1, "ä"] } });
        })
      ),
    );

    it(
      "answers several requests on one connection",
      leavingNothingLater(() =>
        withServer(async (url) => {
          const each = ["--header", "content-type: application/json", "--data", "{}"];
          const report = ["--write-out", "|%{num_connects}\n"];
          const answers = await curl("-k", ...each, ...report, ...Array(3).fill(`${url}/json`));
          assertEquals(answers.trim().split("\n").map((line) => line.split("|")[1]), ["1", "0", "0"]);
        })
      ),
    );

    it(
      "streams a large answer, byte for byte",
      leavingNothingLater(() =>
        withServer(async (url) => {
          using folder = new TemporaryFolder();
          const file = folder.file("download");
          const report = await curl("-k", "--output", file, "--write-out", "%{size_download}", `${url}/download`);
          assertEquals(Number(report), large.length);
          assertEquals(await digestOf(createReadStream(file)), await digestOf(largeStream()));
        })
      ),
    );

    it(
      "takes in a large body, byte for byte, of a known length and of an unknown one",
      leavingNothingLater(() =>
        withServer(async (url) => {
          using folder = new TemporaryFolder();
          const file = folder.file("upload");
          writeFileSync(file, large);
          const expected = await digestOf(largeStream());
          const type = ["--header", "content-type: application/octet-stream"];
          for (const more of [[], ["--header", "transfer-encoding: chunked"]]) {
            const body = [...type, ...more];
            assertEquals(await curl("-k", ...body, "--data-binary", `@${file}`, `${url}/upload`), expected);
          }
        })
      ),
    );

    it(
      "runs the application's error handler, and the connection goes on",
      leavingNothingLater(() =>
        withServer(async (url) => {
          const report = ["--write-out", "|%{http_code}|%{num_connects}\n"];
          const answers = await curl("-k", ...report, `${url}/throw`, `${url}/throw`, `${url}/nowhere`);
          const answered = answers.trim().split("\n");
          assertEquals(answered.slice(0, 2), ["handled: boom|500|1", "handled: boom|500|0"]);
          assert(answers.trim().endsWith("|404|0"), answers);
        })
      ),
    );
  });
}
