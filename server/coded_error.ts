/** Gives an error the code that node:tls, or the system, has for it. */
export function coded<E extends Error>(error: E, code: string): E & { readonly code: string } {
  return Object.assign(error, { code });
}

/** An error with such a code. */
export function codedError(message: string, code: string): Error & { readonly code: string } {
  return coded(new Error(message), code);
}

/** The error for a client or a server that has gone before TLS was there. */
export function goneError(): Error {
  return codedError("The other side closed the connection during the TLS handshake", "ECONNRESET");
}
