import { OpenSslError } from "../ssl/openssl_error.ts";
import type { TlsSocket } from "./tls_socket.ts";

/** The error for a server that cannot be reached, in words that are the same in each runtime. */
export function unreachableError(where: string, cause: unknown): Error {
  // Node tries the addresses of a name one after the other, and has an error of each.
  const { errors = [cause] } = cause as { errors?: unknown[] };
  const all = errors as { code?: string; name?: string; message?: string }[];
  const text = all.map(({ code, name, message }) => `${code} ${name} ${message}`).join();
  const message = `Cannot connect to ${where}: ${reasonOf(text) ?? all.map(({ message }) => message).join("; ")}`;
  return withCodeOf(new Error(message, { cause }), cause);
}

/** Gives an error the code of the one that it comes of. */
function withCodeOf(error: Error, cause: unknown): Error {
  const { code } = cause as { code?: string };
  return code === undefined ? error : Object.assign(error, { code });
}

function reasonOf(text: string): string | undefined {
  if (/ENOTFOUND|EAI_|lookup address/.test(text)) return "there is no address of this name, or no way to ask for it";
  if (/ECONNREFUSED|ConnectionRefused/.test(text)) return "the connection was refused, as if nothing listens there";
  if (/ENETUNREACH|EHOSTUNREACH|Unreachable/.test(text)) return "there is no way to this address";
  return undefined;
}

/** What X509_verify_cert_error_string(3) says in words that leave open what to do. */
const remedies: Record<number, (where: string, serverName: string) => string> = {
  9: (where) =>
    `the certificate of ${where} is not valid yet: set the clock of this machine or of the one that issued it`,
  10: (where) => `the certificate of ${where} has expired: renew it, or set this machine's clock`,
  18: untrusted,
  19: untrusted,
  20: untrusted,
  21: untrusted,
  23: (where) => `the certificate of ${where} was revoked: get it a new one`,
  62: misnamed,
  64: misnamed,
};

function untrusted(where: string): string {
  return `no authority that is trusted here signed the certificate of ${where}: give the one that did, if you trust it, ` +
    "as certificateAuthorities";
}

function misnamed(where: string, serverName: string): string {
  return `the certificate of ${where} is not for ${serverName}: connect to a name that it is for, or give that as ` +
    "serverName";
}

/** The error for a handshake that failed: it says with whom, and what can be done. */
export function handshakeError(where: string, serverName: string, error: Error, socket: TlsSocket): Error {
  if (!(error instanceof OpenSslError)) {
    return withCodeOf(new Error(`Cannot connect to ${where}: ${lowerFirst(error.message)}`, { cause: error }), error);
  }
  const isVerification = error.errors.some(({ reason }) => reason === "certificate verify failed");
  const remedy = isVerification && !socket.isClosed ? remedies[socket.verifyResult.code] : undefined;
  return new OpenSslError(
    remedy ? `${error.message}: ${remedy(where, serverName)}` : `${error.message}, connecting to ${where}`,
    error.errors,
  );
}

function lowerFirst(text: string): string {
  return text.replace(/^The /, "the ");
}
