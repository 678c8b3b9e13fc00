import type { NpmPackage } from "../ffi/import_package.ts";

declare const require: (name: string) => unknown;

/** The client that RedisStore makes of a URL. */
export const redisPackage: NpmPackage = {
  name: "redis",
  without: "give RedisStore a function that sends a command by your own client",
  requireInBun() {
    try {
      return require("redis");
    } catch (error) {
      return Promise.reject(error);
    }
  },
  // Bun's bundler does not know such names, and does not insist on what is caught right where it is imported.
  // @ts-ignore: nor does tsc
  importInDeno: () => import("npm:redis@^6.3.1").catch((error) => Promise.reject(error)),
};
