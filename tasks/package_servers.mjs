// What the checks of the package get it from: a registry of this one package, and the repository by HTTP. On 127.0.0.1.
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join, normalize } from "node:path";
import { root } from "./runtimes.mjs";

async function listen(answer) {
  const server = createServer((request, response) => {
    const path = decodeURIComponent(normalize(new URL(request.url, "http://localhost").pathname));
    const [type, body] = answer(path) ?? [];
    if (!type) response.writeHead(404).end();
    else response.writeHead(200, { "content-type": type }).end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const end = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, end };
}

/** A registry that has the package of this tarball and no other. */
export async function startRegistry(tarball, manifest) {
  const bytes = readFileSync(tarball);
  const { name, version } = manifest;
  const integrity = `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
  const registry = await listen((path) => {
    if (path === "/package.tgz") return ["application/octet-stream", bytes];
    if (path !== `/${name}`) return;
    const dist = { tarball: `${registry.url}/package.tgz`, integrity };
    const document = {
      name,
      "dist-tags": { latest: version },
      versions: { [version]: { ...manifest, dist } },
      time: { [version]: "2026-01-01T00:00:00.000Z" },
    };
    return ["application/json", JSON.stringify(document)];
  });
  return registry;
}

/** The repository's files, as a host of repositories would serve them. */
export function serveRepository() {
  return listen((path) => {
    const file = join(root, path);
    if (!/^\/[\w/]+\.ts$/.test(path) || !existsSync(file)) return;
    return ["application/typescript", readFileSync(file)];
  });
}
