import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { writeFileSync } from "node:fs";
import process from "node:process";
import { ClientSessions, connect, type ProtocolVersion } from "../mod.ts";
import { ownRuntime, Program, TemporaryFolder, thisRuntime, until, within } from "./server_support.ts";
import { credentials, versions } from "./support.ts";

/** What a worker answers. */
interface Answer {
  runtime: string;
  pid: number;
  protocol: ProtocolVersion;
  resumed: boolean;
}

/** examples/cluster.ts as processes of its own. */
class Cluster {
  readonly program: Program;
  readonly port: number;
  readonly #folder: TemporaryFolder;
  /** Connections that were refused, or reset before their handshake was done. */
  retried = 0;

  private constructor(program: Program, port: number, folder: TemporaryFolder) {
    this.program = program;
    this.port = port;
    this.#folder = folder;
  }

  static async start(workers = 2): Promise<Cluster> {
    const folder = new TemporaryFolder();
    const [cert, key] = [folder.file("cert.pem"), folder.file("key.pem")];
    writeFileSync(cert, credentials.certificate);
    writeFileSync(key, credentials.privateKey);
    const args = ["--port", "0", "--host", "127.0.0.1", "--workers", `${workers}`, "--cert", cert, "--key", key];
    const program = Program.run(ownRuntime(), "examples/cluster.ts", args);
    try {
      const [, port] = await program.writes(/https:\/\/127\.0\.0\.1:(\d+), \d+ workers$/m);
      return new Cluster(program, Number(port), folder);
    } catch (error) {
      await program[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
      throw error;
    }
  }

  /** The processes that its lines say this of. */
  pids(event: "listens" | "leaves" | "ended" | "died"): number[] {
    const lines = this.program.stdout.matchAll(new RegExp(`worker (\\d+) +${event}\\b`, "g"));
    return [...lines].map(([, pid]) => Number(pid));
  }

  signal(signal: "SIGHUP" | "SIGTERM" | "SIGINT" | "SIGKILL"): void {
    // Not child.kill(): on Deno the child then counts as killed, whatever it does about the signal.
    process.kill(this.program.child.pid!, signal);
  }

  /** Makes a connection with one request. Connects again while nothing was sent, and sends no request twice. */
  async ask(sessions: ClientSessions, version?: ProtocolVersion): Promise<Answer> {
    const options = version ? { minVersion: version, maxVersion: version } : {};
    const open = async () => {
      for (let attempt = 1;; attempt++) {
        try {
          return await connect({
            ...{ hostname: "127.0.0.1", serverName: "localhost", port: this.port, sessions, ...options },
            certificateAuthorities: credentials.certificate,
          });
        } catch (error) {
          this.retried++;
          if (attempt === 20) throw error;
        }
      }
    };
    const socket = await open();
    const closed = new Promise<void>((resolve, reject) => socket.once("close", resolve).once("error", reject));
    let text = "";
    socket.on("data", (bytes) => text += bytes).once("end", () => socket.end());
    socket.write("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    await within(closed, "the answer");
    const body = /\{.*\}/.exec(text);
    if (!body) throw new Error(`A request was lost: ${JSON.stringify(text)}`);
    return JSON.parse(body[0]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
    await until(() => this.pids("listens").every((pid) => !isAlive(pid)), "the workers to end");
    this.#folder[Symbol.dispose]();
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

const onLinux = process.platform === "linux" ? describe : describe.skip;

onLinux("examples/cluster.ts", () => {
  for (const version of versions) {
    it(`resumes on another worker: ${version}`, async () => {
      await using cluster = await Cluster.start();
      using sessions = new ClientSessions();
      const answers = [await cluster.ask(sessions, version)];
      while (new Set(answers.map(({ pid }) => pid)).size < 2 && answers.length < 100) {
        answers.push(await cluster.ask(sessions, version));
      }
      assertEquals(answers[0]!.runtime, thisRuntime);
      assertEquals(answers.map(({ protocol }) => protocol), answers.map(() => version));
      assertEquals(answers.map(({ resumed }) => resumed), answers.map((_, index) => index > 0));
      assertEquals(
        answers.map(({ pid }) => pid).filter((pid, index, all) => all.indexOf(pid) === index).sort(),
        cluster.pids("listens").sort(),
      );
      cluster.signal("SIGTERM");
      assertEquals(await cluster.program.end(), { code: 0, signal: null });
      assertEquals(cluster.pids("ended").length, 2);
      assertEquals(cluster.program.stderr, "");
    });
  }

  it("replaces a worker that was killed", async () => {
    await using cluster = await Cluster.start();
    using sessions = new ClientSessions();
    const { pid } = await cluster.ask(sessions);
    process.kill(pid, "SIGKILL");
    await cluster.program.writes(new RegExp(`worker ${pid} +died +SIGKILL\\n[^]*worker \\d+ +listens`));
    const pids = cluster.pids("listens").filter((other) => other !== pid);
    assertEquals(pids.length, 2);
    const seen = new Set<number>();
    for (let count = 0; seen.size < 2 && count < 100; count++) {
      const answer = await cluster.ask(sessions);
      assert(answer.resumed);
      seen.add(answer.pid);
    }
    assertEquals([...seen].sort(), pids.sort());
  });

  it("loses no request while all workers are replaced", async () => {
    await using cluster = await Cluster.start();
    const before = cluster.pids("listens");
    let isOver = false;
    const answered = new Map<number, number>();
    const client = async (version: ProtocolVersion) => {
      using sessions = new ClientSessions();
      while (!isOver) {
        const { pid } = await cluster.ask(sessions, version);
        answered.set(pid, (answered.get(pid) ?? 0) + 1);
      }
    };
    const clients = Promise.all(Array.from({ length: 8 }, (_, index) => client(versions[index % versions.length]!)));
    // A failure is for the end to tell.
    clients.catch(() => {});
    try {
      await until(() => before.every((pid) => answered.has(pid)), "both workers to answer");
      cluster.signal("SIGHUP");
      await cluster.program.writes(/parent +restarted/);
      const now = cluster.pids("listens").filter((pid) => !before.includes(pid));
      assertEquals([now.length, cluster.pids("leaves"), cluster.pids("ended")], [2, before, before]);
      await until(() => now.every((pid) => answered.has(pid)), "both new workers to answer");
    } finally {
      isOver = true;
    }
    await clients;
    assert(cluster.retried <= 20, `${cluster.retried} connections were refused or reset`);
    assertEquals([cluster.pids("died"), cluster.program.stderr], [[], ""]);
    cluster.signal("SIGINT");
    assertEquals(await cluster.program.end(), { code: 0, signal: null });
  });

  it("ends well also while it starts", async () => {
    await using program = Program.run(ownRuntime(), "examples/cluster.ts", ["--port", "0", "--workers", "2"]);
    await program.writes(/parent +started/);
    process.kill(program.child.pid!, "SIGTERM");
    assertEquals(await program.end(), { code: 0, signal: null });
    assertEquals(program.stderr, "");
  });

  it("leaves no worker behind when the parent is killed", async () => {
    await using cluster = await Cluster.start();
    cluster.signal("SIGKILL");
    assertEquals((await cluster.program.end()).signal, "SIGKILL");
    await until(() => cluster.pids("listens").every((pid) => !isAlive(pid)), "the workers to end");
  });

  for (
    const [args, message] of [
      [["--workers", "0"], /^--workers takes 1 and more, not 0\n$/],
      [["--sessions", "memory:"], /^--sessions takes sqlite:PATH or redis:\/\/HOST:PORT, not memory:\n$/],
      [
        ["--port", "0", "--cert", "/nonexistent", "--key", "/nonexistent"],
        /A worker ended before it listened: code 1\n$/,
      ],
    ] as const
  ) {
    it(`does not start with ${args.join(" ")}`, async () => {
      await using program = Program.run(ownRuntime(), "examples/cluster.ts", args);
      assertEquals((await program.end()).code, 1);
      assertMatch(program.stderr, message);
    });
  }
});
