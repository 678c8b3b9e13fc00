import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Deadlines } from "../cache/deadlines.ts";
import { until } from "./server_support.ts";

describe("Deadlines", () => {
  // A second timer would outlive close(), which Deno's sanitizer sees.
  it("have one timer, also where an item is added while another one expires", async () => {
    const expired: string[] = [];
    const deadlines = new Deadlines<string>(60, (item) => {
      expired.push(item);
      if (item === "first") deadlines.add("added");
    });
    deadlines.add("first");
    await new Promise((resolve) => setTimeout(resolve, 40));
    deadlines.add("second");
    await until(() => expired.length === 1, "the first to expire");
    deadlines.close();
    assertEquals([expired, deadlines.size], [["first"], 0]);
  });

  it("let all expire in their order, those as well that were added meanwhile", async () => {
    const expired: string[] = [];
    const deadlines = new Deadlines<string>(10, (item) => {
      expired.push(item);
      if (item === "first") deadlines.add("again");
    });
    for (const item of ["first", "second", "third"]) deadlines.add(item);
    await until(() => expired.length === 4, "all to expire");
    assertEquals([expired, deadlines.size], [["first", "second", "third", "again"], 0]);
    deadlines.close();
  });
});
