/** Collects what nobody refers to, now. On Deno and Node it takes the flag --expose-gc. */
export function gc(): void {
  const runtime = globalThis as { gc?: () => void; Bun?: { gc(force: boolean): void } };
  if (runtime.Bun) runtime.Bun.gc(true);
  else if (runtime.gc) runtime.gc();
  else throw new Error("Cannot collect garbage: run with --expose-gc");
}
