/** That what selfSigned() makes works as a trusted certificate with the clients that people have. */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { X509Certificate } from "node:crypto";
import { writeFileSync } from "node:fs";
import { get as httpsGet } from "node:https";
import { type Credentials, selfSigned, serve } from "../mod.ts";
import { curl, run, sClient } from "./curl_support.ts";
import { needing } from "./outside_programs.ts";
import { TemporaryFolder, thisRuntime, within } from "./server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";

/** A server with such a certificate, and the file that a client is to trust. */
function served(names: string[] | undefined, test: (server: Served) => Promise<void>): () => Promise<void> {
  return leavingNothingLater(async () => {
    const credentials = selfSigned(names);
    using folder = new TemporaryFolder();
    const file = folder.file("certificate.pem");
    writeFileSync(file, credentials.certificate);
    // The same on each runtime: HTTP/2 needs packages on some.
    const options = { ...credentials, hostname: "127.0.0.1", alpnProtocols: ["http/1.1"] };
    await using server = await serve(options, () => new Response("trusted"));
    await test({ port: server.port, credentials, file });
  });
}

interface Served {
  readonly port: number;
  readonly credentials: Credentials;
  readonly file: string;
}

interface DenoClients {
  createHttpClient(options: { caCerts: string[] }): { close(): void };
}

/** The answer to the runtime's own fetch, or to node:https on Node, whose fetch takes no certificates. */
async function fetched(url: string, certificate: string): Promise<string> {
  if (thisRuntime === "deno") {
    const client = (globalThis as unknown as { Deno: DenoClients }).Deno.createHttpClient({ caCerts: [certificate] });
    try {
      return await (await fetch(url, { client } as RequestInit)).text();
    } finally {
      client.close();
    }
  }
  if (thisRuntime === "bun") {
    return await (await fetch(url, { tls: { ca: certificate }, keepalive: false } as RequestInit)).text();
  }
  return await new Promise((resolve, reject) => {
    httpsGet(url, { ca: certificate, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part) => text += part).on("end", () => resolve(text));
    }).on("error", reject);
  });
}

const python = needing(["python3"], "python3");

describe("selfSigned()", () => {
  it("makes a server's certificate, and no authority's", () => {
    assertEquals(new X509Certificate(selfSigned().certificate).ca, false);
  });

  it(
    "is trusted by this runtime's own client",
    served(undefined, async ({ port, credentials }) => {
      for (const host of ["localhost", "127.0.0.1"]) {
        assertEquals(
          await within(fetched(`https://${host}:${port}/`, credentials.certificate), "an answer"),
          "trusted",
        );
      }
    }),
  );

  it(
    "is trusted by curl, by name and by address",
    served(["one.example", "127.0.0.1"], async ({ port, file }) => {
      const resolve = ["--resolve", `one.example:${port}:127.0.0.1`];
      assertEquals(await curl("--cacert", file, ...resolve, `https://one.example:${port}/`), "trusted");
      assertEquals(await curl("--cacert", file, `https://127.0.0.1:${port}/`), "trusted");
    }),
  );

  it(
    "is trusted by openssl s_client, which looks at everything",
    served(undefined, async ({ port, file }) => {
      for (const more of [[], ["-x509_strict"], ["-partial_chain"]]) {
        const verifying = ["-CAfile", file, "-verify_return_error", "-verify_hostname", "localhost", ...more];
        const { output } = await sClient(port, verifying);
        assertMatch(output, /^Verify return code: 0 \(ok\)$/m);
        assertStringIncludes(output, "trusted");
      }
    }),
  );
});

python.describe("selfSigned(), with Python", () => {
  python.it(
    "is trusted by its ssl module, as strict as it goes",
    served(undefined, async ({ port, file }) => {
      const script = `
import socket, ssl
context = ssl.create_default_context(cafile=${JSON.stringify(file)})
context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
for host in ("localhost", "127.0.0.1"):
    with socket.create_connection(("127.0.0.1", ${port})) as plain:
        with context.wrap_socket(plain, server_hostname=host) as tls:
            tls.sendall(b"GET / HTTP/1.1\\r\\nhost: localhost\\r\\nconnection: close\\r\\n\\r\\n")
            answer = b""
            while part := tls.recv(4096):
                answer += part
            print(answer.decode().splitlines()[0])
`;
      const { code, stdout, stderr } = await run("python3", ["-c", script]);
      assertEquals([code, stderr, stdout], [0, "", "HTTP/1.1 200 OK\nHTTP/1.1 200 OK\n"]);
    }),
  );
});
