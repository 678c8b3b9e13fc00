import { chmodSync } from "node:fs";
import process from "node:process";
import { onFreePort, pathOf } from "./outside_programs.ts";
import { output, Program, TemporaryFolder } from "./server_support.ts";

/** A PostgreSQL on a port of its own, with a database of its own that goes with it. */
export class PostgresServer {
  readonly port: number;
  readonly #program: Program;
  readonly #folder: TemporaryFolder;

  private constructor(program: Program, port: number, folder: TemporaryFolder) {
    this.#program = program;
    this.port = port;
    this.#folder = folder;
  }

  static async start(): Promise<PostgresServer> {
    const folder = new TemporaryFolder();
    try {
      if (isRoot) chmodSync(folder.path, 0o777);
      const data = folder.file("data");
      const made = await output(
        run("initdb", ["--pgdata", data, "--username", "postgres", "--auth", "trust", "--no-sync"], folder),
      );
      if (made.code !== 0) throw new Error(`initdb ended with ${made.code}: ${made.stdout}${made.stderr}`);
      return await onFreePort(async (port) => {
        const settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"];
        const parameters = ["-D", data, "-p", `${port}`, ...settings.flatMap((setting) => ["-c", setting])];
        const program = run("postgres", parameters, folder);
        try {
          // Not before that: it accepts connections earlier, and refuses them.
          await program.writes(/ready to accept connections/);
          return new PostgresServer(program, port, folder);
        } catch (error) {
          await program[Symbol.asyncDispose]();
          throw error;
        }
      });
    } catch (error) {
      folder[Symbol.dispose]();
      throw error;
    }
  }

  get url(): string {
    return `postgresql://postgres@127.0.0.1:${this.port}/postgres`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // It waits for its clients to go.
    this.#program.child.kill("SIGTERM");
    await this.#program.end();
    this.#folder[Symbol.dispose]();
  }
}

const isRoot = process.getuid?.() === 0;

/** PostgreSQL refuses to be root. What it writes, it writes to standard error. */
function run(name: string, parameters: string[], folder: TemporaryFolder): Program {
  const first = isRoot ? ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"] : [];
  const command = ["-c", 'exec "$@" 2>&1', "sh", ...first, pathOf(name)!, ...parameters];
  return new Program("sh", command, { cwd: folder.path, env: { LC_ALL: "C" } });
}
