import type { NpmPackage } from "../ffi/import_package.ts";

declare const require: (name: string) => unknown;

/** What makes requests and responses of those of node:http and node:http2: on Node, and on Bun for HTTP/2. */
export const nodeServerPackage: NpmPackage = {
  name: "@hono/node-server",
  install: ["@hono/node-server", "hono"],
  without: 'on Bun by alpnProtocols: ["http/1.1"], and anywhere by listen() and httpConnections()',
  requireInBun() {
    try {
      return require("@hono/node-server");
    } catch (error) {
      return Promise.reject(error);
    }
  },
};
