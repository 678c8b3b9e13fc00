/** The error for connections that could not be accepted, in words, and with a code, that are the same in each runtime. */
export function acceptError(cause: unknown): Error {
  const { code, message } = cause as { code?: string; message?: string };
  const codes = `${code} ${message}`;
  for (const [found, words] of reasons) {
    if (!found.test(codes)) continue;
    const why = `${words}; raise the limit (ulimit -n) or lower maxConnections`;
    return Object.assign(new Error(`Cannot accept connections: ${why}`, { cause }), { code: found.source.slice(0, 6) });
  }
  return Object.assign(
    new Error(`Cannot accept connections: ${message}`, { cause }),
    code === undefined ? {} : { code },
  );
}

const reasons = [
  [/EMFILE|os error 24\b/, "the process has too many open files"],
  [/ENFILE|os error 23\b/, "the system has too many open files"],
] as const;

/** For how long is waited after accepting has failed so many times in a row, in milliseconds. */
export function acceptPause(failures: number): number {
  return Math.min(1000, 10 * 2 ** Math.min(failures, 10));
}
