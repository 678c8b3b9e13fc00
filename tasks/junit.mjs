const testcase = /<testcase((?:\s+[\w:]+="[^"]*")*)\s*(?:\/>|>([\s\S]*?)<\/testcase>)/g;

/**
 * Counts the tests in a JUnit report as Deno, Bun or Node writes it.
 *
 * Deno lists a suite too, as a case of its own, named so that "suite" stands before "suite > test". A suite counts only
 * where it failed and none of its tests did: a hook threw, or the sanitizers found a leak between the tests.
 */
export function countJunit(xml) {
  const cases = [...xml.matchAll(testcase)].map((
    [_, attributes, body = ""],
  ) => ({
    name: /\sname="([^"]*)"/.exec(attributes)?.[1] ?? "",
    failed: /<(failure|error)\b/.test(body),
    skipped: /<skipped\b/.test(body),
  }));
  const deno = /<testsuites name="deno test"/.test(xml);
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const { name, failed, skipped } of cases) {
    const inside = deno ? cases.filter((other) => other.name.startsWith(`${name} &gt; `)) : [];
    if (
      inside.length > 0 && (!failed || inside.some((other) => other.failed))
    ) continue;
    counts[failed ? "failed" : skipped ? "skipped" : "passed"]++;
  }
  return counts;
}
