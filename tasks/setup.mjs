// Installs what tasks/package.json names, the runtimes among it, when that is missing or not what the lock file says.
//
// It stands apart from the library's own package.json, so that whoever installs the library gets none of it. The folder
// that npm makes is tasks/node_modules, and the repository's node_modules is a link to it: tests, examples and the
// library itself find their packages there.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  lstatSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, relative, resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { withLock } from "./lock.mjs";
import { installed, root } from "./runtimes.mjs";

const folder = join(root, "tasks");
// What is installed, written when all of it is.
const stamp = join(installed, ".set-up");
const link = join(root, "node_modules");

/** Makes tasks/node_modules what tasks/package-lock.json says. Costs nothing when it is already. */
export async function setUp() {
  if (isInstalled() && isLinked()) return;
  // Of two that begin at once, one installs and the other waits for it.
  await withLock(join(folder, ".setting-up"), async () => {
    if (!isInstalled()) await install();
    if (!isLinked()) putLink();
  });
}

function wanted() {
  const hash = createHash("sha256");
  for (const name of ["package.json", "package-lock.json"]) {
    hash.update(readFileSync(join(folder, name)));
  }
  return hash.digest("hex");
}

function isInstalled() {
  try {
    return readFileSync(stamp, "utf8") === wanted();
  } catch {
    return false;
  }
}

function isLinked() {
  try {
    return resolve(root, readlinkSync(link)) === installed;
  } catch {
    return false;
  }
}

async function install() {
  const started = Date.now();
  const seconds = () => `${Math.round((Date.now() - started) / 1000)} s`;
  const label = "Installing npm packages (Deno, Bun, Node 24, Node 26 among them)";
  const terminal = process.stdout.isTTY;
  process.stdout.write(`${label} …${terminal ? "" : "\n"}`);
  const ticker = terminal &&
    setInterval(() => process.stdout.write(`\r${label} … ${seconds()}`), 1000);
  // koffi alone has an install script, which builds what its binary packages have already. No program is linked into .bin: npm run would take its "node" for the one that is here.
  const { code, output } = await npm([
    "ci",
    "--ignore-scripts",
    "--no-bin-links",
    "--no-audit",
    "--no-fund",
  ]);
  clearInterval(ticker);
  if (terminal) process.stdout.write("\r\x1b[K");
  if (code !== 0) {
    throw new Error(
      `Cannot install the npm packages: "npm ci" ended with ${code}\n${output.trimEnd()}`,
    );
  }
  console.log(`${terminal ? label : "Installed npm packages"}: ${seconds()}`);
  writeFileSync(stamp, wanted());
}

/** Puts the link where it belongs, in the place of what an npm install of the library itself has left there. */
function putLink() {
  const old = join(folder, `.old-node_modules-${process.pid}`);
  const isThere = lstatSync(link, { throwIfNoEntry: false }) !== undefined;
  // Moved before it is removed, which takes a while: programs that run find their packages in either.
  if (isThere) renameSync(link, old);
  // Windows lets everybody make junctions, which want the whole path.
  if (process.platform === "win32") symlinkSync(installed, link, "junction");
  else symlinkSync(relative(root, installed), link);
  rmSync(old, { recursive: true, force: true });
}

/** Runs npm: the one that started this, if it did, else the one on the path. */
function npm(parameters) {
  const path = process.env.npm_execpath;
  const own = path?.endsWith("npm-cli.js") && existsSync(path) &&
    !("Deno" in globalThis);
  const [program, first] = own ? [process.execPath, [path]] : ["npm", []];
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...first, ...parameters], {
      cwd: folder,
      stdio: ["ignore", "pipe", "pipe"],
      shell: !own && process.platform === "win32", // npm is a .cmd there
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (part) => output += part);
    }
    child.on("error", (cause) => {
      reject(
        cause.code === "ENOENT"
          ? new Error(
            "Cannot find npm, which installs what the tests and the demo run on. Install Node (it has npm)",
          )
          : cause,
      );
    });
    child.on(
      "close",
      (code, signal) => resolve({ code: signal ?? code, output }),
    );
  });
}

/** Does {@linkcode setUp} and ends the program with a message if it fails. */
export async function setUpOrExit() {
  try {
    await setUp();
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await setUpOrExit();
}
