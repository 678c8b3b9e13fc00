import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { readdirSync, readFileSync } from "node:fs";
import { counts } from "./counts.ts";
import { Contexts } from "./support.ts";

const folder = new URL("./", import.meta.url);

/** The files of this folder that one of them imports, and those that these import. */
function importsOf(name: string, known = new Set<string>()): Set<string> {
  const text = readFileSync(new URL(name, folder), "utf8");
  // At the beginning of a line: a program that a test writes has imports of its own.
  const imports = /^(?:(?:im|ex)port (?:.* from )?|\} from |.*await import\()"\.\/([a-z_0-9]+\.ts)"/gm;
  for (const [, path] of text.matchAll(imports)) {
    if (!path || known.has(path)) continue;
    known.add(path);
    importsOf(path, known);
  }
  return known;
}

/** The objects of other threads cannot be counted: libcrypto would call into this one's JavaScript from there. */
const exempt = ["ssl_process_end_test.ts", "ssl_workers_test.ts"];

describe("the ledger of libssl's objects", () => {
  it("is opened by every file of tests that uses the library", () => {
    const uses = /from "\.\.\/(mod|ssl\/[a-z_]+|server\/[a-z_]+|cache\/session_cache)\.ts"/;
    const missing = readdirSync(folder).filter((name) => {
      if (!name.endsWith("_test.ts") || exempt.includes(name)) return false;
      const files = importsOf(name);
      const isUser = [name, ...files].some((file) => uses.test(readFileSync(new URL(file, folder), "utf8")));
      return isUser && !files.has("ledger.ts");
    });
    assertEquals(missing, []);
  });

  it("counts each object", () => {
    const before = counts();
    const contexts = new Contexts("TLSv1.3");
    assertEquals(counts().contexts, before.contexts + 2);
    const link = contexts.link().connect();
    assertEquals(counts().connections, before.connections + 2);
    assert(counts().sessions > before.sessions);
    link.close();
    contexts[Symbol.dispose]();
    assertEquals(counts(), before);
  });
});
