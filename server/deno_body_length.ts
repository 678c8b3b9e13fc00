let response: symbol | undefined;
let fastBody: symbol | undefined;

interface InnerBody {
  readonly length?: number | null;
  readonly source?: unknown;
}

/**
 * How long the body of a Response is, in bytes, as far as that is known without reading it: 0 for a stream. Deno tells
 * nobody, so this looks at what it has inside, and does without where that is not there.
 */
export function bodyLength(answer: Response): number {
  const inside = answer as unknown as Record<symbol, unknown>;
  if (!response) {
    for (const symbol of Object.getOwnPropertySymbols(answer)) {
      if (symbol.description === "response") response = symbol;
      if (symbol.description === "serve fast body") fastBody = symbol;
    }
  }
  const text = fastBody && inside[fastBody];
  if (typeof text === "string") return text.length;
  const { body } = (response && inside[response] || {}) as { body?: InnerBody | null };
  // Of text it does not say how long it is.
  return body?.length ?? (typeof body?.source === "string" ? body.source.length : 0);
}
