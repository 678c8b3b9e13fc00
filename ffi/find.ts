import type { Adapter } from "./adapter.ts";
import { LibraryNotFoundError } from "./errors.ts";

/** libssl and the libcrypto that belongs to it. */
export interface LibraryPaths {
  readonly ssl: string;
  readonly crypto: string;
}

/** The environment variable that names the libssl to use. */
export const environmentVariable = "OPENSSL_SESSIONS_LIBSSL";

/** Where to look, in order: the path that was asked for and nothing else, or the platform's names, newest first. */
export function candidates(platform: Adapter["platform"], path?: string): LibraryPaths[] {
  if (path !== undefined) return [{ ssl: path, crypto: companion(path) }];
  return platformNames(platform).map((ssl) => ({ ssl, crypto: companion(ssl) }));
}

/** libcrypto lies beside libssl and carries the same version in its name. */
function companion(ssl: string): string {
  const slash = Math.max(ssl.lastIndexOf("/"), ssl.lastIndexOf("\\")) + 1;
  return ssl.slice(0, slash) + ssl.slice(slash).replace("ssl", "crypto");
}

function platformNames(platform: Adapter["platform"]): string[] {
  switch (platform) {
    case "windows":
      return ["libssl-4-x64.dll", "libssl-3-x64.dll", "libssl-3-arm64.dll", "libssl-1_1-x64.dll"];
    case "darwin":
      // Never the plain name: macOS has a LibreSSL under it and ends a program that loads it.
      return ["4", "3", "1.1"].flatMap((version) => [
        `/opt/homebrew/opt/openssl@${version}/lib/libssl.${version}.dylib`,
        `/usr/local/opt/openssl@${version}/lib/libssl.${version}.dylib`,
        `/opt/local/lib/libssl.${version}.dylib`,
      ]);
    case "linux":
      return ["libssl.so.4", "libssl.so.3", "libssl.so.1.1", "libssl.so"];
    case "other":
      return ["libssl.so"];
    default:
      return platform satisfies never;
  }
}

/**
 * The error for libraries that would not open: what was tried, what the system said, what to install.
 *
 * @param asked where a path came from that was asked for
 */
export function notFound(tried: { path: string; reason: string }[], asked?: string): LibraryNotFoundError {
  const width = Math.max(...tried.map(({ path }) => path.length));
  const lines = tried.map(({ path, reason }) => `  ${path.padEnd(width)}  ${reason}`);
  const advice = asked
    ? [
      `The path came from ${asked}, so no other was tried. Correct it, or leave it out to have the system's libssl found.`,
      "libcrypto must lie beside libssl.",
    ]
    : [
      "Install OpenSSL 1.1.1 or later:",
      "  Debian, Ubuntu  apt-get install libssl3 (libssl3t64 on newer ones)",
      "  Fedora, RHEL    dnf install openssl-libs",
      "  Alpine          apk add libssl3",
      "  macOS           brew install openssl@3",
      "  Windows         winget install ShiningLight.OpenSSL.Light",
      `or name the file in ${environmentVariable} or openLibrary({ path }).`,
    ];
  return new LibraryNotFoundError(["Cannot open libssl. Tried:", ...lines, ...advice].join("\n"));
}
