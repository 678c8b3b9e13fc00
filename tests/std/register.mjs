// Node has no import map: this gives it the one in deno.json. Run tests with `node --import ./tests/std/register.mjs`.
import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";

const root = new URL("../../", import.meta.url);
const { imports } = JSON.parse(readFileSync(new URL("deno.json", root), "utf8"));

registerHooks({
  resolve(specifier, context, nextResolve) {
    const target = Object.hasOwn(imports, specifier) ? imports[specifier] : undefined;
    // A target that is no relative path (jsr:) means nothing to Node, which then says so with the plain name.
    return nextResolve(target?.startsWith("./") ? new URL(target, root).href : specifier, context);
  },
});
