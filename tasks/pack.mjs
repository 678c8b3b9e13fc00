// `npm run pack [-- FOLDER]`: makes the npm package, as a tarball in the repository or in the folder.
//
// tsc writes the JavaScript that Node runs out of node_modules, and the types; the rest is files, and what of package.json
// concerns those who use the library.
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { findRuntime, installed, isProgram, root } from "./runtimes.mjs";
import { setUpOrExit } from "./setup.mjs";

const program = "bin/openssl_sessions.js";

/** Makes the tarball: `{ tarball, manifest }`, its path and its package.json. */
export async function pack(folder = root) {
  await setUpOrExit();
  const made = mkdtempSync(join(tmpdir(), "openssl-sessions-pack-"));
  try {
    const tsc = join(installed, "typescript", "bin", "tsc");
    const project = join(root, "tasks", "tsconfig.pack.json");
    run(findRuntime("node26").path, [tsc, "--project", project, "--outDir", made], root);
    const manifest = manifestOf(JSON.parse(readFileSync(join(root, "package.json"), "utf8")));
    for (const file of readdirSync(made, { recursive: true })) {
      if (file.endsWith(".d.ts")) finishTypes(made, file, manifest);
    }
    for (const name of ["README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE"]) {
      cpSync(join(root, name), join(made, name));
    }
    chmodSync(join(made, program), 0o755);
    writeFileSync(join(made, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
    const packed = run("npm", ["pack", "--json", "--pack-destination", resolve(folder)], made);
    const [{ filename }] = Object.values(JSON.parse(packed));
    return { tarball: join(resolve(folder), filename), manifest };
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
}

/** package.json of the npm package: the repository's own, without what concerns its tasks, for JavaScript. */
function manifestOf({ private: _private, scripts: _scripts, files: _files, exports, ...kept }) {
  const entries = Object.entries(exports).map(([name, file]) => {
    const base = file.replace(/\.ts$/, "");
    // What require() gets is the same module: Node 24 takes those that await nothing at their top level.
    return [name, { types: `${base}.d.ts`, default: `${base}.js` }];
  });
  return {
    ...kept,
    main: "./mod.js",
    types: "./mod.d.ts",
    bin: { "openssl-sessions": program },
    exports: { ...Object.fromEntries(entries), "./package.json": "./package.json" },
  };
}

/** Makes a file of types what tsc finds its way by in a package. */
function finishTypes(made, file, { exports }) {
  const path = join(made, file);
  // Nobody imports a program.
  if (/^(bin|examples)\b/.test(file)) return rmSync(path);
  const types = readFileSync(path, "utf8").replace(/((?:from |import\()"\.\.?\/[^"]+)\.ts"/g, '$1.js"');
  // tsc takes no types but those that are named.
  const isEntry = Object.values(exports).some((entry) => entry.types === `./${file}`);
  writeFileSync(path, isEntry ? `/// <reference types="node" />\n${types}` : types);
}

/** Runs a program to its end, and returns what it wrote. */
function run(command, parameters, cwd) {
  const shell = command === "npm" && process.platform === "win32"; // npm is a .cmd there
  const { status, stdout, stderr, error } = spawnSync(command, parameters, { cwd, encoding: "utf8", shell });
  if (status === 0) return stdout;
  throw new Error(
    `Cannot make the package: ${error?.message ?? `${command} ended with ${status}\n${stdout}${stderr}`}`,
  );
}

if (isProgram(import.meta.url)) {
  try {
    console.log((await pack(process.argv[2])).tarball);
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
