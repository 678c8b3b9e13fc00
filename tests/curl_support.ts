/** The command-line clients that people have: curl and openssl s_client. */

import { Program } from "./server_support.ts";

/** Runs a program; answers what it wrote, and its exit code. */
export async function run(
  command: string,
  args: readonly string[],
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  await using program = new Program(command, args);
  program.child.stdin!.end();
  const { code } = await program.end();
  return { code, stdout: program.stdout, stderr: program.stderr };
}

const quietly = ["--silent", "--show-error", "--max-time", "30"];

/** Runs curl. Fails if curl does. */
export async function curl(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run("curl", [...quietly, ...args]);
  if (code !== 0) throw new Error(`curl ended with ${code}: ${stderr}`);
  return stdout;
}

/** Runs curl. Fails if curl does not. */
export async function curlFailing(...args: string[]): Promise<{ code: number | null; stdout: string }> {
  const { code, stdout } = await run("curl", [...quietly, ...args]);
  if (code === 0) throw new Error(`curl did not fail: ${stdout}`);
  return { code, stdout };
}

/** What `openssl s_client` says of the session: `New` or `Reused`, and the protocol. */
export interface ClientReport {
  session: string;
  protocol: string;
  output: string;
}

/**
 * Makes one connection and one request by `openssl s_client`, which stays until the answer has come: with TLS 1.3 the
 * ticket comes before it.
 */
export async function sClient(port: number, args: readonly string[]): Promise<ClientReport> {
  const connection = ["s_client", "-connect", `127.0.0.1:${port}`, "-servername", "localhost", "-ign_eof"];
  await using program = new Program("openssl", [...connection, ...args]);
  program.child.stdin!.write("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
  await program.end();
  const [, session = "", protocol = ""] = /^(New|Reused), (TLSv1\.\d)/m.exec(program.stdout) ?? [];
  return { session, protocol, output: program.stdout + program.stderr };
}
