import type { IncomingMessage } from "node:http";
import type { Http2ServerRequest } from "node:http2";
import { isAuthority, isSameAuthority, pathIn } from "./request_url.ts";

/**
 * Has a request's target be a path of this server, with the host that its client names, or the one that it asked for by
 * its handshake. False if what it names is nonsense.
 */
export function settleTarget(request: IncomingMessage | Http2ServerRequest, own: () => string): boolean {
  const { headers, rawHeaders } = request;
  if ("stream" in request) {
    // What went over TLS is https, whatever the client calls it.
    headers[":scheme"] = "https";
    const authority = String(headers[":authority"] ??= headers.host ?? own());
    if (request.url === "*") request.url = pathIn(request.url);
    // Node lets a path pass that does not begin with a slash, and would be read as a part of the host.
    if (!request.url.startsWith("/") || !isAuthority(authority)) return false;
    return !headers.host || isSameAuthority(authority, headers.host);
  }
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (rawHeaders[at]!.length === 4 && rawHeaders[at]!.toLowerCase() === "host") hosts++;
  }
  if (hosts > 1) return false;
  if (!request.url!.startsWith("/")) request.url = pathIn(request.url!);
  headers.host ||= own();
  return isAuthority(headers.host);
}
