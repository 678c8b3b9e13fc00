import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { writeFileSync } from "node:fs";
import { ClientSessions } from "../mod.ts";
import { exchange } from "./client_support.ts";
import { accepting, needing, onFreePort, pathOf } from "./outside_programs.ts";
import { Program, runtimeNamed, TemporaryFolder } from "./server_support.ts";
import { leavingNothingLater } from "./socket_support.ts";
import { credentials, versions } from "./support.ts";

const request = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/** Three visits: the first is a full handshake, the others resume; both sides are asked. */
async function resumes(port: number, version: typeof versions[number], resumedThere: (answer: string) => boolean) {
  using sessions = new ClientSessions();
  const seen = [];
  for (let n = 0; n < 3; n++) {
    const options = { sessions, minVersion: version, maxVersion: version };
    const { visit, answer } = await exchange(port, options, request);
    assertMatch(answer, /^HTTP\/1\.[01] 200 /i);
    seen.push([visit.resumed, resumedThere(answer), visit.protocol]);
  }
  assertEquals(seen, [[false, false, version], [true, true, version], [true, true, version]]);
}

/** The certificate and key in files. */
class Files {
  readonly folder: TemporaryFolder = new TemporaryFolder();
  readonly certificate: string = this.folder.file("certificate.pem");
  readonly key: string = this.folder.file("key.pem");

  constructor() {
    writeFileSync(this.certificate, credentials.certificate);
    writeFileSync(this.key, credentials.privateKey);
  }

  [Symbol.dispose](): void {
    this.folder[Symbol.dispose]();
  }
}

const openssl = needing(["openssl"], "openssl");
openssl.describe("connect() and openssl s_server", () => {
  for (const version of versions) {
    for (const tickets of [true, false]) {
      openssl.it(
        `resumes ${tickets ? "by tickets" : "from its cache"}, with ${version}`,
        leavingNothingLater(async () => {
          using files = new Files();
          const { program, port } = await onFreePort(async (port) => {
            const args = ["s_server", "-port", String(port), "-cert", files.certificate, "-key", files.key, "-www"];
            const program = new Program(pathOf("openssl")!, [...args, ...(tickets ? [] : ["-no_ticket"])]);
            await accepting(program, port);
            return { program, port };
          });
          await using _program = program;
          await resumes(port, version, (answer) => /^Reused, /m.test(answer));
        }),
      );
    }
  }
});

const nginx = needing(["nginx"], "nginx");
nginx.describe("connect() and nginx", () => {
  for (const version of versions) {
    for (const tickets of ["on", "off"]) {
      nginx.it(
        `resumes with its tickets ${tickets}, with ${version}`,
        leavingNothingLater(async () => {
          using files = new Files();
          const { program, port } = await onFreePort(async (port) => {
            const configuration = files.folder.file("nginx.conf");
            const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
            writeFileSync(
              configuration,
              `daemon off;
              master_process off;
              pid ${files.folder.file("nginx.pid")};
              error_log stderr;
              events {}
              http {
                access_log off;
                ${temporary.map((name) => `${name}_temp_path ${files.folder.file(name)};`).join("\n")}
                server {
                  listen 127.0.0.1:${port} ssl;
                  ssl_certificate ${files.certificate};
                  ssl_certificate_key ${files.key};
                  ssl_protocols TLSv1.2 TLSv1.3;
                  ssl_session_cache shared:sessions:1m;
                  ssl_session_tickets ${tickets};
                  location / { return 200 "reused: $ssl_session_reused\\n"; }
                }
              }`,
            );
            const program = new Program(pathOf("nginx")!, ["-c", configuration, "-e", "stderr"]);
            await accepting(program, port);
            return { program, port };
          });
          await using _program = program;
          await resumes(port, version, (answer) => /^reused: r$/m.test(answer));
        }),
      );
    }
  }
});

describe("connect() and node:https", () => {
  for (const version of versions) {
    it(
      `resumes, with ${version}`,
      leavingNothingLater(async () => {
        using files = new Files();
        const { command } = await runtimeNamed("node24");
        await using program = new Program(command, [
          "-e",
          `const { readFileSync } = require("node:fs");
          const [cert, key] = ${JSON.stringify([files.certificate, files.key])}.map((file) => readFileSync(file));
          const server = require("node:https").createServer({ cert, key }, (request, response) => {
            response.end("reused: " + request.socket.isSessionReused() + "\\n");
          });
          server.listen(0, "127.0.0.1", () => console.log("port " + server.address().port));`,
        ]);
        const [, port] = await program.writes(/port (\d+)/);
        await resumes(Number(port), version, (answer) => /^reused: true$/m.test(answer));
      }),
    );
  }
});
