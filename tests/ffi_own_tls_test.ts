import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { createHash, createSign, createVerify, randomBytes, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { connect, createServer } from "node:tls";
import { openLibrary } from "../mod.ts";
import { Contexts, credentials, versions } from "./support.ts";

/** The runtime's own cryptography at work. */
function ownCrypto(): void {
  assertEquals(
    createHash("sha256").update("abc").digest("hex"),
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  );
  const data = randomBytes(1000);
  const signature = createSign("sha256").update(data).sign(credentials.privateKey);
  const { publicKey } = new X509Certificate(credentials.certificate);
  assert(createVerify("sha256").update(data).verify(publicKey, signature));
  assert(!createVerify("sha256").update(randomBytes(10)).verify(publicKey, signature));
}

/** The runtime's own TLS at work: what a client reads from a server. */
async function ownTls(): Promise<string> {
  const server = createServer({ cert: credentials.certificate, key: credentials.privateKey }, (socket) => {
    socket.end("from the runtime's own TLS");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = connect({ port, host: "127.0.0.1", servername: "localhost", ca: credentials.certificate });
  let text = "";
  client.setEncoding("utf8");
  client.on("data", (part: string) => text += part);
  await once(client, "end");
  client.end();
  server.close();
  await once(server, "close");
  return text;
}

/** Ours at work. */
function ours(): void {
  for (const version of versions) {
    using contexts = new Contexts(version);
    assertEquals(contexts.visit(contexts.resumable()), { resumed: true });
  }
}

describe("the runtime's own TLS and the system's, in one process", () => {
  it("both work, one after the other and again", async () => {
    for (let round = 0; round < 3; round++) {
      ownCrypto();
      assertEquals(await ownTls(), "from the runtime's own TLS");
      ours();
    }
  });

  it("are not one and the same: the version is the one of the file", { ignore: process.platform !== "linux" }, () => {
    const { version } = openLibrary();
    const files = new Set(readFileSync("/proc/self/maps", "utf8").match(/\/\S*libcrypto\S*$/gm));
    assert(files.size > 0);
    assert([...files].some((file) => readFileSync(file).includes(version)), `${version} is in none of ${[...files]}`);
  });
});
