/** The error for a port that could not be had, in words, and with a code, that are the same in each runtime. */
export function listenError(hostname: string, port: number, cause: unknown): Error {
  const { code, name, message } = cause as { code?: string; name?: string; message?: string };
  const where = `Cannot listen on ${hostname}:${port}`;
  const codes = `${code} ${name} ${message}`;
  const error = (why: string, code?: string) =>
    Object.assign(new Error(`${where}: ${why}`, { cause }), code === undefined ? {} : { code });
  if (/EADDRINUSE|AddrInUse/.test(codes)) return error("the port is in use", "EADDRINUSE");
  if (/EADDRNOTAVAIL|AddrNotAvailable/.test(codes)) {
    return error("the address is not this machine's", "EADDRNOTAVAIL");
  }
  if (/EACCES|PermissionDenied/.test(codes)) {
    return error("the system does not allow it (ports below 1024 are its own)", "EACCES");
  }
  return error(String(message), code);
}
