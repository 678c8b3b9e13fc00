// `npm run check:package`: installs the library in empty projects, as README says, and uses it there on each runtime.
//
// From the tarball of `npm run pack`, by its name from a registry, from the repository's folder, and from a URL.
import { spawnSync } from "node:child_process";
import { cpSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { pack } from "./pack.mjs";
import { Project } from "./package_project.mjs";
import { serveRepository, startRegistry } from "./package_servers.mjs";
import { findRuntime, installed, root } from "./runtimes.mjs";

const temporary = mkdtempSync(join(tmpdir(), "openssl-sessions-package-"));
const { tarball, manifest } = await pack(temporary);
const { name } = manifest;
const [deno, bun, node24, node26] = ["deno", "bun", "node24", "node26"].map((runtime) => findRuntime(runtime).path);
const denoRun = [deno, "run", "-A", "--no-prompt"];
const runtimes = { Deno: denoRun, Bun: [bun], "Node 24": [node24], "Node 26": [node26] };
const registry = await startRegistry(tarball, manifest);
const repository = await serveRepository();
const npm = ["npm", "--no-audit", "--no-fund", "--no-update-notifier", "--prefer-offline", "--loglevel=error"];
let failures = 0;

async function step(title, work) {
  const started = performance.now();
  try {
    await work();
    console.log(`ok      ${title} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failures++;
    console.log(`FAILED  ${title}\n${error.message.replace(/^/gm, "| ")}`);
  }
}

function expect(text, pattern, what) {
  if (!pattern.test(text)) throw new Error(`${what}: ${pattern} is not in\n${text}`);
  return text;
}

/** An empty project; `use` fills it. */
async function project(title, use) {
  const made = new Project({ DENO_DIR: join(temporary, "deno") });
  made.write(".npmrc", `${name.split("/")[0]}:registry=${registry.url}/\n`);
  console.log(`\n${title}`);
  try {
    await use(made);
  } finally {
    made.remove();
  }
}

/** In megabytes, without what is linked. */
function sizeOf(path) {
  const status = lstatSync(path);
  if (!status.isDirectory()) return status.size / 1e6;
  return readdirSync(path).reduce((total, entry) => total + sizeOf(join(path, entry)), 0);
}

function checkInstalled(made) {
  const size = sizeOf(made.path("node_modules"));
  const names = readdirSync(made.path("node_modules")).filter((entry) => !entry.startsWith(".")).sort().join(" ");
  console.log(`        ${size.toFixed(1)} MB: ${names}`);
  if (size > 40) throw new Error(`${size} MB are too much`);
  expect(names, /^@hono @koromix @openssl-sessions @types hono koffi undici-types$/, "The packages");
}

/** The programs of tasks/package on each of these. */
async function resumes(made, commands) {
  for (const file of ["resume.mjs", "resume.cjs"]) cpSync(join(root, "tasks", "package", file), made.path(file));
  for (const [title, command] of Object.entries(commands)) {
    await step(`${title} resumes by import`, async () => {
      expect(await made.run([...command, "resume.mjs"]), /^full,resumed function\n$/, "The output");
    });
    await step(`${title} resumes by require()`, async () => {
      expect(await made.run([...command, "resume.cjs"]), /^full,resumed function\n$/, "The output");
    });
  }
}

/** README's first program; with another specifier for the library where one is given. On a free port. */
function firstProgram(specifier = name) {
  const program = readFileSync(join(root, "README.md"), "utf8").match(/```ts ignore\n(\/\/ server\.ts\n[^]*?)```/)[1];
  expect(program, new RegExp(`from "${name}"`), "README's first program");
  return program.replace(name, specifier).replace("port: 8443", "port: 0");
}

/** Starts it on one runtime after the other; a client of README's commands resumes on each but the first. */
async function firstProgramResumes(made, commands) {
  const environment = { SESSION_SECRET: "a secret of more than sixteen bytes" };
  let offered = [];
  for (const [title, command] of Object.entries(commands)) {
    await step(`README's first program: ${title}, ${offered.length ? "resumed" : "a full handshake"}`, async () => {
      await made.serving([...command, "server.ts"], /https:\/\/localhost:(\d+)\n/, async (port) => {
        const client = ["openssl", "s_client", "-connect", `localhost:${port}`, ...offered, "-sess_out", "session.pem"];
        const input = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        const text = await made.run([...client, "-ign_eof"], { input });
        expect(
          text,
          offered.length ? /^Reused, TLSv1\.3[^]*^resumed$/m : /^New, TLSv1\.3[^]*^a full handshake$/m,
          "The client",
        );
      }, { environment });
    });
    offered = ["-sess_in", "session.pem"];
  }
}

/** The examples that run as they are, with `at(NAME)` for the file or the URL of one. */
async function examplesRun(made, title, command, at) {
  await step(`${title}: three_callbacks`, async () => {
    expect(await made.run([...command, at("three_callbacks")]), /^second visit\n[^]*resumed\n/m, "The output");
  });
  await step(`${title}: session_file_client and inspect_session`, async () => {
    for (const file of ["session.pem", "sessions.db"]) rmSync(made.path(file), { force: true });
    expect(await made.run([...command, at("session_file_client")]), /: a full handshake\n$/, "The first run");
    expect(await made.run([...command, at("session_file_client")]), /: resumed\n$/, "The second run");
    expect(await made.run([...command, at("inspect_session"), "session.pem"]), /TLSv1\.3/, "The session");
  });
  for (const [example, ...parameters] of [["https_server", "--port", "0"], ["metrics", "0"]]) {
    await step(`${title}: ${example}`, () => visit([...command, at(example), ...parameters]));
  }
  await step(`${title}: cluster`, async () => {
    const unstable = command[0] === deno ? ["--unstable-net"] : [];
    await visit([...command, ...unstable, at("cluster"), "--port", "0", "--workers", "2"]);
  });

  function visit(server) {
    return made.serving(server, /https:\/\/localhost:(\d+)/, async (port) => {
      const client = ["openssl", "s_client", "-connect", `localhost:${port}`, "-ign_eof"];
      const text = await made.run(client, { input: "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n" });
      expect(text, /^HTTP\/1\.1 200 /m, "The answer");
    });
  }
}

/** Checks programs as users of plain `tsc --strict` would, with both ways in which it finds modules. */
async function typesHold(made) {
  cpSync(join(root, "tasks", "package", "strict.ts"), made.path("strict.ts"));
  const options = ["--noEmit", "--strict", "--noPropertyAccessFromIndexSignature", "--target", "esnext"];
  for (const resolution of [["nodenext", "nodenext"], ["esnext", "bundler"]]) {
    await step(`tsc --strict --moduleResolution ${resolution[1]}`, async () => {
      const [module, moduleResolution] = resolution;
      const tsc = [node24, join(installed, "typescript", "bin", "tsc"), ...options];
      await made.run([...tsc, "--module", module, "--moduleResolution", moduleResolution, "server.ts", "strict.ts"]);
    });
  }
}

await step("One name and version on npm and JSR, and one of each package", () => {
  const read = (file) => JSON.parse(readFileSync(join(root, file), "utf8"));
  const { devDependencies } = read("tasks/package.json");
  const { imports, ...jsr } = read("deno.json");
  const texts = {
    "deno.json": [`${jsr.name}@${jsr.version}`, `${name}@${manifest.version}`],
    "prom-client in deno.json": [imports["prom-client"], `npm:prom-client@${devDependencies["prom-client"]}`],
    "cache/redis_package.ts": [
      /npm:redis@[^"]+/.exec(readFileSync(join(root, "cache/redis_package.ts"), "utf8"))?.[0],
      `npm:redis@${manifest.peerDependencies.redis}`,
    ],
  };
  for (const [where, [is, should]] of Object.entries(texts)) {
    if (is !== should) throw new Error(`${where}: ${is} should be ${should}`);
  }
});

/** RedisStore finds its client, once that is installed, and asks Redis, where there is none. */
async function redisIsFound(made, install, commands) {
  made.write(
    "redis.mjs",
    `import { RedisStore } from "${name}";
    const store = new RedisStore({ url: "redis://127.0.0.1:1" });
    await store.ready().catch((error) => console.log(error.message));
    await store.close();`,
  );
  await step(install.slice(-2).join(" "), () => made.run(install));
  for (const [title, command] of Object.entries(commands)) {
    await step(`${title}: RedisStore finds the package redis`, async () => {
      const text = await made.run([...command, "redis.mjs"]);
      expect(text, /Cannot connect to Redis at 127\.0\.0\.1:1: (?!Cannot load)/, "The output");
    });
  }
}

await project("npm install of the tarball", async (made) => {
  made.write("package.json", `{ "type": "module" }`);
  made.write("server.ts", firstProgram());
  await step("npm install", async () => {
    await made.run([...npm, "install", tarball]);
    checkInstalled(made);
    expect(readdirSync(made.path("node_modules/.bin")).join(), /^openssl-sessions$/, "The programs");
  });
  await step("The examples in the documentation import the package by its name", () => {
    const folder = made.path(`node_modules/${name}`);
    const types = readdirSync(folder, { recursive: true }).filter((file) => file.endsWith(".d.ts"));
    const lines = types.flatMap((file) =>
      readFileSync(join(folder, file), "utf8").match(/^ *\* .* from ".*";$/gm) ?? []
    );
    const others = lines.filter((line) => / from "\./.test(line));
    if (lines.length === 0 || others.length > 0) throw new Error(`Of ${lines.length} lines:\n${others.join("\n")}`);
  });
  await resumes(made, runtimes);
  await typesHold(made);
  await firstProgramResumes(made, runtimes);
  await step("openssl-sessions", async () => {
    const text = await made.run([node24, "node_modules/.bin/openssl-sessions"]);
    expect(text, /^openssl-sessions \d.*, on node\nOpenSSL .*libssl.*\n$/, "The output");
  });
  await redisIsFound(made, [...npm, "install", "redis"], runtimes);
  await step("npm install prom-client", () => made.run([...npm, "install", "prom-client"]));
  for (const title of ["Deno", "Bun", "Node 24"]) {
    await examplesRun(made, title, runtimes[title], (example) => `node_modules/${name}/examples/${example}.js`);
  }
});

await project("bun add", async (made) => {
  made.write("server.ts", firstProgram());
  await step("bun add", async () => {
    await made.run([bun, "add", name]);
    checkInstalled(made);
  });
  await resumes(made, { Bun: [bun] });
  await redisIsFound(made, [bun, "add", "redis"], { Bun: [bun] });
  await step("bun build --compile: a program that runs where there are no packages", async () => {
    const compiled = join(temporary, "compiled");
    await made.run([bun, "build", "--compile", "resume.mjs", "--outfile", compiled]);
    const elsewhere = new Project();
    try {
      expect(await elsewhere.run([compiled]), /^full,resumed function\n$/, "The output");
    } finally {
      elsewhere.remove();
    }
  });
  await firstProgramResumes(made, { Bun: [bun], "Bun again": [bun] });
});

await project("deno add npm:", async (made) => {
  made.write("server.ts", firstProgram());
  await step("deno add", () => made.run([deno, "add", `npm:${name}`]));
  await resumes(made, { Deno: denoRun });
  await redisIsFound(made, [deno, "add", "npm:redis"], { Deno: denoRun });
  await step("deno check", () => made.run([deno, "check", "server.ts"]));
  await firstProgramResumes(made, { Deno: denoRun, "Deno again": denoRun });
});

await project("npm install and bun add of the repository", async (made) => {
  made.write("package.json", `{ "type": "module" }`);
  made.write("server.ts", firstProgram());
  const copy = join(temporary, "repository");
  await step("npm install in the clone, and deno publish --dry-run where nothing is installed", async () => {
    // What a clone would have.
    const { stdout } = spawnSync("git", ["ls-files", "-co", "--exclude-standard"], { cwd: root, encoding: "utf8" });
    for (const file of stdout.trim().split("\n")) {
      if (lstatSync(join(root, file), { throwIfNoEntry: false })) cpSync(join(root, file), join(copy, file));
    }
    await made.run([deno, "publish", "--dry-run", "--allow-dirty", "--config", join(copy, "deno.json")]);
    await made.run([
      deno,
      "check",
      "--config",
      join(copy, "deno.json"),
      join(copy, "mod.ts"),
      join(copy, "testing.ts"),
    ]);
    await made.run([...npm, "install", "--prefix", copy]);
    const size = sizeOf(join(copy, "node_modules"));
    if (size > 40) throw new Error(`${size} MB are too much`);
    rmSync(join(copy, "node_modules"), { recursive: true });
  });
  await step("bun add of the folder", async () => {
    await made.run([bun, "add", copy]);
    checkInstalled(made);
  });
  await resumes(made, { Bun: [bun] });
});

await project("Deno, from a URL", async (made) => {
  made.write("server.ts", firstProgram(`${repository.url}/mod.ts`));
  await firstProgramResumes(made, { Deno: denoRun, "Deno again": denoRun });
  await step("deno check", () => made.run([deno, "check", `--allow-import`, "server.ts"]));
  await step("deno add npm:prom-client", () => made.run([deno, "add", "npm:prom-client"]));
  const configured = [...denoRun, "--config", "deno.json"];
  await examplesRun(made, "Deno", configured, (example) => `${repository.url}/examples/${example}.ts`);
  await step("deno cache sees the package of RedisStore", async () => {
    made.write(
      "redis.ts",
      `
      import { RedisStore } from "${repository.url}/mod.ts";
      const store = new RedisStore({ url: "redis://127.0.0.1:1" });
      await store.ready().catch((error) => console.log(error.message));
      await store.close();
    `,
    );
    const environment = { DENO_DIR: made.path("cache") };
    await made.run([deno, "cache", "--allow-import", "redis.ts"], { environment });
    const text = await made.run([...denoRun, "--cached-only", "redis.ts"], { environment });
    expect(text, /Cannot connect to Redis at 127\.0\.0\.1:1: (?!Cannot load)/, "The output");
  });
});

registry.end();
repository.end();
rmSync(temporary, { recursive: true, force: true });
console.log(`\n${failures === 0 ? "all ok" : `${failures} FAILED`}`);
process.exitCode = failures === 0 ? 0 : 1;
