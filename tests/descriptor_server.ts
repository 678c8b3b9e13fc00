// A server in a process of its own, with few file descriptors. Does what it is told to on its standard input, a line each.
import { closeSync, openSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { listen, selfSigned, serve, type Server } from "../mod.ts";

// A second after its start Deno sets up how it hears of signals, and panics where there is no descriptor for it.
process.on("SIGUSR2", () => {});
const errors: string[] = [];
const options = {
  ...selfSigned(),
  hostname: "127.0.0.1",
  onError: (error: Error, { kind }: { kind: string }) => void errors.push(`${kind}: ${error.message}`),
};
const server: Server = process.argv[2] === "listen"
  ? await listen(options, { data: (socket, bytes) => void socket.write(bytes) })
  : await serve(options, () => new Response("served\n"));
const held: number[] = [];

const actions: Record<string, (left: number) => unknown> = {
  /** Takes all descriptors but so many. */
  exhaust(left) {
    try {
      while (true) held.push(openSync("/dev/null", "r"));
    } catch (error) {
      held.splice(0, left).forEach((descriptor) => closeSync(descriptor));
      return (error as { code?: string }).code;
    }
  },
  release: () => held.splice(0).forEach((descriptor) => closeSync(descriptor)),
  stats: () => ({ ...server.stats(), errors }),
};

createInterface({ input: process.stdin }).on("line", async (line) => {
  const [action, left] = line.split(" ");
  console.log(`${line} ${JSON.stringify(await actions[action!]!(Number(left))) ?? ""}`);
});
console.log(`port ${server.port}`);
