// The clients of part three that others wrote: h2load and curl.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { Trouble } from "./processes.mjs";

const packages = { h2load: "nghttp2-client", curl: "curl" };

const patience = 20;

async function run(program, parameters) {
  try {
    return (await promisify(execFile)(program, parameters, { timeout: patience * 1000 })).stdout;
  } catch (error) {
    if (error.killed) throw new Trouble(`${program}: it did not end within ${patience} seconds`);
    if (error.code !== "ENOENT") throw new Trouble(`${program}: ${error.stderr?.trim() || error.message}`);
    throw new Trouble(`There is no ${program}. Install it: apt-get install ${packages[program]}`);
  }
}

/** The clients' versions, each `{ name, title }` where it is there; what is not is handed to `onTrouble`. */
export async function findHttpClients(onTrouble) {
  const found = [];
  for (const name of Object.keys(packages)) {
    try {
      const version = /\d+\.\d+\.\d+/.exec(await run(name, ["--version"]))?.[0];
      found.push({ name, title: `${name} ${version}` });
    } catch (error) {
      onTrouble(error);
    }
  }
  return found;
}

/**
 * Requests per second over connections that stay.
 *
 * @param port the server's
 * @param load `{ version, connections, atOnce }`: "1.1" or "2"; requests under way at once on each connection
 * @param milliseconds for how long
 */
export async function requestsPerSecond(port, { version, connections, atOnce }, milliseconds) {
  const output = await run("h2load", [
    ...(version === "1.1" ? ["--h1"] : []),
    ...["-c", String(connections), "-m", String(atOnce)],
    // Its handshakes are to be over when it begins to count: it waits for ever for one that is not over when it ends.
    ...["--warm-up-time", connections > 10 ? "3s" : "1s", "-D", `${milliseconds}ms`],
    `https://127.0.0.1:${port}/`,
  ]);
  const count = (pattern) => Number(pattern.exec(output)?.[1]);
  const protocol = /Application protocol: (\S+)/.exec(output)?.[1];
  if (protocol !== (version === "2" ? "h2" : "http/1.1")) throw new Trouble(`h2load: it spoke ${protocol}`);
  const [succeeded, failed] = [count(/(\d+) succeeded/), count(/(\d+) failed/)];
  // The 2xx are somewhat fewer than what succeeded: heads that came while it warmed up are not among them.
  if (!(succeeded > 0) || failed !== 0 || !/[1-9]\d* 2xx, 0 3xx, 0 4xx, 0 5xx/.test(output)) {
    throw new Trouble(
      `h2load: ${succeeded} requests succeeded, ${failed} failed, ${/status codes: .*/.exec(output)?.[0]}`,
    );
  }
  return succeeded / (milliseconds / 1000);
}

/** How fast a download of 1 GiB is, in GB/s. */
export async function downloadSpeed(port, version) {
  const output = await run("curl", [
    ...["--silent", "--show-error", "--insecure", version === "2" ? "--http2" : "--http1.1", "--output", "/dev/null"],
    ...["--write-out", "%{http_version} %{size_download} %{speed_download}", `https://127.0.0.1:${port}/large`],
  ]);
  const [spoken, size, speed] = output.split(" ");
  if (spoken !== version || Number(size) !== 2 ** 30) throw new Trouble(`curl: ${size} bytes over HTTP/${spoken}`);
  return Number(speed) / 1e9;
}
