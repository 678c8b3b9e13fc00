import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { output, ownRuntime, Program, root, TemporaryFolder } from "./server_support.ts";

/** A clone that has one package to install, from a registry of this test's. */
class Clone implements AsyncDisposable {
  readonly #folder = new TemporaryFolder();
  readonly #server: Server;
  /** What to do with somebody who asks for the package. */
  answer: (response: ServerResponse) => void;

  private constructor() {
    mkdirSync(this.file("tasks"), { recursive: true });
    for (const name of ["setup.mjs", "lock.mjs", "runtimes.mjs"]) {
      cpSync(join(root, "tasks", name), this.file(`tasks/${name}`));
    }
    mkdirSync(this.file("package"));
    writeFileSync(this.file("package/package.json"), `{ "name": "wanted", "version": "1.0.0" }`);
    assertEquals(spawnSync("tar", ["czf", this.file("wanted.tgz"), "-C", this.file("."), "package"]).status, 0);
    const tarball = readFileSync(this.file("wanted.tgz"));
    this.answer = (response) => response.end(tarball);
    this.#server = createServer((_request, response) => this.answer(response));
  }

  static async make(): Promise<Clone> {
    const clone = new Clone();
    clone.#server.listen(0, "127.0.0.1");
    await once(clone.#server, "listening");
    const list = { name: "tasks", version: "1.0.0", dependencies: { wanted: "1.0.0" } };
    const wanted = {
      version: "1.0.0",
      resolved: `${clone.#url}/wanted.tgz`,
      integrity: `sha512-${createHash("sha512").update(readFileSync(clone.file("wanted.tgz"))).digest("base64")}`,
    };
    const lock = { ...list, lockfileVersion: 3, packages: { "": list, "node_modules/wanted": wanted } };
    writeFileSync(clone.file("tasks/package.json"), JSON.stringify(list));
    writeFileSync(clone.file("tasks/package-lock.json"), JSON.stringify(lock));
    return clone;
  }

  get #url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  file(name: string): string {
    return this.#folder.file(name);
  }

  setUp(folder: string = this.file(".")): Program {
    const { command, args } = ownRuntime();
    const env = { npm_config_cache: this.file("cache"), npm_config_registry: this.#url, npm_config_fetch_retries: "0" };
    return new Program(command, [...args, join(folder, "tasks/setup.mjs")], { cwd: this.file("."), env });
  }

  /** What the task has put beside its files. */
  left(): string[] {
    return readdirSync(this.file("tasks")).filter((name) => !name.endsWith(".mjs") && !name.endsWith(".json")).sort();
  }

  assertIsSetUp(): void {
    assertEquals(this.left(), ["node_modules"]);
    assert(existsSync(this.file("node_modules/wanted/package.json")));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server.close(), "close");
    this.#server.closeAllConnections();
    await closed;
    this.#folder[Symbol.dispose]();
  }
}

describe("setup.mjs", () => {
  it("installs what is missing or another, and no more than once", async () => {
    await using clone = await Clone.make();
    mkdirSync(clone.file("tasks/node_modules/another"), { recursive: true });
    // As of an npm install in the clone.
    mkdirSync(clone.file("node_modules/koffi"), { recursive: true });
    const first = await output(clone.setUp());
    assertEquals([first.code, first.stderr], [0, ""]);
    assertMatch(first.stdout, /Installed npm packages/);
    clone.assertIsSetUp();
    assertEquals(existsSync(clone.file("node_modules/another")), false);
    if (process.platform !== "win32") assertEquals(readlinkSync(clone.file("node_modules")), "tasks/node_modules");
    assertEquals(await output(clone.setUp()), { code: 0, stdout: "", stderr: "" });
  });

  it("installs where a link leads to the clone", async () => {
    await using clone = await Clone.make();
    symlinkSync(clone.file("."), clone.file("link"), "junction");
    assertEquals((await output(clone.setUp(clone.file("link")))).code, 0);
    clone.assertIsSetUp();
  });

  it("ends npm where it is ended itself, and leaves the packages that were there", async () => {
    await using clone = await Clone.make();
    const { answer } = clone;
    mkdirSync(clone.file("tasks/node_modules/another"), { recursive: true });
    const asked = new Promise<ServerResponse>((resolve) => clone.answer = resolve);
    await using task = clone.setUp();
    const response = await asked;
    const npmEnded = once(response, "close");
    task.child.kill("SIGTERM");
    // Deno's node:child_process takes the one for the other.
    const { code, signal } = await task.end();
    assert(code === 143 || signal === "SIGTERM", `${code} ${signal}`);
    await npmEnded;
    assertEquals(clone.left().filter((name) => !name.startsWith(".setting-up-new-")), ["node_modules"]);
    assert(existsSync(clone.file("tasks/node_modules/another")));
    clone.answer = answer;
    assertEquals((await output(clone.setUp())).code, 0);
    clone.assertIsSetUp();
  });

  it("says what npm says where that fails, and leaves the packages that were there", async () => {
    await using clone = await Clone.make();
    clone.answer = (response) => response.writeHead(404).end();
    mkdirSync(clone.file("tasks/node_modules/another"), { recursive: true });
    const { code, stderr } = await output(clone.setUp());
    assertEquals(code, 1);
    assertMatch(stderr, /^Cannot install the npm packages: "npm ci" ended with 1\n[^]*404/);
    assertEquals(clone.left(), ["node_modules"]);
    assert(existsSync(clone.file("tasks/node_modules/another")));
  });

  it("takes over from one that was killed, and removes what that has left", async () => {
    await using clone = await Clone.make();
    const { command, args } = ownRuntime();
    writeFileSync(clone.file("nothing.mjs"), "");
    const dead = new Program(command, [...args, clone.file("nothing.mjs")]);
    await output(dead);
    writeFileSync(clone.file("tasks/.setting-up"), `${dead.child.pid}`);
    for (const name of ["new", "old"]) {
      mkdirSync(clone.file(`tasks/.setting-up-${name}-${dead.child.pid}/node_modules/another`), { recursive: true });
    }
    assertEquals((await output(clone.setUp())).code, 0);
    clone.assertIsSetUp();
  });
});
