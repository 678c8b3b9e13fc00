/** Starts the examples for their tests. */

import process from "node:process";
import { ownRuntime, Program, type Runtime } from "./server_support.ts";

/** examples/https_server.ts as a process of its own. */
export class ExampleServer {
  readonly program: Program;
  /** The line that it wrote when it was ready. */
  readonly line: string;
  readonly port: number;

  private constructor(program: Program, line: string, port: number) {
    this.program = program;
    this.line = line;
    this.port = port;
  }

  static async start(args: readonly string[] = [], runtime: Runtime = ownRuntime()): Promise<ExampleServer> {
    const program = Program.run(runtime, "examples/https_server.ts", ["--port", "0", "--host", "127.0.0.1", ...args]);
    try {
      const [line, port] = await program.writes(/^https:\/\/.*:(\d+) .*$/m);
      return new ExampleServer(program, line, Number(port));
    } catch (error) {
      await program[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Runs it with options that it does not start with. */
  static async fails(args: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
    await using program = Program.run(ownRuntime(), "examples/https_server.ts", args);
    const { code } = await program.end();
    return { code, stdout: program.stdout, stderr: program.stderr };
  }

  /** Stops it. */
  async stop(signal: "SIGINT" | "SIGTERM"): Promise<{ code: number | null; signal: string | null }> {
    // Not child.kill(): on Deno the child then counts as killed, whatever it does about the signal.
    process.kill(this.program.child.pid!, signal);
    return await this.program.end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.program[Symbol.asyncDispose]();
  }
}
