import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { ownRuntime, Program } from "./server_support.ts";

describe("unref()", () => {
  for (const what of ["server", "both"]) {
    it(`lets the program end: ${what}`, async () => {
      await using program = Program.run(ownRuntime(), "tests/unref_program.ts", [what]);
      assertEquals(await program.end(), { code: 0, signal: null });
      assertEquals([program.stdout, program.stderr], ["ready\n", ""]);
    });
  }

  it("is taken back by ref()", async () => {
    await using program = Program.run(ownRuntime(), "tests/unref_program.ts", ["server", "ref"]);
    await program.writes(/ready/);
    // A program that nothing keeps alive ends when it has said so.
    const ended = await Promise.race([
      program.ended.then(() => true),
      new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 500)),
    ]);
    assertEquals(ended, false);
  });
});
