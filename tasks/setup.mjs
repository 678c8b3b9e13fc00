// Installs the npm packages, the runtimes among them, when they are missing or older than the lock file.
import { spawn } from "node:child_process";
import { existsSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { root } from "./runtimes.mjs";

const lock = join(root, "package-lock.json");
// npm writes it at the end of an install.
const installed = join(root, "node_modules", ".package-lock.json");

function isUpToDate() {
  return existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs;
}

/** Makes node_modules what package-lock.json says. Costs nothing when it is already. */
export async function setUp() {
  if (isUpToDate()) return;
  const started = Date.now();
  const seconds = () => `${Math.round((Date.now() - started) / 1000)} s`;
  const label = "Installing npm packages (Deno, Bun, Node 24, Node 26 among them)";
  const terminal = process.stdout.isTTY;
  process.stdout.write(`${label} …${terminal ? "" : "\n"}`);
  const ticker = terminal && setInterval(() => process.stdout.write(`\r${label} … ${seconds()}`), 1000);
  // koffi alone has an install script, which builds what its binary packages have already.
  const { code, output } = await npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
  clearInterval(ticker);
  if (terminal) process.stdout.write("\r\x1b[K");
  if (code !== 0) throw new Error(`Cannot install the npm packages: "npm ci" ended with ${code}\n${output.trimEnd()}`);
  console.log(`${terminal ? label : "Installed npm packages"}: ${seconds()}`);
  const now = new Date();
  utimesSync(installed, now, now);
}

/** Runs npm: the one that started this, if it did, else the one on the path. */
function npm(parameters) {
  const path = process.env.npm_execpath;
  const own = path?.endsWith("npm-cli.js") && existsSync(path) && !("Deno" in globalThis);
  const [program, first] = own ? [process.execPath, [path]] : ["npm", []];
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...first, ...parameters], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
      shell: !own && process.platform === "win32", // npm is a .cmd there
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (part) => output += part);
    child.on("error", (cause) => {
      reject(
        cause.code === "ENOENT"
          ? new Error("Cannot find npm, which installs what the tests and the demo run on. Install Node (it has npm)")
          : cause,
      );
    });
    child.on("close", (code, signal) => resolve({ code: signal ?? code, output }));
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

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await setUpOrExit();
