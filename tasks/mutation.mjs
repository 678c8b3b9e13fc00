// `npm run mutation [-- part of a file name…]`: breaks one guard of the library at a time, in a copy of it, and says which
// break no test notices. tasks/mutations.mjs has the guards.
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { mutations } from "./mutations.mjs";
import { root } from "./runtimes.mjs";
import { setUpOrExit } from "./setup.mjs";

await setUpOrExit();
const filters = process.argv.slice(2);
const chosen = mutations.filter(({ file }) => filters.length === 0 || filters.some((part) => file.includes(part)));
const folder = mkdtempSync(join(tmpdir(), "openssl-sessions-mutation-"));
const survivors = [];
try {
  const { stdout } = spawnSync("git", ["ls-files"], { cwd: root, encoding: "utf8" });
  for (const file of stdout.trimEnd().split("\n")) {
    cpSync(join(root, file), join(folder, file), { preserveTimestamps: true });
  }
  for (const installed of ["node_modules", "tasks/node_modules"]) {
    try {
      symlinkSync(join(root, installed), join(folder, installed));
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
  }
  for (const [index, mutation] of chosen.entries()) {
    const { file, what } = mutation;
    const isNoticed = tryOut(mutation);
    if (!isNoticed) survivors.push(`${file}: ${what}`);
    const progress = `${String(index + 1).padStart(String(chosen.length).length)}/${chosen.length}`;
    console.log(`${progress}  ${isNoticed ? "noticed " : "SURVIVED"}  ${file}: ${what}`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(`\n${chosen.length - survivors.length} passed, ${survivors.length} failed`);
process.exitCode = survivors.length > 0 ? 1 : 0;

/** Breaks a guard, runs the tests that ought to notice, and mends it. Answers whether one noticed. */
function tryOut({ file, from, to, tests }) {
  const path = join(folder, file);
  const text = readFileSync(path, "utf8");
  if (text.split(from).length !== 2) {
    throw new Error(`Cannot break ${file}: it has this ${text.split(from).length - 1} times, not once: ${from}`);
  }
  writeFileSync(path, text.replace(from, () => to));
  try {
    const parameters = ["tasks/test.mjs", "--runtime", "bun", ...tests];
    const { status } = spawnSync(process.execPath, parameters, { cwd: folder, encoding: "utf8" });
    return status !== 0;
  } finally {
    writeFileSync(path, text);
  }
}
