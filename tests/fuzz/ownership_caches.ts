import { type MaybePromise, SessionCache, type SessionStore, SessionStoreError, type SslContext } from "../../mod.ts";
import { hostileBytes } from "./hostile_bytes.ts";
import { call, type World } from "./ownership_world.ts";
import type { Random } from "./random.ts";
import { requireExpected, ThrownOnPurpose } from "./target.ts";

/** Calls on session caches, whose stores answer anything. */
export const cacheSteps: ((world: World, random: Random) => void)[] = [
  function attachCache(world, random) {
    if (world.contexts.length === 0) return;
    const context = random.pick(world.contexts);
    const cache = random.oneIn(2) && world.caches.length > 0 ? random.pick(world.caches) : makeCache(world);
    call(world, [context], () => {
      if (random.oneIn(4)) freeCallbacks(context.object);
      cache.attach(context.object);
    });
  },
  function detachCache(world, random) {
    if (world.caches.length === 0 || world.contexts.length === 0) return;
    const [cache, context] = [random.pick(world.caches), random.pick(world.contexts)];
    call(world, [context], () => cache.detach(context.object));
  },
  function revoke(world, random) {
    if (world.caches.length === 0 || world.sessions.length === 0) return;
    const [cache, session] = [random.pick(world.caches), random.pick(world.sessions)];
    call(world, [session], () => {
      const { id } = session.object;
      const revoked: Promise<unknown> = random.oneIn(2) ? cache.revoke(id) : cache.revokeWhere(() => true);
      revoked.catch((error) => {
        if (!(error instanceof SessionStoreError)) requireExpected(error);
      });
    });
  },
];

function freeCallbacks(context: SslContext): void {
  context.setNewSessionCallback(null);
  context.setGetSessionCallback(null);
  context.setRemoveSessionCallback(null);
  context.setGenerateSessionIdCallback(null);
}

function makeCache(world: World): SessionCache {
  const { random } = world;
  const cache = new SessionCache({
    store: new AnyStore(world),
    ...(random.oneIn(2) && { secrets: ["a secret of enough bytes"] }),
    durableTickets: random.oneIn(3),
    singleUse: random.oneIn(2),
    deleteWhen: ["unclean close", "fatal alert", "flushed"],
    onEvent: () => {
      if (random.oneIn(4)) world.reenter();
    },
  });
  world.caches.push(cache);
  return cache;
}

/** Keeps values and gives them back, most of the time. */
class AnyStore implements SessionStore {
  readonly #world: World;
  readonly #values = new Map<string, Uint8Array>();

  constructor(world: World) {
    this.#world = world;
  }

  get(key: string): MaybePromise<Uint8Array | undefined> {
    return this.#answer(key, () => this.#values.get(key));
  }

  take(key: string): MaybePromise<Uint8Array | undefined> {
    const value = this.#values.get(key);
    this.#values.delete(key);
    return this.#answer(key, () => value);
  }

  put(key: string, value: Uint8Array): MaybePromise<void> {
    return this.#answer(key, () => void this.#values.set(key, value));
  }

  delete(key: string): MaybePromise<void> {
    return this.#answer(key, () => void this.#values.delete(key));
  }

  *entries(): Generator<[key: string, value: Uint8Array]> {
    yield* this.#values;
  }

  #answer<T>(key: string, answer: () => T): MaybePromise<T> {
    const { random } = this.#world;
    if (random.oneIn(6)) this.#world.reenter();
    if (random.oneIn(20)) throw new ThrownOnPurpose("a store's");
    if (random.oneIn(20)) return Promise.reject(new ThrownOnPurpose("a store's, later"));
    if (random.oneIn(10)) return Promise.resolve().then(answer);
    if (random.oneIn(20)) return new Promise(() => {});
    if (random.oneIn(10)) return hostileBytes(random) as T;
    // Another session's, or one that was damaged.
    if (random.oneIn(10) && this.#values.size > 0) this.#values.set(key, random.pick([...this.#values.values()]));
    const value = this.#values.get(key);
    if (value && random.oneIn(20)) this.#values.set(key, value.map((byte) => random.oneIn(50) ? byte ^ 1 : byte));
    return answer();
  }
}
