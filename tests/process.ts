/** Other processes: this same runtime again, and the openssl command. */

import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** What a process left behind. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a TypeScript module with the runtime that runs this one.
 *
 * @param code the module's text; it imports the library from `${root}`
 * @param environment variables besides those there are; undefined takes one away
 * @param permissions what Deno allows the child; the other runtimes know no permissions
 */
export function runSelf(
  code: string,
  environment: Record<string, string | undefined> = {},
  permissions: string[] = ["--allow-all"],
): Promise<Outcome> {
  return withFolder((folder) => {
    const file = join(folder, "child.ts");
    writeFileSync(file, code);
    const flags = "Deno" in globalThis ? ["run", "--quiet", "--no-check", "--no-prompt", ...permissions] : [];
    // In a script: Deno's execFile() would change the parameters of what it takes for Deno itself.
    const script = join(folder, "child.sh");
    writeFileSync(
      script,
      `exec ${
        [process.env.OPENSSL_SESSIONS_SELF ?? process.execPath, ...flags, file].map((word) => `'${word}'`).join(" ")
      }\n`,
    );
    const [program, parameters] = process.platform === "win32"
      ? [process.execPath, [...flags, file]]
      : ["/bin/sh", [script]];
    const env: Record<string, string | undefined> = { ...process.env, NO_COLOR: "1", ...environment };
    for (const [name, value] of Object.entries(env)) if (value === undefined) delete env[name];
    return new Promise<Outcome>((resolve) => {
      execFile(program, parameters, { env, cwd: fileURLToPath(root) }, (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === "number" ? error.code : error ? -1 : 0, stdout, stderr });
      });
    });
  });
}

/** Where the library's modules are, for the text of a child. */
export const root: URL = new URL("../", import.meta.url);

/** Runs the openssl command; answers what it printed. */
export function openssl(parameters: string[], input?: string): string {
  return execFileSync("openssl", parameters, {
    encoding: "utf8",
    stdio: ["pipe", "pipe", "pipe"],
    ...(input === undefined ? {} : { input }),
  });
}

/** Lends a folder that is gone afterwards. */
export function withFolder<T>(use: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), "openssl-sessions-"));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  let result: T;
  try {
    result = use(folder);
  } catch (error) {
    remove();
    throw error;
  }
  if (result instanceof Promise) return result.finally(remove) as T;
  remove();
  return result;
}
