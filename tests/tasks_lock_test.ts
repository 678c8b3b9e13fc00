import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { output, ownRuntime, Program, root, TemporaryFolder } from "./server_support.ts";

/** Appends what it does to a log, under the lock: some turns of the event loop lie between the beginning and the end. */
const program = `
import { appendFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { withLock } from ${JSON.stringify(pathToFileURL(join(root, "tasks/lock.mjs")).href)};

await withLock("lock", async () => {
  appendFileSync("log", "begin ");
  for (let turn = 0; turn < 1000; turn++) await setImmediate();
  appendFileSync("log", "end\\n");
});
`;

/** Holds the lock until its input ends. */
const holding = `
import { appendFileSync } from "node:fs";
import { once } from "node:events";
import process from "node:process";
import { withLock } from ${JSON.stringify(pathToFileURL(join(root, "tasks/lock.mjs")).href)};

await withLock("lock", async () => {
  console.log("holds");
  await once(process.stdin.resume(), "end");
  appendFileSync("log", "held\\n");
});
`;

async function runAtOnce(folder: TemporaryFolder, count: number): Promise<void> {
  writeFileSync(folder.file("program.mjs"), program);
  const { command, args } = ownRuntime();
  const programs = Array.from(
    { length: count },
    () => output(new Program(command, [...args, folder.file("program.mjs")], { cwd: folder.path })),
  );
  for (const { code, stderr } of await Promise.all(programs)) assertEquals([code, stderr], [0, ""]);
}

describe("withLock(), by which setup.mjs installs once", () => {
  it("lets one of several processes do something at a time", async () => {
    using folder = new TemporaryFolder();
    await runAtOnce(folder, 4);
    assertEquals(readFileSync(folder.file("log"), "utf8"), "begin end\n".repeat(4));
    assertEquals(existsSync(folder.file("lock")), false);
  });

  it("takes over from a process that died", async () => {
    using folder = new TemporaryFolder();
    const { command, args } = ownRuntime();
    writeFileSync(folder.file("nothing.mjs"), "");
    const dead = new Program(command, [...args, folder.file("nothing.mjs")]);
    await output(dead);
    writeFileSync(folder.file("lock"), `${dead.child.pid}`);
    await runAtOnce(folder, 3);
    assertEquals(readFileSync(folder.file("log"), "utf8"), "begin end\n".repeat(3));
  });

  it("waits for a process that lives", async () => {
    using folder = new TemporaryFolder();
    writeFileSync(folder.file("holder.mjs"), holding);
    writeFileSync(folder.file("program.mjs"), `console.log("asks");\n${program}`);
    const { command, args } = ownRuntime();
    await using holder = new Program(command, [...args, folder.file("holder.mjs")], { cwd: folder.path });
    await holder.writes(/holds/);
    await using waiting = new Program(command, [...args, folder.file("program.mjs")], { cwd: folder.path });
    await waiting.writes(/asks/);
    holder.child.stdin!.end();
    assertEquals([(await holder.end()).code, (await waiting.end()).code], [0, 0]);
    assertEquals(readFileSync(folder.file("log"), "utf8"), "held\nbegin end\n");
  });
});
