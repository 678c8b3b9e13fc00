import { isIP } from "node:net";
import { contextPointer, contextState, type SslContext } from "../ssl/context.ts";
import { setClientHelloStep } from "../ssl/context_callbacks.ts";

/**
 * Has connections that begin with a context go on with another one by the name that their clients ask for.
 *
 * @param named answers the context for a name; undefined for the first
 */
export function chooseByName(first: SslContext, named: (name: string) => SslContext | undefined): void {
  contextPointer(first);
  setClientHelloStep(contextState(first), "chooseContext", (_connection, hello) => {
    const name = hello.serverName;
    const context = name === undefined ? undefined : named(name);
    if (context) hello.useContext(context);
    return "continue";
  });
}

/** The one for a name, or for a wildcard, which stands for one label (RFC 9525, section 6.3). */
export function findByName<T>(byName: ReadonlyMap<string, T> | undefined, name: string): T | undefined {
  return byName?.get(name) ?? (isIP(name) ? undefined : byName?.get(name.replace(/^[^.]*/, "*")));
}
