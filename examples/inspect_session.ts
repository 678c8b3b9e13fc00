/**
 * Shows what is in a session's PEM file, without its secrets: one that examples/session_file_client.ts wrote, or
 * `openssl s_client -sess_out`.
 *
 *   deno run -A examples/inspect_session.ts session.pem
 *   bun examples/inspect_session.ts session.pem
 *   node examples/inspect_session.ts session.pem
 */

import { readFileSync } from "node:fs";
import process from "node:process";
import { Session } from "../mod.ts";

const file = process.argv[2] ?? "session.pem";
try {
  using session = Session.fromPem(readFileSync(file, "utf8"));
  const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const facts = {
    "protocol": session.protocol,
    "cipher": session.cipher,
    "id": hex(session.id),
    "created": session.created.toISOString(),
    "expires": `${session.expires.toISOString()} (${session.timeout} s)`,
    "server name": session.serverName ?? "-",
    "ALPN": session.alpnProtocol ?? "-",
    "ticket lifetime": `${session.ticketLifetimeHint} s`,
    "early data": `${session.maxEarlyData} bytes`,
    "resumable": session.isResumable ? "yes" : "no",
    "id context": hex(session.idContext) || "-",
    "peer": session.peerCertificate?.subject.replaceAll("\n", ", ") ?? "-",
  };
  for (const [name, value] of Object.entries(facts)) console.log(`${name.padEnd(16)} ${value}`);
} catch (error) {
  console.error(`Cannot inspect ${file}: ${(error as Error).message}`);
  process.exitCode = 1;
}
