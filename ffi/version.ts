import { UnsupportedLibraryError } from "./errors.ts";

/**
 * Refuses a library that calls itself something other than OpenSSL, or is older than 1.1.1.
 *
 * @param path where it was found, for the message
 * @param version what `OpenSSL_version(0)` answered, such as `OpenSSL 3.0.19 27 Jan 2026`
 * @param number what `OpenSSL_version_num()` answered, such as `0x30000130`
 */
export function requireOpenSsl(path: string, version: string, number: number): void {
  for (const [mark, lack] of Object.entries(lacks)) {
    if (version.includes(mark)) {
      throw new UnsupportedLibraryError(
        `Cannot use ${path}: it is ${mark} (${version}), which ${lack}. Use OpenSSL 1.1.1 or later`,
      );
    }
  }
  if (number < 0x10101000) {
    throw new UnsupportedLibraryError(
      `Cannot use ${path}: it is ${version}, and OpenSSL 1.1.1 is the oldest that has what external session caching needs`,
    );
  }
}

const lacks: Record<string, string> = {
  LibreSSL: "has no client-hello callback and never resumes TLS 1.3",
  BoringSSL: "lacks SSL_CTX_ctrl and keeps sessions in another form",
  "AWS-LC": "lacks SSL_CTX_ctrl and keeps sessions in another form",
};
