import process from "node:process";
import { accepting, onFreePort, pathOf } from "./outside_programs.ts";
import { Program } from "./server_support.ts";

/** A memcached on a port of its own. */
export class MemcachedServer {
  readonly port: number;
  readonly #program: Program;

  private constructor(program: Program, port: number) {
    this.#program = program;
    this.port = port;
  }

  static start(): Promise<MemcachedServer> {
    return onFreePort(async (port) => {
      // It does not want to be root.
      const user = process.getuid?.() === 0 ? ["-u", "nobody"] : [];
      const program = new Program(pathOf("memcached")!, ["-l", "127.0.0.1", "-p", `${port}`, "-U", "0", ...user]);
      try {
        await accepting(program, port);
        return new MemcachedServer(program, port);
      } catch (error) {
        await program[Symbol.asyncDispose]();
        throw error;
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
  }
}
