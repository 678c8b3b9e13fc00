/** The error for a port that could not be had, in words that are the same in each runtime. */
export function listenError(hostname: string, port: number, cause: unknown): Error {
  const { code, name, message } = cause as { code?: string; name?: string; message?: string };
  const where = `Cannot listen on ${hostname}:${port}`;
  const codes = `${code} ${name} ${message}`;
  if (/EADDRINUSE|AddrInUse/.test(codes)) return new Error(`${where}: the port is in use`, { cause });
  if (/EADDRNOTAVAIL|AddrNotAvailable/.test(codes)) {
    return new Error(`${where}: the address is not this machine's`, { cause });
  }
  if (/EACCES|PermissionDenied/.test(codes)) {
    return new Error(`${where}: the system does not allow it (ports below 1024 are its own)`, { cause });
  }
  return new Error(`${where}: ${message}`, { cause });
}
