import { isIP } from "node:net";
import { contextState, type SslContext } from "../ssl/context.ts";

/**
 * Has connections that begin with a context go on with another one by the name that their clients ask for. What the
 * context's client hello callback is already, the session cache's, goes on being called.
 *
 * @param named answers the context for a name; undefined for the first
 */
export function chooseByName(first: SslContext, named: (name: string) => SslContext | undefined): void {
  const next = contextState(first).clientHello;
  first.setClientHelloCallback((connection, hello) => {
    const name = hello.serverName;
    const context = name === undefined ? undefined : named(name);
    if (context) hello.useContext(context);
    return next ? next(connection, hello) : "continue";
  });
}

/** The one for a name, or for a wildcard, which stands for one label (RFC 9525, section 6.3). */
export function findByName<T>(byName: ReadonlyMap<string, T> | undefined, name: string): T | undefined {
  return byName?.get(name) ?? (isIP(name) ? undefined : byName?.get(name.replace(/^[^.]*/, "*")));
}
