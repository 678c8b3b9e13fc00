import { connect } from "node:net";
import process from "node:process";
import { onFreePort, pathOf } from "./outside_programs.ts";
import { Program, TemporaryFolder, within } from "./server_support.ts";

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

  /**
   * Starts one. The parameters are lines of its configuration: `--maxmemory`, `1mb`. A server of a cluster needs the
   * port that is 10,000 higher too.
   */
  static async start(parameters: readonly string[] = [], highestPort = 65_535): Promise<RedisServer> {
    const folder = new TemporaryFolder();
    try {
      return await onFreePort(async (port) => {
        const program = await startProgram(port, folder, parameters);
        return new RedisServer(program, port, folder, parameters);
      }, highestPort);
    } catch (error) {
      folder[Symbol.dispose]();
      throw error;
    }
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** What it answers to a command, as it stands on the wire. A client library would be more than is needed. */
  command(...command: string[]): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const socket = connect(this.port, "127.0.0.1");
    let answer = "";
    socket.setEncoding("utf8").on("data", (part) => answer += part);
    socket.once("error", reject);
    socket.once("close", () => answer.startsWith("-") ? reject(new Error(answer)) : resolve(answer));
    socket.write([...command.map(quoted), "\r\n"].join(" ") + "QUIT\r\n");
    return within(promise, `the answer to ${command.join(" ")}`);
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
    // Not by the child's own function: Deno's takes it for dead then.
    process.kill(this.#program.child.pid!, "SIGSTOP");
  }

  /** Lets it go on. */
  resume(): void {
    process.kill(this.#program.child.pid!, "SIGCONT");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }
}

function quoted(word: string): string {
  return JSON.stringify(word);
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
