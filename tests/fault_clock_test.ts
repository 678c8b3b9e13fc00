import { assertEquals } from "@std/assert";
import { existsSync, writeFileSync } from "node:fs";
import process from "node:process";
import { needing } from "./outside_programs.ts";
import { ownRuntime, Program, root, TemporaryFolder, thisRuntime } from "./server_support.ts";
import { versions } from "./support.ts";

const { describe, it } = needing(["faketime"], "faketime");

const library = ["x86_64", "aarch64"].map((arch) => `/usr/lib/${arch}-linux-gnu/faketime/libfaketime.so.1`)
  .find((path) => existsSync(path));

/** A process whose clock can be set, and what happens in it. */
class Visitor {
  readonly #program: Program;
  readonly #folder = new TemporaryFolder();
  #visits = 0;

  constructor(version: string) {
    this.set("+0");
    const { command, args } = ownRuntime();
    this.#program = new Program(command, [...args, `${root}/tests/clock_visitor.ts`, version], {
      env: {
        LD_PRELOAD: library!,
        FAKETIME_TIMESTAMP_FILE: this.#folder.file("clock"),
        FAKETIME_NO_CACHE: "1",
        FAKETIME_DONT_FAKE_MONOTONIC: "1",
      },
    });
  }

  /** Sets its clock, off the true time by so much. */
  set(offset: string): void {
    writeFileSync(this.#folder.file("clock"), offset);
  }

  /** Has it offer its first session, or forget that one and make another. */
  async visit(what: "visit" | "forget" = "visit"): Promise<{ resumed: boolean; year: number; tooOld: number }> {
    this.#program.child.stdin!.write(`${what}\n`);
    const match = await this.#program.writes(new RegExp(`^(?:.*\n){${this.#visits++}}(\\{.*\\})\n`));
    return JSON.parse(match[1]!);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Not by its own end: libfaketime takes itself apart there while Deno's threads ask for the time, and the process dies
    // of it, also without this library.
    await this.#program[Symbol.asyncDispose]();
    assertEquals(this.#program.stderr, "");
    this.#folder[Symbol.dispose]();
  }
}

describe("a clock that is set", () => {
  for (const version of versions) {
    it(`back, makes ${version} sessions from the future, which do not resume`, async () => {
      await using visitor = new Visitor(version);
      assertEquals((await visitor.visit()).resumed, false);
      assertEquals((await visitor.visit()).resumed, true);
      visitor.set("-60"); // within what clocks of a farm may differ
      assertEquals((await visitor.visit()).resumed, true);
      visitor.set("-3600");
      assertEquals((await visitor.visit()).resumed, false);
      visitor.set("+0");
      assertEquals((await visitor.visit()).resumed, true);
    });

    // On Node libssl is opened so that no other library comes between it and the system: its clock stays as it is.
    const both = thisRuntime === "node" ? it.skip : it;
    both(
      `forward, makes ${version} sessions too old; those made meanwhile do not resume when it is right again`,
      async () => {
        await using visitor = new Visitor(version);
        assertEquals((await visitor.visit()).resumed, false);
        visitor.set("+400d");
        const ahead = await visitor.visit();
        assertEquals([ahead.resumed, ahead.year - new Date().getFullYear() >= 1], [false, true]);
        assertEquals((await visitor.visit("forget")).resumed, false);
        assertEquals((await visitor.visit()).resumed, true);
        visitor.set("+0");
        assertEquals((await visitor.visit()).resumed, false);
      },
    );
  }
});

if (process.platform === "linux" && !library) throw new Error("faketime is installed, and its library is not found");
