// Compiles the benchmark's C programs.

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryFolder, Trouble } from "./processes.mjs";

const compiler = process.env.CC || "cc";

/** What the C compiler calls itself. */
export function compilerTitle() {
  const { status, stdout } = spawnSync(compiler, ["--version"], { encoding: "utf8" });
  if (status === 0) return stdout.split("\n")[0];
  throw new Trouble(
    `Cannot find the C compiler ${compiler}. Install one, on Debian and Ubuntu: apt-get install gcc libssl-dev`,
  );
}

/** The program made of `name`.c. */
export function compile(name) {
  const source = fileURLToPath(new URL(`${name}.c`, import.meta.url));
  const program = join(temporaryFolder(), name);
  const parameters = ["-O2", "-pthread", "-o", program, source, "-lssl", "-lcrypto"];
  const { status, stderr } = spawnSync(compiler, parameters, { encoding: "utf8" });
  if (status === 0) return program;
  throw new Trouble(
    /openssl\/\S+\.h|-lssl|-lcrypto/.test(stderr)
      ? `Cannot compile ${name}.c: libssl's headers are missing. Install them: apt-get install libssl-dev (Debian, ` +
        "Ubuntu), dnf install openssl-devel (Fedora), apk add openssl-dev (Alpine)"
      : `Cannot compile ${name}.c:\n${stderr.trim()}`,
  );
}
