import { assert } from "@std/assert";
import { ReleasedError, type Session, type SslConnection, type SslContext } from "../../mod.ts";
import type { World } from "./ownership_world.ts";
import { outcome, ThrownOnPurpose } from "./target.ts";

/** Gives a context random callbacks, which answer anything, throw, and make calls of their own. */
export function scriptCallbacks(world: World, context: SslContext): void {
  const { random } = world;
  const maybe = <T>(callback: T): T | null => random.oneIn(3) ? null : callback;
  context.setNewSessionCallback(maybe((_connection, session) => inside(world, () => keepOrNot(world, session))));
  context.setRemoveSessionCallback(maybe((_context, session) => inside(world, () => lookAtLoan(world, session))));
  context.setGetSessionCallback(
    maybe((_connection, _id, lookup) => inside(world, () => find(world, lookup)) as Session),
  );
  context.setClientHelloCallback(
    maybe((connection, hello) =>
      inside(world, () => {
        if (random.oneIn(3)) {
          const others = world.contexts;
          if (others.length > 0) outcome(() => hello.useContext(random.pick(others).object));
        }
        void [hello.serverName, hello.sessionId, hello.extension(random.below(60))];
        if (random.oneIn(20)) endOf(world, connection);
        return random.oneIn(15) ? "refuse" : random.oneIn(8) ? "suspend" : "continue";
      })
    ),
  );
  context.setGenerateSessionIdCallback(
    random.oneIn(2)
      ? null
      : () =>
        inside(world, () =>
          random.oneIn(6) ? random.bytes(random.below(40)) : random.oneIn(6) ? undefined : random.bytes(32)),
  );
  context.setKeylogCallback(random.oneIn(3) ? () => inside(world, () => undefined) : null);
}

/** Runs a callback's script, which may throw and re-enter before its answer. */
function inside<T>(world: World, script: () => T): T {
  world.depth++;
  try {
    world.reenter();
    if (world.random.oneIn(30)) throw new ThrownOnPurpose("a callback's");
    // Promises and rubbish are no answers.
    if (world.random.oneIn(60)) return Promise.reject(new ThrownOnPurpose("a promise's")) as T;
    return script();
  } finally {
    world.depth--;
  }
}

function keepOrNot(world: World, session: Session): boolean | void {
  const { random } = world;
  if (random.oneIn(3)) world.own(session.clone());
  if (random.oneIn(10)) {
    // The loan's early end: it cannot be kept any more.
    session.dispose();
    assert(outcome(() => session.clone()) instanceof ReleasedError);
    return true;
  }
  if (random.oneIn(2)) return false;
  world.own(session);
  return true;
}

function lookAtLoan(world: World, session: Session): void {
  void [session.id, session.protocol, session.isResumable];
  if (world.random.oneIn(3)) world.own(session.clone());
}

function find(world: World, lookup: { copy: boolean }): unknown {
  const { random } = world;
  if (world.sessions.length === 0 || random.oneIn(4)) return random.oneIn(10) ? {} : undefined;
  const session = random.pick(world.sessions);
  // What has ended is reported, and is a miss.
  if (!session.lives) world.deaths++;
  if (random.oneIn(2)) {
    lookup.copy = false;
    world.giveAway(session);
  }
  return session.object;
}

function endOf(world: World, connection: SslConnection): void {
  const owned = world.connections().find(({ object }) => object === connection);
  if (owned) world.endConnection(owned);
}
