import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import process from "node:process";
import { openLibrary } from "../mod.ts";
import { curl } from "./curl_support.ts";
import { ownRuntime, Program, thisRuntime } from "./server_support.ts";
import "./support.ts";

const { version } = openLibrary();

/** The values in Prometheus's text, by their names with labels. */
function valuesIn(text: string): Map<string, number> {
  const values = new Map<string, number>();
  for (const line of text.split("\n")) {
    const [, name, value] = /^([a-z_]+(?:\{[^}]*\})?) (\S+)$/.exec(line) ?? [];
    if (name) values.set(name, Number(value));
  }
  return values;
}

describe("examples/metrics.ts", () => {
  it("has metrics that move, under names that Prometheus takes", async () => {
    await using program = Program.run(ownRuntime(), "examples/metrics.ts", ["0"]);
    const [, url] = await program.writes(/^(https:\/\/localhost:\d+)\/metrics$/m);
    const first = await curl("-k", "-i", "--http1.1", `${url}/metrics`);
    assertMatch(first, /^content-type: text\/plain; version=0\.0\.4; charset=utf-8\r$/im);
    const lines = first.slice(first.indexOf("\r\n\r\n") + 4).trimEnd().split("\n").filter((line) => line !== "");
    for (const line of lines) {
      assertMatch(line, /^(# (HELP|TYPE) openssl_sessions_\w+ .+|openssl_sessions_\S+ .*[\d.]+)$/);
    }
    assertStringIncludes(first, `openssl_sessions_info{version="${version}",runtime="${thisRuntime}"} 1\n`);

    // A full handshake, and two that resume.
    const close = ["-k", "--http1.1", "-H", "connection: close"];
    assertEquals((await curl(...close, `${url}/`, `${url}/`, `${url}/`)).match(/resumed/g)?.length, 2);
    const [before, after] = [valuesIn(first), valuesIn(await curl("-k", `${url}/metrics`))];
    const moved = (name: string) => after.get(`openssl_sessions_${name}`)! - before.get(`openssl_sessions_${name}`)!;
    assertEquals(
      [moved("accepted_connections_total"), moved("handshakes_total"), moved("resumed_handshakes_total")],
      [4, 4, 2],
    );
    assertEquals([moved("requests_total"), moved("lookups_total"), moved("lookup_hits_total")], [4, 2, 2]);
    assertEquals([moved("stored_sessions_total"), moved("store_write_seconds_count")], [4, 4]);
    assertEquals(moved("store_lookup_seconds_count"), 2);
    assertEquals(moved('store_lookup_seconds_bucket{le="+Inf"}'), 2);
    assert(moved("store_lookup_seconds_sum") > 0);
    assert(moved("sent_bytes_total") > first.length);
    assertEquals([after.get("openssl_sessions_connections"), after.get("openssl_sessions_active_requests")], [1, 1]);

    process.kill(program.child.pid!, "SIGTERM");
    assertEquals(await program.end(), { code: 0, signal: null });
    assertEquals(program.stderr, "");
  });
});
