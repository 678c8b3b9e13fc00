// Installs what tasks/package.json names, the runtimes among it, when that is missing or not what the lock file says.
//
// It stands apart from the library's own package.json, so that whoever installs the library gets none of it. The folder
// that npm makes is tasks/node_modules, and the repository's node_modules is a link to it: tests, examples and the
// library itself find their packages there.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, relative, resolve } from "node:path";
import process from "node:process";
import { withLock } from "./lock.mjs";
import { installed, isProgram, root } from "./runtimes.mjs";

const folder = join(root, "tasks");
const lists = ["package.json", "package-lock.json"];
// What is installed, written when all of it is.
const stamp = ".set-up";
const link = join(root, "node_modules");
const lock = ".setting-up";

/** Makes tasks/node_modules what tasks/package-lock.json says. Costs nothing when it is already. */
export async function setUp() {
  if (isInstalled() && isLinked()) return;
  // Of two that begin at once, one installs and the other waits for it.
  await withLock(join(folder, lock), async () => {
    // What those have left that were killed.
    for (const name of readdirSync(folder)) {
      if (/^\.setting-up-(new|old)-/.test(name)) remove(join(folder, name));
    }
    if (!isInstalled()) await install();
    if (!isLinked()) putLink();
  });
}

function wanted() {
  const hash = createHash("sha256");
  for (const name of lists) hash.update(readFileSync(join(folder, name)));
  return hash.digest("hex");
}

function isInstalled() {
  try {
    return readFileSync(join(installed, stamp), "utf8") === wanted();
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
  // In a folder of its own: what runs finds its packages until the new ones are all there, and what an npm still writes
  // whose task has died disturbs nobody.
  const made = join(folder, `${lock}-new-${process.pid}`);
  mkdirSync(made);
  try {
    const is = wanted();
    for (const name of lists) cpSync(join(folder, name), join(made, name));
    // koffi alone has an install script, which builds what its binary packages have already. No program is linked into .bin: npm run would take its "node" for the one that is here.
    const { code, output } = await npm([
      "ci",
      "--ignore-scripts",
      "--no-bin-links",
      "--no-audit",
      "--no-fund",
    ], made);
    clearInterval(ticker);
    if (terminal) process.stdout.write("\r\x1b[K");
    if (code !== 0) {
      throw new Error(
        `Cannot install the npm packages: "npm ci" ended with ${code}\n${output.trimEnd()}`,
      );
    }
    writeFileSync(join(made, "node_modules", stamp), is);
    replace(installed, () => renameSync(join(made, "node_modules"), installed));
    console.log(`${terminal ? label : "Installed npm packages"}: ${seconds()}`);
  } finally {
    clearInterval(ticker);
    remove(made);
  }
}

/** Puts the link where it belongs, in the place of what an npm install of the library itself has left there. */
function putLink() {
  replace(link, () => {
    // Windows lets everybody make junctions, which want the whole path.
    if (process.platform === "win32") symlinkSync(installed, link, "junction");
    else symlinkSync(relative(root, installed), link);
  });
}

/** Moves what is at a path away and has `put` put something there. What was there is removed then, which takes a while. */
function replace(path, put) {
  const old = join(folder, `${lock}-old-${process.pid}`);
  mkdirSync(old);
  if (lstatSync(path, { throwIfNoEntry: false })) {
    renameSync(path, join(old, "node_modules"));
  }
  put();
  remove(old);
}

/** Removes a folder of this task's. What somebody still writes into stays, for the next time. */
function remove(path) {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    // Nobody looks into it.
  }
}

/** Runs npm: the one that started this, if it did, else the one on the path. */
function npm(parameters, cwd) {
  const path = process.env.npm_execpath;
  const own = path?.endsWith("npm-cli.js") && existsSync(path) &&
    !("Deno" in globalThis);
  const [program, first] = own ? [process.execPath, [path]] : ["npm", []];
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...first, ...parameters], {
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
      shell: !own && process.platform === "win32", // npm is a .cmd there
    });
    // It must not go on by itself where this task is ended. What it has begun is thrown away, and to be asked politely it
    // would wait for what it fetches.
    const end = () => child.kill("SIGKILL");
    process.once("exit", end);
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
      (code, signal) => {
        process.off("exit", end);
        resolve({ code: signal ?? code, output });
      },
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

if (isProgram(import.meta.url)) {
  await setUpOrExit();
}
