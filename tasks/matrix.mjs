// `npm run test:matrix [-- part of a file name…]`: every test on Deno, Bun and Node over each OpenSSL. On Debian.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { root } from "./runtimes.mjs";

// 3.0 is Debian 12's own.
const versions = ["1.1.1", "system", "3.5", "3.6", "4.0"];
const runtimes = ["deno", "bun", "node24"];

const folder = mkdtempSync(join(tmpdir(), "openssl-sessions-matrix-"));
const rows = [];
try {
  const fetched = spawnSync(join(root, ".ci/openssl-versions"), [folder], {
    stdio: "inherit",
  });
  if (fetched.status !== 0) {
    throw new Error(
      "Cannot fetch the versions of OpenSSL from Debian: see above",
    );
  }
  for (const version of versions) {
    console.log(`\n=== OpenSSL ${version}`);
    const report = join(folder, "report.json");
    const through = version === "system" ? [] : ["--through", join(folder, version, "run")];
    const names = runtimes.flatMap((name) => ["--runtime", name]);
    const parameters = [
      "tasks/test.mjs",
      ...names,
      ...through,
      "--report",
      report,
      ...process.argv.slice(2),
    ];
    rmSync(report, { force: true });
    spawnSync(process.execPath, parameters, { cwd: root, stdio: "inherit" });
    rows.push(...JSON.parse(readFileSync(report, "utf8")));
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

const titles = [...new Set(rows.map(({ title }) => title))];
const cell = ({ passed, failed }) => failed > 0 ? `${passed}, ${failed} FAILED` : `${passed} passed`;
const lines = [["OpenSSL", ...titles]];
for (const openssl of [...new Set(rows.map(({ openssl }) => openssl))]) {
  const ofVersion = titles.map((title) => rows.find((row) => row.openssl === openssl && row.title === title));
  lines.push([
    openssl.replace("OpenSSL ", ""),
    ...ofVersion.map((row) => row ? cell(row) : "-"),
  ]);
}
const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
console.log();
for (const line of lines) {
  console.log(
    line.map((text, column) => text.padEnd(widths[column])).join("  ")
      .trimEnd(),
  );
}
const sum = (what) => rows.reduce((total, row) => total + row[what], 0);
console.log(`\n${sum("passed")} passed, ${sum("failed")} failed`);
process.exitCode = sum("failed") > 0 || rows.length < versions.length * runtimes.length ? 1 : 0;
