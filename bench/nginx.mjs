// nginx with its shared session cache, doing what server.ts does.

import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { Program, temporaryFolder, Trouble } from "./processes.mjs";

// Where Debian has it, a user's path has not.
const programs = process.env.NGINX ? [process.env.NGINX] : ["nginx", "/usr/sbin/nginx"];

/** The nginx of this machine: `{ path, title }`, or undefined. */
export function findNginx() {
  for (const path of programs) {
    const { status, stderr } = spawnSync(path, ["-V"], { encoding: "utf8" });
    const version = /nginx\/([\d.]+)/.exec(stderr ?? "")?.[1];
    if (status !== 0 || !version || !stderr.includes("http_ssl_module")) continue;
    // It says what it was built with, and what it runs with where that is another.
    const openssl = /running with (OpenSSL \S+)/.exec(stderr)?.[1] ?? /built with (OpenSSL \S+)/.exec(stderr)?.[1];
    return { path, title: `nginx ${version}`, openssl };
  }
  return undefined;
}

/** Starts it: `{ program, port }`. One process, as that is what its CPU time is read from. */
export async function startNginx(path, [certificate, key]) {
  const port = await freePort();
  const folder = temporaryFolder();
  const file = join(folder, "nginx.conf");
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${join(folder, kind)};`).join("\n  ");
  writeFileSync(
    file,
    `daemon off;
master_process off;
worker_processes 1;
pid ${join(folder, "nginx.pid")};
error_log ${join(folder, "nginx.log")} error;
events { worker_connections 1024; }
http {
  ${temporary}
  access_log off;
  keepalive_timeout 0;
  default_type text/plain;
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${certificate};
    ssl_certificate_key ${key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:bench:20m;
    ssl_session_tickets off;
    # As many sessions for a TLS 1.3 handshake as a SessionCache makes.
    ssl_conf_command NumTickets 1;
    return 200 "Hello, world!";
  }
}
`,
  );
  const program = new Program("nginx", [path, "-p", folder, "-e", join(folder, "nginx.log"), "-c", file]);
  const patience = Date.now() + 5000;
  while (!await answers(port)) {
    program.requireAlive();
    if (Date.now() > patience) throw new Trouble("nginx: it does not listen");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { program, port };
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function answers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => resolve(true)).on("error", () => resolve(false)).on("connect", () => socket.destroy());
  });
}
