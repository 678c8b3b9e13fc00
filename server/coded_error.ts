/** An error with the code that node:tls, or the system, has for it. */
export function codedError(message: string, code: string): Error & { readonly code: string } {
  return Object.assign(new Error(message), { code });
}

/** The error for a client or a server that has gone before TLS was there. */
export function goneError(): Error {
  return codedError("The other side closed the connection during the TLS handshake", "ECONNRESET");
}
