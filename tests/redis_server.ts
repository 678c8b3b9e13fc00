import process from "node:process";
import { onFreePort, pathOf } from "./outside_programs.ts";
import { Program, TemporaryFolder } from "./server_support.ts";

/** A redis-server on a port of its own that keeps nothing on disk. */
export class RedisServer {
  readonly port: number;
  readonly #folder: TemporaryFolder;
  readonly #parameters: readonly string[];
  #program: Program;

  private constructor(program: Program, port: number, folder: TemporaryFolder, parameters: readonly string[]) {
    this.#program = program;
    this.port = port;
    this.#folder = folder;
    this.#parameters = parameters;
  }

  /** Starts one. The parameters are lines of its configuration: `--maxmemory`, `1mb`. */
  static async start(parameters: readonly string[] = []): Promise<RedisServer> {
    const folder = new TemporaryFolder();
    try {
      return await onFreePort(async (port) => {
        const program = await startProgram(port, folder, parameters);
        return new RedisServer(program, port, folder, parameters);
      });
    } catch (error) {
      folder[Symbol.dispose]();
      throw error;
    }
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Ends it, by default so that it has no time to say goodbye. */
  async stop(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    this.#program.child.kill(signal);
    await this.#program.end();
  }

  /** Starts it again, on the same port and without what was in it. */
  async restart(): Promise<void> {
    this.#program = await startProgram(this.port, this.#folder, this.#parameters);
  }

  /** Makes it hang: its connections stay, and nothing answers. */
  pause(): void {
    this.#program.child.kill("SIGSTOP");
  }

  /** Lets it go on. */
  resume(): void {
    this.#program.child.kill("SIGCONT");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }
}

async function startProgram(port: number, folder: TemporaryFolder, parameters: readonly string[]): Promise<Program> {
  const program = new Program(pathOf("redis-server")!, [
    ...["--port", `${port}`, "--bind", "127.0.0.1", "--dir", folder.path, "--save", "", "--appendonly", "no"],
    ...["--daemonize", "no", ...parameters],
  ], { cwd: folder.path, env: { LC_ALL: process.env.LC_ALL ?? "C" } });
  try {
    await program.writes(/eady to accept connections/);
    return program;
  } catch (error) {
    await program[Symbol.asyncDispose]();
    throw error;
  }
}
