import process from "node:process";
import type { Adapter } from "./adapter.ts";

/** The platform as Bun and Node name it, in the adapters' words. */
export function platform(): Adapter["platform"] {
  switch (process.platform) {
    case "linux":
    case "darwin":
      return process.platform;
    case "win32":
      return "windows";
    default:
      return "other";
  }
}
