import { isIPv6 } from "node:net";
import type { TlsSocket } from "./tls_socket.ts";

// Names in punycode and large ports are looked at more closely: not all of them are good.
const ordinary = /^(?:(?!xn--)[a-z0-9_-]+\.)*(?!xn--)[a-z_-][a-z0-9_-]*\.?(?::[1-9]\d{0,3})?$/i;

/** Whether this names a host, with a port or without one, and nothing else (RFC 9112, section 3.2). */
export function isAuthority(text: string): boolean {
  return ordinary.test(text) || (!/[\s@/?#\\,]/.test(text) && URL.canParse(`https://${text}/`));
}

/**
 * Whether both name the same host and port. A request of HTTP/2 may have two names of its own: a proxy or a framework
 * that goes by one of them must not be at odds with another that goes by the other (RFC 9113, section 8.3.1).
 */
export function isSameAuthority(one: string, other: string): boolean {
  if (one === other) return true;
  return isAuthority(other) && new URL(`https://${one}`).host === new URL(`https://${other}`).host;
}

/** The authority for a request that names none: what the client asked for by its handshake. */
export function authorityOf(socket: TlsSocket, serverName: string | undefined): string {
  const { localPort } = socket;
  // URLs have no zones.
  const [localAddress] = socket.localAddress.split("%", 1) as [string];
  const host = serverName ?? (isIPv6(localAddress) ? `[${localAddress}]` : localAddress || "localhost");
  return localPort === 443 || localPort === 0 ? host : `${host}:${localPort}`;
}

/** The authority in a URL. */
export function authorityIn(url: string): string {
  return /^[a-z]+:\/\/([^/?#]*)/i.exec(url)?.[1] ?? "";
}

/** The path and what follows it, of a request's target in whichever form: a path, a URL, or the authority of CONNECT. */
export function pathIn(target: string): string {
  if (target.startsWith("/")) return target;
  if (target === "*") return "/*";
  const [, path = ""] = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*(.*)$/is.exec(target) ?? [];
  return path.startsWith("/") ? path : `/${path}`;
}

/**
 * Has a request's URL be one of https with this authority, and those of its clones. The HTTP server inside the process
 * sees what comes out of TLS, and the client may have asked it for a URL of anybody's.
 */
export function secure(request: Request, authority: string): Request {
  const inner = insideOf(request);
  if (inner) {
    const { url } = inner;
    inner.url = () => securedUrl(url.call(inner), authority);
    return request;
  }
  return Object.defineProperties(request, {
    url: { configurable: true, get: () => securedUrl(url.call(request), authority) },
    clone: { configurable: true, value: () => secure(clone.call(request) as Request, authority) },
  });
}

/** The URL that the HTTP server inside the process makes of a request's target. Deno's Request would keep it. */
export function givenUrl(request: Request): string {
  return insideOf(request)?.url() ?? request.url;
}

const url = Object.getOwnPropertyDescriptor(Request.prototype, "url")!.get!;
const { clone } = Request.prototype;

function securedUrl(given: string, authority: string): string {
  if (given.startsWith(`http://${authority}/`) && !/[A-Z]|:443$/.test(authority)) return `https${given.slice(4)}`;
  const text = `https://${authority}${pathIn(given)}`;
  return URL.canParse(text) ? new URL(text).href : text;
}

interface Inside {
  url(): string;
}

let inside: symbol | undefined;

/** What Deno's Request asks for its URL, and those that are made of it. Undefined where there is no such thing. */
function insideOf(request: Request): Inside | undefined {
  if (!("Deno" in globalThis)) return undefined;
  inside ??= Object.getOwnPropertySymbols(request).find(({ description }) => description === "request");
  const found = inside && (request as unknown as Record<symbol, Partial<Inside> | undefined>)[inside];
  return typeof found?.url === "function" ? found as Inside : undefined;
}
