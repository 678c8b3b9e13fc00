/** The garbage collector, as each runtime has it. */

/** Runs it; false where the runtime does not give it to programs. */
export function collect(): boolean {
  const runtime = globalThis as { gc?: () => void; Bun?: { gc(force: boolean): void } };
  if (runtime.Bun) runtime.Bun.gc(true);
  else if (runtime.gc) runtime.gc();
  else return false;
  return true;
}

/** Whether it can be run. */
export const canCollect: boolean = collect();

/** Runs it until `gone` holds. Finalizers run in macrotasks of their own. */
export async function collectUntil(gone: () => boolean): Promise<boolean> {
  const end = Date.now() + 20_000;
  while (!gone()) {
    if (Date.now() > end) return false;
    // What else keeps an old object alive is a stale slot on the stack: move it, and leave some garbage.
    Array.from({ length: 1000 }, (_, n) => ({ n }));
    collect();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return true;
}
