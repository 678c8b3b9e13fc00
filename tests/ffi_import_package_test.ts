import process from "node:process";
import { cpSync, mkdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { importPackage } from "../ffi/import_package.ts";
import { output, ownRuntime, Program, root, TemporaryFolder, thisRuntime } from "./server_support.ts";
import "./support.ts";

/** Serves by all that wants a package, and asks Redis where there is none: prints what came of each. */
const program = `
import { connect, RedisStore, selfSigned, serve } from "LIBRARY";

const server = await serve({ ...selfSigned(), hostname: "127.0.0.1", port: 0 }, () => new Response("served"));
const socket = await connect({ hostname: "127.0.0.1", port: server.port, rejectUnauthorized: false });
socket.end("GET / HTTP/1.1\\r\\nhost: localhost\\r\\nconnection: close\\r\\n\\r\\n");
let text = "";
for await (const bytes of socket) text += bytes;
console.log(text.split("\\r\\n\\r\\n")[1]);
await server.close();
const store = new RedisStore({ url: "redis://127.0.0.1:1" });
await store.ready().catch((error) => console.log(error.message));
await store.close();
`;
const printed = /^served\n.*Cannot connect to Redis at 127\.0\.0\.1:1: (?!Cannot load).*\n$/;

/** The library alone in a folder, as a clone of it, with no packages around it. */
function copyLibrary(folder: string): void {
  mkdirSync(folder);
  for (const name of ["mod.ts", "ffi", "ssl", "cache", "server", "package.json"]) {
    cpSync(join(root, name), join(folder, name), { recursive: true });
  }
}

/** A folder of packages with the ones that the library may want. */
function linkPackages(folder: string): void {
  for (const name of ["koffi", "redis", "hono", "@hono/node-server"]) {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    symlinkSync(realpathSync(join(root, "node_modules", name)), join(folder, name), "junction");
  }
}

function start(file: string, cwd: string): Program {
  const { command, args } = ownRuntime();
  // Bun would fetch what is missing.
  return new Program(command, [...args, ...(thisRuntime === "bun" ? ["--no-install"] : []), file], { cwd });
}

describe("importPackage()", () => {
  const commands = { deno: "deno add npm:a-missing-package npm:b", bun: "bun add a-missing-package b" };
  it("says how to install what is not there, and what does without", async () => {
    const missing = {
      name: "a-missing-package",
      install: ["a-missing-package", "b"],
      without: "be content with less",
      requireInBun: () => {
        throw new Error("Cannot find package 'a-missing-package' from here");
      },
    };
    const command = thisRuntime === "node" ? "npm install a-missing-package b" : commands[thisRuntime];
    await assertRejects(
      () => importPackage(missing),
      Error,
      `Cannot load the npm package a-missing-package. Install it beside your program: ${command}; or do without it: be content with less`,
    );
  });

  // Deno finds packages by the configuration of the program, wherever a file is.
  const unlessOnDeno = thisRuntime === "deno" ? it.skip : it;

  unlessOnDeno("finds the packages of the program that a library outside of it is linked into", async () => {
    using folder = new TemporaryFolder();
    copyLibrary(folder.file("library"));
    linkPackages(folder.file("program/node_modules"));
    mkdirSync(folder.file("program/node_modules/@openssl-sessions"));
    symlinkSync(
      folder.file("library"),
      folder.file("program/node_modules/@openssl-sessions/openssl-sessions"),
      "junction",
    );
    writeFileSync(
      folder.file("program/main.mjs"),
      program.replace("LIBRARY", "@openssl-sessions/openssl-sessions"),
    );
    const { code, stdout, stderr } = await output(start(folder.file("program/main.mjs"), "/"));
    assertMatch(stdout, printed, stderr);
    assertEquals(code, 0);
  });

  /** A program with packages beside it, of a library that sits elsewhere and has none. */
  function writeProgram(folder: TemporaryFolder, file: string): void {
    copyLibrary(folder.file("library"));
    linkPackages(folder.file("program/node_modules"));
    writeFileSync(folder.file(file), program.replace("LIBRARY", folder.file("library/mod.ts")));
  }

  unlessOnDeno("finds the packages of a program that is started by a link to it", async () => {
    using folder = new TemporaryFolder();
    writeProgram(folder, "program/main.mjs");
    symlinkSync(folder.file("program/main.mjs"), folder.file("link.mjs"));
    const { code, stdout, stderr } = await output(start(folder.file("link.mjs"), "/"));
    assertMatch(stdout, printed, stderr);
    assertEquals(code, 0);
  });

  unlessOnDeno("finds the packages of a program that is started by its folder's name", async () => {
    using folder = new TemporaryFolder();
    writeProgram(folder, "program/main.mjs");
    writeFileSync(folder.file("program/package.json"), `{ "main": "main.mjs" }`);
    const { code, stdout, stderr } = await output(start(folder.file("program"), "/"));
    assertMatch(stdout, printed, stderr);
    assertEquals(code, 0);
  });

  unlessOnDeno(
    "finds the packages of the working directory for a program without a file, as the runtime does",
    async () => {
      using folder = new TemporaryFolder();
      writeProgram(folder, "program/main.mjs");
      const { command } = ownRuntime();
      const text = readFileSync(folder.file("program/main.mjs"), "utf8");
      const evaluate = thisRuntime === "bun" ? ["--no-install", "-e", text] : ["--input-type=module", "-e", text];
      const { code, stdout, stderr } = await output(new Program(command, evaluate, { cwd: folder.file("program") }));
      assertMatch(stdout, printed, stderr);
      assertEquals(code, 0);
    },
  );

  /** A folder in which somebody has put packages that the library may want, and which say so when they run. */
  function plantPackages(folder: string): void {
    for (const name of ["koffi", "redis", "hono", "@hono/node-server"]) {
      mkdirSync(join(folder, "node_modules", name), { recursive: true });
      writeFileSync(join(folder, "node_modules", name, "index.js"), `console.log("PLANTED");`);
    }
  }

  it("runs nothing of the working directory", async () => {
    using folder = new TemporaryFolder();
    copyLibrary(folder.file("library"));
    plantPackages(folder.file("hostile"));
    writeFileSync(
      folder.file("library/main.mjs"),
      `import { openLibrary, RedisStore } from "./mod.ts";
      try {
        openLibrary();
      } catch (error) {
        console.log(error.message);
      }
      // Deno would fetch the package.
      const store = new RedisStore({ url: "redis://127.0.0.1:1" });
      if (!("Deno" in globalThis)) await store.ready().catch((error) => console.log(error.message));
      await store.close();`,
    );
    const { code, stdout, stderr } = await output(start(folder.file("library/main.mjs"), folder.file("hostile")));
    assertEquals(stdout.match(/PLANTED/g), null);
    assertEquals(
      stdout.match(/Cannot load the npm package \w+\. Install/g)?.length ?? 0,
      { deno: 0, bun: 1, node: 2 }[thisRuntime],
      stdout,
    );
    assertEquals([code, stderr], [0, ""]);
  });

  unlessOnDeno("says what a package that is there fails of", async () => {
    using folder = new TemporaryFolder();
    copyLibrary(folder.file("library"));
    // One that wants another, which is missing; and one that throws.
    const packages = {
      koffi: `throw new Error("Cannot find the native part.\\nIt is on the moon.")`,
      redis: `require("a-missing-package");`,
    };
    for (const [name, text] of Object.entries(packages)) {
      mkdirSync(folder.file(`library/node_modules/${name}`), { recursive: true });
      writeFileSync(folder.file(`library/node_modules/${name}/index.js`), text);
    }
    writeFileSync(
      folder.file("library/main.mjs"),
      `import { importPackage, requirePackage } from "./ffi/import_package.ts";
      import { redisPackage } from "./cache/redis_package.ts";
      await importPackage(redisPackage).catch((error) => console.log(error.message));
      try {
        requirePackage({ name: "koffi", without: "by nothing" });
      } catch (error) {
        console.log(error.message);
      }`,
    );
    const { stdout } = await output(start(folder.file("library/main.mjs"), "/"));
    const install = thisRuntime === "bun" ? "bun add" : "npm install";
    const [redis, koffi] = stdout.split("\n");
    assertMatch(
      redis!,
      new RegExp(
        `^Cannot load the npm package redis: Cannot find .* 'a-missing-package'.*\\. Install .*: ${install} redis;`,
      ),
    );
    assertEquals(
      koffi,
      `Cannot load the npm package koffi: Cannot find the native part. Install it beside your program: ${install} koffi; or do without it: by nothing`,
    );
  });

  // Bun copies its own program, and cannot where a loader of its own has started it.
  const onBun = thisRuntime === "bun" && process.env.OPENSSL_SESSIONS_SELF === undefined ? it : it.skip;

  onBun("is seen by bun build --compile: the program that it makes runs where there are no packages", async () => {
    using folder = new TemporaryFolder();
    // Beside the library, where its packages are.
    const { command } = ownRuntime();
    writeFileSync(folder.file("main.mjs"), program.replace("LIBRARY", join(root, "mod.ts")));
    const build = ["build", "--compile", folder.file("main.mjs"), "--outfile", folder.file("program")];
    const built = await output(new Program(command, build));
    assertEquals(built.code, 0, built.stderr);
    const { code, stdout, stderr } = await output(new Program(folder.file("program"), [], { cwd: "/" }));
    assertMatch(stdout, printed, stderr);
    assertEquals(code, 0);
  });

  onBun("keeps bun build from nothing where a package is missing, and says so when it is wanted", async () => {
    using folder = new TemporaryFolder();
    copyLibrary(folder.file("library"));
    const { command } = ownRuntime();
    writeFileSync(folder.file("library/main.mjs"), program.replace("LIBRARY", "./mod.ts"));
    const build = ["build", "--compile", folder.file("library/main.mjs"), "--outfile", folder.file("program")];
    const built = await output(new Program(command, build));
    assertEquals(built.code, 0, built.stderr);
    plantPackages(folder.file("hostile"));
    const { code, stdout, stderr } = await output(
      new Program(folder.file("program"), [], { cwd: folder.file("hostile") }),
    );
    assert(code !== 0);
    assertEquals(stdout, "");
    assertMatch(stderr, /Cannot load the npm package @hono\/node-server\. .*: bun add @hono\/node-server hono; or do /);
  });
});
