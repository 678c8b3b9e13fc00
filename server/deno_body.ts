let response: symbol | undefined;
let fastBody: symbol | undefined;

interface InnerBody {
  readonly length?: number | null;
  readonly source?: unknown;
  readonly streamOrStatic?: unknown;
}

/**
 * How long the body of a Response is, in bytes, as far as that is known without reading it: 0 for a stream. Deno tells
 * nobody, so this looks at what it has inside, and does without where that is not there.
 */
export function bodyLength(answer: Response): number {
  const body = bodyOf(answer);
  if (typeof body === "string") return body.length;
  // Of text it does not say how long it is.
  return body?.length ?? (typeof body?.source === "string" ? body.source.length : 0);
}

/** Whether somebody else has the body's stream, so that it cannot be sent. */
export function isLocked(answer: Response): boolean {
  const body = bodyOf(answer);
  if (typeof body !== "object") return false;
  const { streamOrStatic: stream } = body;
  return stream instanceof ReadableStream && stream.locked;
}

/** What is inside. To ask for `body` would make a stream of it, which costs more. */
function bodyOf(answer: Response): InnerBody | string | undefined {
  const inside = answer as unknown as Record<symbol, unknown>;
  if (!response) {
    for (const symbol of Object.getOwnPropertySymbols(answer)) {
      if (symbol.description === "response") response = symbol;
      if (symbol.description === "serve fast body") fastBody = symbol;
    }
  }
  const text = fastBody && inside[fastBody];
  if (typeof text === "string") return text;
  const { body } = (response && inside[response] || {}) as { body?: InnerBody | null };
  return body ?? undefined;
}
