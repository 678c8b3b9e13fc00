import { Buffer } from "node:buffer";
import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import { hopHeaders, saysClose } from "./answer.ts";

/**
 * Leaves the framing of an HTTP/1.1 answer to Node: it sends what it is told, also where a handler's headers and body
 * contradict each other, and the client would take the rest of one answer for the next one.
 *
 * A length of the handler's is put right where the whole body is there. Where it comes in parts, Node counts them, and
 * one too many or too few breaks the answer off.
 */
export function framed(response: ServerResponse, method: string | undefined): ServerResponse {
  const { writeHead, write, end, flushHeaders } = response;
  let held: { status: number; headers: OutgoingHttpHeaders; lengthName: string } | undefined;
  const letGo = (length?: number) => {
    if (!held) return;
    const { status, headers, lengthName } = held;
    held = undefined;
    if (length === undefined) response.strictContentLength = true;
    else headers[lengthName] = length;
    writeHead.call(response, status, headers);
  };
  response.writeHead = (status: number, given?: unknown): ServerResponse => {
    const { headers, lengthName } = cleaned(given);
    const hasBody = status >= 200 && status !== 204 && status !== 304;
    if (lengthName !== undefined && status === 204) delete headers[lengthName];
    if (lengthName === undefined || !hasBody || method === "HEAD") return writeHead.call(response, status, headers);
    held = { status, headers, lengthName };
    return response;
  };
  response.flushHeaders = () => {
    letGo();
    flushHeaders.call(response);
  };
  response.write = (...parameters: unknown[]): boolean => {
    letGo();
    return Reflect.apply(write, response, parameters);
  };
  response.end = (...parameters: unknown[]): ServerResponse => {
    const [chunk] = parameters;
    if (typeof chunk === "string") letGo(Buffer.byteLength(chunk));
    else letGo(chunk instanceof Uint8Array ? chunk.length : 0);
    return Reflect.apply(end, response, parameters);
  };
  return response;
}

/** The headers without those that are not an answer's own to set, and the name of the length as it stands there. */
function cleaned(given: unknown): { headers: OutgoingHttpHeaders; lengthName: string | undefined } {
  const headers = (given ?? {}) as OutgoingHttpHeaders;
  let changed: OutgoingHttpHeaders | undefined;
  let lengthName: string | undefined;
  for (const name in headers) {
    // The longest and the shortest of them.
    if (name.length > 17) continue;
    const lower = name.toLowerCase();
    const isLength = lower === "content-length";
    if (isLength && /^\d+$/.test(String(headers[name]))) lengthName = name;
    else if (isLength || (hopHeaders.includes(lower) && !(lower === "connection" && saysClose(headers[name])))) {
      changed ??= { ...headers };
      delete changed[name];
    }
  }
  return { headers: changed ?? headers, lengthName };
}
