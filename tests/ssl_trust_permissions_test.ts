import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { root, runSelf } from "./process.ts";

it("The system's authorities are trusted without a permission to read them, and nothing is asked", async () => {
  const code = `
import { SslContext } from "${root}mod.ts";
const contexts = [SslContext.client(), SslContext.client()];
for (const context of contexts) context.dispose();
console.log("trusted");
`;
  const { code: exit, stdout, stderr } = await runSelf(code, {}, ["--allow-ffi"]);
  assertEquals([exit, stdout, stderr], [0, "trusted\n", ""]);
});
