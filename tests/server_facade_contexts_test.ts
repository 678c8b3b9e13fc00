/** How many contexts createServer() makes, and when: one for what was given, and nothing anew that has not changed. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { createServer, type Credentials, type NodeTlsServer, selfSigned } from "../mod.ts";
import { held, library } from "../ssl/library.ts";
import { TemporaryFolder, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording } from "./socket_support.ts";
import { credentials } from "./support.ts";

const many = 40;
const nameOf = (index: number) => `host${index}.example`;
const pemOf = ({ privateKey: key, certificate: cert }: Credentials) => ({ key, cert });

/** How many SSL_CTX are made while something is done. */
async function made(act: () => unknown): Promise<number> {
  const opened = library() as { ssl: ReturnType<typeof library>["ssl"] };
  const { ssl } = opened;
  let count = 0;
  opened.ssl = {
    ...ssl,
    SSL_CTX_new: (method) => {
      count++;
      return ssl.SSL_CTX_new(method);
    },
  };
  try {
    await act();
    return count;
  } finally {
    opened.ssl = ssl;
  }
}

async function started(server: NodeTlsServer): Promise<number> {
  server.listen(0, "127.0.0.1");
  await within(once(server, "listening"), "the server to listen");
  return server.address()!.port;
}

/** The certificate that a client of this name is shown. */
async function shown(port: number, client: Client, serverName: string): Promise<string> {
  const recording = new Recording();
  const socket = await client.connect(port, recording.handlers, { serverName });
  const { fingerprint256 } = socket.peerCertificate!;
  socket.end();
  await within(recording.closed, "the connection to close");
  return fingerprint256;
}

const fingerprint = ({ certificate }: Credentials) => new X509Certificate(certificate).fingerprint256;

describe("createServer() with many names", () => {
  it(
    "makes one context to listen, one for each name that is asked for, and one for each change",
    leavingNothingLater(async () => {
      const before = held.contexts;
      const own = Array.from({ length: many }, (_, index) => selfSigned([nameOf(index)]));
      const server = createServer(pemOf(credentials));
      for (const [index, one] of own.entries()) server.addContext(nameOf(index), pemOf(one));
      assertEquals(held.contexts, before);
      using client = new Client({ verify: "none" });
      const [clients, wildcard] = [held.contexts, selfSigned(["*.wild.example"])];
      let port = 0;
      assertEquals(await made(async () => port = await started(server)), 1);
      assertEquals(held.contexts, clients + 1);

      const ask = async (name: string, expected: Credentials, makes: number) => {
        assertEquals(
          await made(async () => assertEquals(await shown(port, client, name), fingerprint(expected))),
          makes,
        );
      };
      await ask(nameOf(7), own[7]!, 1);
      await ask(nameOf(7), own[7]!, 0);
      await ask("localhost", credentials, 0);
      assertEquals(await made(() => server.addContext("*.wild.example", pemOf(wildcard))), 1);
      await ask("a.wild.example", wildcard, 0);

      const [renewed, other] = [selfSigned(), selfSigned([nameOf(7)])];
      assertEquals(await made(() => server.setSecureContext(pemOf(renewed))), 1);
      await ask("localhost", renewed, 0);
      await ask(nameOf(7), own[7]!, 0);
      const contexts = held.contexts;
      assertEquals(await made(() => server.addContext(nameOf(7).toUpperCase(), pemOf(other))), 1);
      assertEquals(held.contexts, contexts);
      await ask(nameOf(7), other, 0);
      await ask(nameOf(8), own[8]!, 1);
      for (
        const change of [
          () => server.addContext(nameOf(7), { ...pemOf(other), key: credentials.privateKey }),
          () => server.setSecureContext({ cert: "nonsense" }),
        ]
      ) {
        assertThrows(change, Error);
      }
      await ask(nameOf(7), other, 0);
      await ask("localhost", renewed, 0);

      await within(server[Symbol.asyncDispose](), "the server to close");
      assertEquals(held.contexts, clients);
      port = await started(server);
      await ask(nameOf(7), other, 1);
      await ask("localhost", renewed, 0);
      await within(server[Symbol.asyncDispose](), "the server to close");
    }),
  );

  it(
    "tells the secrets of connections of each context, of those too that were there before somebody listened",
    leavingNothingLater(async () => {
      const one = selfSigned(["one.example"]);
      const server = createServer(pemOf(credentials));
      await using _closing = server;
      server.addContext("one.example", pemOf(one));
      const port = await started(server);
      using client = new Client({ verify: "none" });
      await shown(port, client, "one.example");
      const lines: string[] = [];
      assertEquals(await made(() => server.on("keylog", (line) => lines.push(String(line)))), 0);
      for (const name of ["one.example", "localhost"]) {
        lines.length = 0;
        await shown(port, client, name);
        assert(lines.some((line) => line.startsWith("SERVER_HANDSHAKE_TRAFFIC_SECRET ")), `${name}: ${lines}`);
      }
    }),
  );

  it(
    "goes by what files held when they were given",
    leavingNothingLater(async () => {
      using folder = new TemporaryFolder();
      const one = selfSigned(["one.example"]);
      const [certificateFile, privateKeyFile] = [folder.file("cert.pem"), folder.file("key.pem")];
      writeFileSync(certificateFile, one.certificate);
      writeFileSync(privateKeyFile, one.privateKey);
      const server = createServer(pemOf(credentials));
      await using _closing = server;
      server.addContext("one.example", { certificateFile, privateKeyFile });
      writeFileSync(certificateFile, "half a file");
      rmSync(privateKeyFile);
      const port = await started(server);
      using client = new Client({ verify: "none" });
      assertEquals(await shown(port, client, "one.example"), fingerprint(one));
    }),
  );
});
